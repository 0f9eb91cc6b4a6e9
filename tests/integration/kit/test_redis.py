"""Redis may be there, away or unset; a start never fails for it."""

import pytest
from redis.exceptions import RedisError

from libs.kit.redis import connect_redis
from tests.support.backing import Stack


async def test_without_an_address_there_is_none() -> None:
    assert await connect_redis(None) is None


async def test_one_that_is_away_raises_only_when_used() -> None:
    client = await connect_redis("redis://127.0.0.1:1/0")
    assert client is not None
    with pytest.raises(RedisError):
        await client.get("x")
    await client.aclose()


async def test_one_that_is_there_counts(stack: Stack) -> None:
    client = await connect_redis(stack.redis)
    if client is not None:  # some machines have none, and then limits are kept per process
        assert await client.incr("test:kit:counter") >= 1
        await client.delete("test:kit:counter")
        await client.aclose()
