"""Idempotency keys: one answer for a key and its input, at the same time too, and what a crash or the passing of time leaves."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.durable.idempotency import (
    REPLAYED,
    IdempotencyKeyReused,
    StoredAnswer,
    answer_once,
    claim,
    purge_idempotency_keys,
    store_answer,
)
from libs.kit.db import Database
from libs.kit.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ANSWER = StoredAnswer(201, b'{"id":1}', (("Location", "/v1/things/1"),))


async def answer(database: Database, key: str | None = "k", scope: str = "s", given: bytes = b"input") -> StoredAnswer:
    async def run() -> StoredAnswer:
        return ANSWER

    async with database.transaction() as tx:
        return await answer_once(tx, key, scope, given, NOW, run)


def replayed(stored: StoredAnswer) -> bool:
    assert (stored.status, stored.body, stored.headers[:1]) == (ANSWER.status, ANSWER.body, ANSWER.headers)
    return REPLAYED in stored.headers


async def test_the_same_key_and_input_give_the_same_answer(database: Database) -> None:
    assert [replayed(await answer(database)) for _ in range(3)] == [False, True, True]


async def test_without_a_key_everything_is_done(database: Database) -> None:
    assert [replayed(await answer(database, None)) for _ in range(2)] == [False, False]


async def test_the_same_key_with_another_input_is_refused(database: Database) -> None:
    await answer(database)
    with pytest.raises(IdempotencyKeyReused) as caught:
        await answer(database, given=b"other")
    assert (caught.value.status, caught.value.errors[0].pointer) == (422, "#/header/idempotency-key")
    assert replayed(await answer(database))


async def test_scopes_keep_equal_keys_apart(database: Database) -> None:
    assert [replayed(await answer(database, scope=scope)) for scope in ("burns", "merges")] == [False, False]


async def test_a_claim_that_left_no_answer_is_done_again(database: Database) -> None:
    async with database.transaction() as tx:
        assert await claim(tx, "k", "s", b"h", NOW) is None
    async with database.transaction() as tx:
        assert await claim(tx, "k", "s", b"h", NOW) is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_a_key_that_cannot_be_one_is_invalid(database: Database, key: str) -> None:
    with pytest.raises(Invalid) as caught:
        await answer(database, key)
    assert caught.value.errors[0].pointer == "#/header/idempotency-key"


async def test_any_text_may_be_a_key(database: Database) -> None:
    key = "ключ \U0001f511 " + "x" * 200
    assert [replayed(await answer(database, key)) for _ in range(2)] == [False, True]


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
