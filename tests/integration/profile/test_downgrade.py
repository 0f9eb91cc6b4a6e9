"""Back to the schema of before: nothing stays that the code of that time can't read."""

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


async def test_what_only_the_rules_of_identity_brought_goes_with_them(database_dsn: str) -> None:
    await migrate(database_dsn, schema="profile", script_location=MIGRATIONS)
    connection = await asyncpg.connect(database_dsn, server_settings={"search_path": "profile"})
    try:
        refusal = (
            "INSERT INTO refusals (touchpoint_id, reason, own, fragments, applied, at, named)"
            " VALUES ($1, $2, $3, '{}', $4, now(), $5)"
        )
        await connection.execute(refusal, uuid4(), "no_identifier", None, 1, ["user_id:test"])
        await connection.execute(refusal, uuid4(), "user_id_limit", uuid4(), 2, None)
        event = (
            "INSERT INTO history (applied, other_id, kind, profile_id, fragments, at, command_id, actor)"
            " VALUES ($1, $2, $3, $4, '{}', now(), $5, 'tester')"
        )
        command = uuid4()
        for applied, kind in ((3, "split"), (4, "unban")):
            await connection.execute(event, applied, uuid4(), kind, uuid4(), command)
        await downgrade(database_dsn, "0004")
        assert [row["reason"] for row in await connection.fetch("SELECT reason FROM refusals")] == ["user_id_limit"]
        assert [row["kind"] for row in await connection.fetch("SELECT kind FROM history")] == ["split"]
    finally:
        await connection.execute("TRUNCATE refusals, history")
        await connection.close()
    await migrate(database_dsn, schema="profile", script_location=MIGRATIONS)


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
