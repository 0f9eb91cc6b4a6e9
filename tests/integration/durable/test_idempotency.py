"""Equal keys at the same time, and what a crash or the passing of time leaves of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.durable.idempotency import IdempotencyKeyReused, StoredAnswer, claim, purge_idempotency_keys, store_answer
from libs.kit.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def command(database: Database, number: int, key: str = "k", input_hash: bytes = b"h") -> tuple[bool, bytes]:
    """Whether this call did the work, and the answer."""
    async with database.transaction() as tx:
        stored = await claim(tx, key, "burn", input_hash, NOW)
        if stored is not None:
            return False, stored.body
        await asyncio.sleep(0.02)
        await store_answer(tx, key, "burn", StoredAnswer(201, b"%d" % number))
        return True, b"%d" % number


async def test_of_many_equal_requests_at_once_one_does_the_work(database: Database) -> None:
    outcomes = await asyncio.gather(*(command(database, number) for number in range(10)))
    assert sum(did for did, _ in outcomes) == 1
    assert len({body for _, body in outcomes}) == 1


async def test_another_input_at_the_same_time_is_refused(database: Database) -> None:
    outcomes = await asyncio.gather(
        command(database, 1, input_hash=b"one"), command(database, 2, input_hash=b"two"), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(IdempotencyKeyReused) == 1


async def test_a_command_that_failed_leaves_its_key_free(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await claim(tx, "k", "burn", b"h", NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await command(database, 1, input_hash=b"another") == (True, b"1")


async def test_who_waits_for_a_command_that_fails_does_the_work(database: Database) -> None:
    claimed = asyncio.Event()

    async def fail() -> None:
        async with database.transaction() as tx:
            await claim(tx, "k", "burn", b"h", NOW)
            claimed.set()
            await asyncio.sleep(0.05)
            raise ZeroDivisionError

    failing = asyncio.create_task(fail())
    await claimed.wait()
    assert await command(database, 1) == (True, b"1")
    with pytest.raises(ZeroDivisionError):
        await failing


async def test_keys_are_kept_two_days(database: Database) -> None:
    await command(database, 1, "old")
    async with database.transaction() as tx:
        assert await purge_idempotency_keys(tx, NOW + timedelta(hours=47)) == 0
        assert await purge_idempotency_keys(tx, NOW + timedelta(hours=49)) == 1
    assert await command(database, 2, "old") == (True, b"2")
