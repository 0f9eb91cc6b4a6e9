"""One suite over the fake and the real store of webhooks."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from uuid import UUID

import pytest

from libs.kit.db import Database, migrate
from services.ingest.ports import StoredWebhook, WebhookStore
from services.ingest.store.fake_webhooks import FakeWebhookStore
from services.ingest.store.webhooks import PostgresWebhooks
from services.ingest.tables import SCHEMA
from tests.support.intake import NOW

if TYPE_CHECKING:
    from libs.kit.db import Tx

MIGRATIONS = Path(__file__).parents[3] / "services/ingest/migrations"
LATER = NOW + timedelta(hours=1)


class Opened(Protocol):
    store: WebhookStore

    def transaction(self) -> "AbstractAsyncContextManager[Tx]": ...


class InMemory:
    def __init__(self) -> None:
        self.store: WebhookStore = FakeWebhookStore()

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Tx]":
        yield cast("Tx", None)


class InPostgres:
    def __init__(self, database: Database) -> None:
        self.store: WebhookStore = PostgresWebhooks()
        self.transaction = database.transaction


@pytest.fixture(params=["fake", "postgres"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    if request.param == "fake":
        yield InMemory()
        return
    dsn = request.getfixturevalue("database_dsn")
    await migrate(dsn, schema=SCHEMA, script_location=MIGRATIONS)
    database = await Database.open(dsn, schema=SCHEMA, application_name="test")
    try:
        async with database.transaction() as tx:
            await tx.execute("TRUNCATE webhooks CASCADE")
        yield cast("Opened", InPostgres(database))
    finally:
        await database.close()


async def test_an_endpoint_is_made_once_and_found(opened: Opened) -> None:
    async with opened.transaction() as tx:
        assert await opened.store.create(tx, "shop", "stripe", NOW)
        assert not await opened.store.create(tx, "shop", "stripe", LATER)
        assert await opened.store.create(tx, "shop", "shopify", NOW)
        assert await opened.store.create(tx, "other", "stripe", NOW)
        found = await opened.store.find(tx, "shop", "stripe")
        assert found is not None
        assert (found.created_at, found.mapping_version, found.secrets) == (NOW, None, ())
        assert [one.provider for one in await opened.store.list_endpoints(tx, "shop")] == ["shopify", "stripe"]
        assert await opened.store.find(tx, "shop", "zendesk") is None


async def test_secrets_come_and_go_and_the_same_is_one(opened: Opened) -> None:
    async with opened.transaction() as tx:
        await opened.store.create(tx, "shop", "stripe", NOW)
        first = await opened.store.add_secret(tx, "shop", "stripe", "s1", NOW)
        second = await opened.store.add_secret(tx, "shop", "stripe", "s2", LATER)
        assert await opened.store.add_secret(tx, "shop", "stripe", "s1", LATER) == first
        found = await opened.store.find(tx, "shop", "stripe")
        assert found is not None
        assert (found.secrets, found.updated_at) == ((first, second), LATER)
        assert await opened.store.load_all(tx) == [StoredWebhook("shop", "stripe", ("s1", "s2"), None)]
        assert await opened.store.delete_secret(tx, "shop", "stripe", first.id)
        assert not await opened.store.delete_secret(tx, "shop", "stripe", first.id)
        assert not await opened.store.delete_secret(tx, "other", "stripe", UUID(int=1))
        assert await opened.store.load_all(tx) == [StoredWebhook("shop", "stripe", ("s2",), None)]
        await opened.store.delete_secrets(tx, "shop", "stripe")
        assert await opened.store.load_all(tx) == [StoredWebhook("shop", "stripe", (), None)]


async def test_mappings_are_versions_of_which_one_is_in_force(opened: Opened) -> None:
    async with opened.transaction() as tx:
        await opened.store.create(tx, "shop", "door", NOW)
        assert await opened.store.add_mapping(tx, "shop", "door", {"a": 1}, NOW) == 1
        assert await opened.store.add_mapping(tx, "shop", "door", {"a": [2, "é"]}, LATER) == 2
        mappings = await opened.store.list_mappings(tx, "shop", "door")
        assert [(one.version, one.mapping, one.created_at) for one in mappings] == [
            (2, {"a": [2, "é"]}, LATER),
            (1, {"a": 1}, NOW),
        ]
        assert await opened.store.load_all(tx) == [StoredWebhook("shop", "door", (), {"a": [2, "é"]})]
        assert await opened.store.activate_mapping(tx, "shop", "door", 1, LATER)
        assert not await opened.store.activate_mapping(tx, "shop", "door", 3, LATER)
        assert not await opened.store.activate_mapping(tx, "other", "door", 1, LATER)
        assert await opened.store.load_all(tx) == [StoredWebhook("shop", "door", (), {"a": 1})]
        found = await opened.store.find(tx, "shop", "door")
        assert found is not None
        assert found.mapping_version == 1


async def test_what_is_deleted_leaves_nothing(opened: Opened) -> None:
    async with opened.transaction() as tx:
        await opened.store.create(tx, "shop", "door", NOW)
        await opened.store.add_secret(tx, "shop", "door", "s", NOW)
        await opened.store.add_mapping(tx, "shop", "door", {}, NOW)
        assert await opened.store.delete(tx, "shop", "door")
        assert not await opened.store.delete(tx, "shop", "door")
        assert await opened.store.load_all(tx) == []
        assert await opened.store.create(tx, "shop", "door", NOW)
        found = await opened.store.find(tx, "shop", "door")
        assert found is not None
        assert (found.secrets, found.mapping_version, await opened.store.list_mappings(tx, "shop", "door")) == ((), None, [])
