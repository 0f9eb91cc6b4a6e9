"""One suite over the limiter of one process and the one that all share in Redis (where the machine has one)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from libs.kit.clock import FakeClock, SystemClock
from libs.kit.redis import connect_redis
from services.ingest.adapters.limiters import ProcessLimiter, RedisLimiter, build_limiter
from services.ingest.domain.rates import Rate
from services.ingest.ports import RateLimiter
from tests.support.backing import Stack

SLOW = Rate(1, 5)
"""Slow enough that the test's own time refills less than one."""


@pytest.fixture
async def limiters(stack: Stack) -> AsyncIterator[list[RateLimiter]]:
    redis = await connect_redis(stack.redis)
    found: list[RateLimiter] = [ProcessLimiter(SystemClock())]
    if redis is not None:
        found.append(RedisLimiter(redis, SystemClock(), prefix=f"test-{uuid4().hex}:"))
    yield found
    if redis is not None:
        await redis.aclose()


async def test_a_burst_passes_and_then_the_rate(limiters: list[RateLimiter]) -> None:
    for limiter in limiters:
        waits = [await limiter.admit("s", SLOW, 1) for _ in range(6)]
        assert waits[:5] == [0] * 5
        assert waits[5] == 1
        assert await limiter.admit("s", SLOW, 4) == 4


async def test_requests_at_once_share_what_there_is(limiters: list[RateLimiter]) -> None:
    for limiter in limiters:
        waits = await asyncio.gather(*(limiter.admit("s", SLOW, 1) for _ in range(50)))
        assert waits.count(0) in (5, 6)


async def test_a_request_larger_than_the_burst_passes_when_full_and_is_paid_for(limiters: list[RateLimiter]) -> None:
    for limiter in limiters:
        assert await limiter.admit("s", SLOW, 8) == 0
        assert await limiter.admit("s", SLOW, 1) in (3, 4)


async def test_sources_have_buckets_of_their_own(limiters: list[RateLimiter]) -> None:
    for limiter in limiters:
        assert [await limiter.admit(source, SLOW, 5) for source in ("a", "b")] == [0, 0]
        assert [bool(await limiter.admit(source, SLOW, 5)) for source in ("a", "b")] == [True, True]


async def test_a_changed_limit_counts_from_the_next_request(limiters: list[RateLimiter]) -> None:
    for limiter in limiters:
        assert await limiter.admit("s", SLOW, 5) == 0
        assert await limiter.admit("s", SLOW, 5) >= 4
        assert await limiter.admit("s", Rate(100_000, 5), 5) <= 1


async def test_processes_share_one_bucket_in_redis(stack: Stack) -> None:
    clients = [await connect_redis(stack.redis) for _ in range(2)]
    prefix = f"test-{uuid4().hex}:"
    found = [RedisLimiter(client, SystemClock(), prefix=prefix) for client in clients if client is not None]
    waits = [await limiter.admit("s", SLOW, 3) for limiter in found]
    # A machine without Redis has nothing to share: build_limiter says so below.
    assert [bool(wait) for wait in waits] == [False, True][: len(found)]
    for client in clients:
        if client is not None:
            await client.aclose()


async def test_without_redis_each_process_counts_for_itself_and_asks_again_after_a_while() -> None:
    clock = FakeClock()
    assert isinstance(build_limiter(None, clock, prefix=""), ProcessLimiter)
    away = await connect_redis("redis://127.0.0.1:1/0")
    assert away is not None
    limiter = build_limiter(away, clock, prefix="")
    assert [bool(await limiter.admit("s", Rate(1, 2), 1)) for _ in range(3)] == [False, False, True]
    clock.advance(timedelta(seconds=3))
    assert await limiter.admit("s", Rate(1, 2), 2) == 0
    await away.aclose()
