"""Schema migrations: Alembic to head, each service in its own schema with its own version table, safe to run at once.

Alembic is imported where it is used: a service that only serves doesn't pay half a second for it at every start.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK_SPACE = 0x52_41_50_50  # "RAPP": beside the schema's hash, so that no other program's advisory lock is meant


async def migrate(dsn: str, *, schema: str, script_location: Path) -> None:
    """Bring the schema to the newest version. Makes the schema; waits while another process migrates it."""
    from alembic import command  # noqa: PLC0415

    async with _locked_schema(dsn, schema), _connect(dsn, schema) as connection:
        config = build_alembic_config(script_location)

        def upgrade(sync_connection: "Connection") -> None:
            config.attributes["connection"] = sync_connection
            command.upgrade(config, "head")

        await connection.run_sync(upgrade)


async def pending_changes(dsn: str, *, schema: str, metadata: "MetaData") -> list[Any]:
    """How the declared tables differ from the migrated schema (what `alembic check` tells): empty when they agree."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    async with _connect(dsn, schema) as connection:

        def compare(sync_connection: "Connection") -> list[Any]:
            return list(compare_metadata(MigrationContext.configure(sync_connection, opts={"compare_type": True}), metadata))

        return await connection.run_sync(compare)


def build_alembic_config(script_location: Path) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@asynccontextmanager
async def _locked_schema(dsn: str, schema: str) -> AsyncIterator[None]:
    """Hold the session lock of this schema; it goes with the connection, however the process ends."""
    connection = await asyncpg.connect(dsn, server_settings={"statement_timeout": "0", "lock_timeout": "0"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1, hashtext($2))", _LOCK_SPACE, schema)
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def _connect(dsn: str, schema: str) -> "AsyncIterator[AsyncConnection]":
    """A SQLAlchemy connection whose default schema is the service's, so that tables and versions need no qualification."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    async def connect() -> asyncpg.Connection:
        # A migration that waits for a lock makes everybody behind it wait: rather give up and be run again.
        settings = {"search_path": f'"{schema}"', "lock_timeout": "15000", "application_name": "rapport-migrate"}
        return await asyncpg.connect(dsn, server_settings=settings)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
