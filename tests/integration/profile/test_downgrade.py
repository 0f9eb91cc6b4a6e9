"""Back to the schema before tallies: nothing stays that the code of that time can't read."""

from uuid import uuid4

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.kit.migrate import build_alembic_config, migrate
from services.profile.domain.facts import Part
from tests.integration.profile.conftest import MIGRATIONS


async def downgrade(dsn: str, revision: str) -> None:
    config = build_alembic_config(MIGRATIONS)

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, server_settings={"search_path": "profile"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


async def test_carts_and_visits_go_with_the_tallies_and_everything_else_stays(database_dsn: str) -> None:
    await migrate(database_dsn, schema="profile", script_location=MIGRATIONS)
    connection = await asyncpg.connect(database_dsn, server_settings={"search_path": "profile"})
    try:
        statement = "INSERT INTO facts (fragment, part, key, body) VALUES ($1, $2, 'key', 'body')"
        await connection.executemany(statement, [(uuid4(), int(part)) for part in Part])
        await downgrade(database_dsn, "0002")
        kept = await connection.fetch("SELECT part FROM facts ORDER BY part")
        assert [row["part"] for row in kept] == [part for part in Part if part not in (Part.CART, Part.VISIT)]
    finally:
        await connection.close()
    await migrate(database_dsn, schema="profile", script_location=MIGRATIONS)
