"""Keys as they are stored, cached, revoked and refused."""

from collections.abc import AsyncIterator

import pytest

from libs.kit.access_tables import migrate_access
from libs.kit.auth import (
    DEV_API_KEY,
    DEV_BROWSER_KEY,
    DEV_WRITE_KEY,
    AccessCache,
    Source,
    create_api_key,
    create_source,
    create_write_key,
    ensure_dev_keys,
    revoke_api_keys_named,
    revoke_dev_keys,
    revoke_key,
)
from libs.kit.db import Database
from libs.kit.errors import ConfigurationRefused, NotFound, Unavailable
from tests.support.eventually import eventually

REFRESH_S = 0.05


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    await migrate_access(database_dsn)
    opened = await Database.open(database_dsn, schema="access", application_name="test")
    async with opened.transaction() as tx:
        await tx.execute("TRUNCATE access.sources, access.write_keys, access.api_keys")
    yield opened
    await opened.close()


@pytest.fixture
async def cache(database: Database) -> AsyncIterator[AccessCache]:
    opened = AccessCache(database, refresh_s=REFRESH_S)
    yield opened
    await opened.close()


async def test_development_keys_open_their_sources_and_everything_else(database: Database, cache: AccessCache) -> None:
    await ensure_dev_keys(database)
    await ensure_dev_keys(database)
    await cache.start()
    server, browser = cache.source_for(DEV_WRITE_KEY), cache.source_for(DEV_BROWSER_KEY)
    assert server is not None
    assert browser is not None
    assert (server.id, server.kind, server.verified, server.default_channel) == ("dev-server", "server", True, None)
    assert (browser.id, browser.kind, browser.verified) == ("dev-web", "web", False)
    principal = cache.principal_for(DEV_API_KEY)
    assert principal is not None
    assert principal.has("anything:at-all")
    engagement = cache.source_by_id("engagement")
    assert engagement is not None
    assert engagement.verified


async def test_keys_are_stored_as_hashes_only(database: Database) -> None:
    async with database.transaction() as tx:
        await create_source(tx, Source(id="shop", name="Shop", kind="server", verified=True))
        keys = [await create_write_key(tx, "shop"), await create_api_key(tx, "crm", ["profiles:read"])]
        dump = str(await tx.fetch("SELECT t::text FROM access.write_keys t UNION ALL SELECT t::text FROM access.api_keys t"))
    assert keys[0].startswith("rk_write_")
    assert keys[1].startswith("rk_live_")
    assert all(len(key) > 45 and key not in dump for key in keys)


async def test_a_new_key_opens_and_a_revoked_one_stops(database: Database, cache: AccessCache) -> None:
    await cache.start()
    async with database.transaction() as tx:
        await create_source(tx, Source(id="shop", name="Shop", kind="web", verified=False, default_currency="USD"))
        write_key = await create_write_key(tx, "shop")
        api_key = await create_api_key(tx, "crm", ["profiles:read"])
    source = await eventually(lambda: cache.source_for(write_key))
    assert source == Source(id="shop", name="Shop", kind="web", verified=False, default_currency="USD")
    principal = cache.principal_for(api_key)
    assert principal is not None
    assert (principal.has("profiles:read"), principal.has("profiles:write")) == (True, False)
    async with database.transaction() as tx:
        assert await revoke_key(tx, write_key)
        assert not await revoke_key(tx, write_key)
        assert await revoke_api_keys_named(tx, "crm") == 1
    await eventually(lambda: cache.source_for(write_key) is None and cache.principal_for(api_key) is None)


async def test_a_key_of_the_other_kind_opens_nothing(database: Database, cache: AccessCache) -> None:
    await ensure_dev_keys(database)
    await cache.start()
    assert cache.source_for(DEV_API_KEY) is None
    assert cache.principal_for(DEV_WRITE_KEY) is None
    assert cache.source_for("") is None
    assert cache.source_for("\ud800") is None


async def test_a_disabled_source_is_known_and_closed(database: Database, cache: AccessCache) -> None:
    async with database.transaction() as tx:
        await create_source(tx, Source(id="shop", name="Shop", kind="web", verified=False, enabled=False))
        key = await create_write_key(tx, "shop")
    await cache.start()
    assert cache.source_for(key) is None
    assert cache.find_source(key) is not None


async def test_a_key_needs_a_source(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(NotFound):
            await create_write_key(tx, "nowhere")


async def test_the_last_keys_known_hold_while_the_database_is_away(database: Database, cache: AccessCache) -> None:
    await ensure_dev_keys(database)
    await cache.start()
    async with database.transaction() as tx:
        await tx.execute("ALTER SCHEMA access RENAME TO away")
    try:
        with pytest.raises(Exception, match="access"):
            await cache.refresh()
        assert cache.source_for(DEV_WRITE_KEY) is not None
    finally:
        async with database.transaction() as tx:
            await tx.execute("ALTER SCHEMA away RENAME TO access")


async def test_nobody_is_refused_before_anything_could_be_loaded(database: Database) -> None:
    never_loaded = AccessCache(database)
    with pytest.raises(Unavailable):
        never_loaded.source_for(DEV_WRITE_KEY)
    with pytest.raises(Unavailable):
        never_loaded.principal_for(DEV_API_KEY)


async def test_production_does_not_start_with_development_keys(database: Database) -> None:
    await ensure_dev_keys(database)
    with pytest.raises(ConfigurationRefused, match="revoke"):
        await AccessCache(database, env="production").start()
    async with database.transaction() as tx:
        assert await revoke_dev_keys(tx)
    clean = AccessCache(database, env="production")
    await clean.start()
    await clean.close()
    assert clean.source_for(DEV_WRITE_KEY) is None


async def test_production_never_makes_development_keys(database: Database) -> None:
    with pytest.raises(ConfigurationRefused):
        await ensure_dev_keys(database, env="production")
