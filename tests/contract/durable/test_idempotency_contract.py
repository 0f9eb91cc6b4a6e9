"""One suite for every store of idempotency keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import pytest

from libs.durable.idempotency import (
    FakeIdempotencyKeys,
    IdempotencyKeyReused,
    IdempotencyKeys,
    PostgresIdempotencyKeys,
    StoredAnswer,
)
from libs.kit.db import Database, Tx
from libs.kit.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER = StoredAnswer(201, b'{"id":1}', (("Location", "/v1/things/1"),))


@dataclass
class World:
    keys: IdempotencyKeys
    transaction: Callable[[], AbstractAsyncContextManager[Tx]]

    async def claim(self, key: str = "k", scope: str = "s", input_hash: bytes = b"h") -> StoredAnswer | None:
        async with self.transaction() as tx:
            return await self.keys.claim(tx, key, scope, input_hash, NOW)

    async def do(self, key: str = "k", scope: str = "s", answer: StoredAnswer = ANSWER) -> None:
        async with self.transaction() as tx:
            assert await self.keys.claim(tx, key, scope, b"h", NOW) is None
            await self.keys.store_answer(tx, key, scope, answer)


@asynccontextmanager
async def no_transaction() -> AsyncIterator[Tx]:
    yield cast("Tx", None)


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        return World(FakeIdempotencyKeys(), no_transaction)
    database: Database = request.getfixturevalue("database")
    return World(PostgresIdempotencyKeys(), database.transaction)


async def test_a_new_key_is_claimed(world: World) -> None:
    assert await world.claim() is None


async def test_the_same_key_and_input_give_the_same_answer(world: World) -> None:
    await world.do()
    assert [await world.claim(), await world.claim()] == [ANSWER, ANSWER]


async def test_the_same_key_with_another_input_is_refused(world: World) -> None:
    await world.do()
    with pytest.raises(IdempotencyKeyReused) as caught:
        await world.claim(input_hash=b"other")
    assert (caught.value.status, caught.value.errors[0].pointer) == (422, "#/header/idempotency-key")
    assert await world.claim() == ANSWER


async def test_scopes_keep_equal_keys_apart(world: World) -> None:
    await world.do(scope="burns")
    assert await world.claim(scope="merges") is None


async def test_a_claim_that_left_no_answer_is_done_again(world: World) -> None:
    assert await world.claim() is None
    assert await world.claim() is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\0b"])
async def test_a_key_that_cannot_be_one_is_invalid(world: World, key: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.claim(key)
    assert caught.value.errors[0].pointer == "#/header/idempotency-key"


async def test_any_text_may_be_a_key(world: World) -> None:
    await world.do(key="ключ \U0001f511 " + "x" * 200)
    assert await world.claim("ключ \U0001f511 " + "x" * 200) == ANSWER
