"""A database with the durable tables."""

from collections.abc import AsyncIterator

import pytest

from libs.kit.db import Database
from tests.contract.durable.schema import SCHEMA, migrate_durable
from tests.support.databases import run_apart


@pytest.fixture(scope="module")
def durable_dsn(database_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    run_apart(migrate_durable(database_dsn, tmp_path_factory.mktemp("migrations")))
    return database_dsn


@pytest.fixture
async def database(durable_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(durable_dsn, schema=SCHEMA, application_name="test", max_size=12)
    async with opened.transaction() as tx:
        await tx.execute("TRUNCATE outbox, idempotency_keys, jobs")
    yield opened
    await opened.close()
