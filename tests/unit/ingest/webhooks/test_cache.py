"""Webhooks in memory: as last loaded while the database is away, and nothing before it was there once."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from libs.kit.errors import Unavailable
from services.ingest.store.fake_webhooks import FakeWebhookStore
from services.ingest.store.webhooks import WebhookCache
from tests.support.eventually import eventually
from tests.support.intake import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libs.kit.db import Database, Tx

TX = cast("Tx", None)


class FlakyDatabase:
    """Away as long as it is told to be."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked = 0

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[Tx]":
        self.asked += 1
        if self.is_away:
            raise ConnectionRefusedError
        yield TX


def make_cache(database: FlakyDatabase, store: FakeWebhookStore) -> WebhookCache:
    return WebhookCache(cast("Database", database), store, refresh_s=0.01)


async def test_while_the_database_is_away_the_last_state_holds() -> None:
    database, store = FlakyDatabase(), FakeWebhookStore()
    await store.create(TX, "shop", "stripe", NOW)
    cache = make_cache(database, store)
    await cache.start()
    database.is_away = True
    seen = database.asked
    await eventually(lambda: database.asked > seen + 2)
    assert cache.find_webhook("shop", "stripe") is not None
    database.is_away = False
    await store.delete(TX, "shop", "stripe")
    await eventually(lambda: cache.find_webhook("shop", "stripe") is None)
    await cache.close()


async def test_before_anything_was_loaded_nobody_is_told_no() -> None:
    database, store = FlakyDatabase(), FakeWebhookStore()
    database.is_away = True
    cache = make_cache(database, store)
    await cache.start()
    with pytest.raises(Unavailable):
        cache.find_webhook("shop", "stripe")
    database.is_away = False
    await cache.refresh()
    assert cache.find_webhook("shop", "stripe") is None
    await cache.close()


async def test_what_has_not_changed_stays_and_what_cannot_be_served_is_left_out() -> None:
    database, store = FlakyDatabase(), FakeWebhookStore()
    await store.create(TX, "shop", "stripe", NOW)
    await store.create(TX, "shop", "of-a-later-version", NOW)
    cache = make_cache(database, store)
    await cache.refresh()
    before = cache.find_webhook("shop", "stripe")
    await cache.refresh()
    assert cache.find_webhook("shop", "stripe") is before
    assert cache.find_webhook("shop", "of-a-later-version") is None
    await store.add_secret(TX, "shop", "stripe", "s", NOW)
    await cache.refresh()
    changed = cache.find_webhook("shop", "stripe")
    assert changed is not None
    assert changed.secrets == ("s",)
