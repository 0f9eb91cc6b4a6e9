"""A database belongs to one identity key and one version of the identity rules."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.durable.installation import IdentityMismatch, check_installation
from libs.kit.access_tables import migrate_access
from libs.kit.db import Database
from libs.kit.errors import ConfigurationRefused


@pytest.fixture
async def access_database(database_dsn: str) -> AsyncIterator[Database]:
    await migrate_access(database_dsn)
    opened = await Database.open(database_dsn, schema="access", application_name="test")
    async with opened.transaction() as tx:
        await tx.execute("TRUNCATE access.installation")
    yield opened
    await opened.close()


async def check(database: Database, fingerprint: str = "aaaa", version: int = 1) -> None:
    async with database.transaction() as tx:
        await check_installation(tx, key_fingerprint=fingerprint, identity_version=version)


async def test_the_first_start_decides_and_the_next_ones_agree(access_database: Database) -> None:
    await check(access_database)
    await check(access_database)


async def test_before_any_migration_the_way_out_is_told(access_database: Database) -> None:
    async with access_database.transaction() as tx:
        await tx.execute("ALTER TABLE access.installation RENAME TO hidden")
    try:
        with pytest.raises(ConfigurationRefused, match="rapport migrate"):
            await check(access_database)
    finally:
        async with access_database.transaction() as tx:
            await tx.execute("ALTER TABLE access.hidden RENAME TO installation")


async def test_another_key_is_refused_with_a_way_out(access_database: Database) -> None:
    await check(access_database)
    with pytest.raises(IdentityMismatch, match=r"aaaa.*bbbb.*RAPPORT_IDENTITY_KEY"):
        await check(access_database, "bbbb")


async def test_another_version_of_the_rules_is_refused(access_database: Database) -> None:
    await check(access_database)
    with pytest.raises(IdentityMismatch, match="version 1"):
        await check(access_database, version=2)


async def test_of_two_keys_at_the_first_start_one_wins(access_database: Database) -> None:
    outcomes = await asyncio.gather(check(access_database, "aaaa"), check(access_database, "bbbb"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(IdentityMismatch) == 1
