"""A service's own schema in a test's database, migrated from zero."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.kit.db import Database, migrate

ROOT = Path(__file__).parents[2]
ACCESS_MIGRATIONS = ROOT / "libs/kit/migrations"


@asynccontextmanager
async def open_schema(dsn: str, service: str) -> AsyncIterator[Database]:
    await migrate(dsn, schema="access", script_location=ACCESS_MIGRATIONS)
    await migrate(dsn, schema=service, script_location=ROOT / "services" / service / "migrations")
    database = await Database.open(dsn, schema=service, application_name="test", max_size=6)
    try:
        yield database
    finally:
        await database.close()
