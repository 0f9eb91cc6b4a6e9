"""What a sender can't do to us: each limit, just within it and just beyond it."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from libs.kit.clock import FakeClock
from services.ingest.adapters.fake_spool import FakeSpool
from services.ingest.adapters.spooling_publisher import SpoolingPublisher
from services.ingest.api.bodies import Body, inflate, read_body
from services.ingest.api.gate import Gate
from services.ingest.domain.limits import BATCH_BYTES, BATCH_EVENTS, DEPTH, EVENT_BYTES, GZIP_MEMBERS, KEYS, REPEATED_BYTES
from services.ingest.errors import Overloaded
from tests.support.eventually import eventually
from tests.support.intake import World, make_track

HEADERS = {"X-Write-Key": "dev-write-key"}


async def post(world: World, path: str, content: bytes) -> httpx.Response:
    async with world.client() as client:
        response: httpx.Response = await client.post(path, content=content, headers=HEADERS)
    return response


def make_sized(size: int) -> bytes:
    call = json.dumps(make_track(properties={"a": ""})).encode()
    return call.replace(b'"a": ""', b'"a": "%s"' % (b"x" * (size - len(call))))


def nest(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def make_keys(count: int) -> bytes:
    """So many members, in an object and in objects of a list in it."""
    halves = [b",".join(b'"%x":0' % number for number in range(half)) for half in (count // 2 - 1, count - count // 2)]
    return b'{"list":[{%s}],%s}' % tuple(halves)


def with_properties(properties: bytes) -> bytes:
    return b'{"type":"track","event":"E","userId":"u","messageId":"m","properties":' + properties + b"}"


@pytest.mark.parametrize(
    ("fitting", "beyond", "reason"),
    [
        (make_sized(EVENT_BYTES), make_sized(EVENT_BYTES + 1), "event_too_large"),
        (with_properties(nest(DEPTH - 1)), with_properties(nest(DEPTH + 1)), "too_deep"),
        (with_properties(make_keys(KEYS)), with_properties(make_keys(KEYS + 1)), "too_many_keys"),
    ],
    ids=["bytes", "depth", "keys"],
)
async def test_an_event_beyond_a_limit_is_refused_alone(fitting: bytes, beyond: bytes, reason: str) -> None:
    world = World()
    response = await post(world, "/v1/batch", b'{"batch":[%s,%s]}' % (fitting, beyond))
    assert response.status_code == 200
    assert len(world.recorded()) == 1
    assert [rejection.reason for rejection in world.rejected()] == [reason]


@pytest.mark.parametrize(
    ("properties", "reason"), [(nest(DEPTH + 1), "too_deep"), (make_keys(KEYS + 1), "too_many_keys")], ids=["depth", "keys"]
)
async def test_our_own_api_has_the_same_limits(properties: bytes, reason: str) -> None:
    world = World()
    touchpoint = b'{"name":"E","occurred_at":"2026-11-22T12:00:00Z","identifiers":{"user_id":"u"},"properties":%s}' % properties
    response = await post(world, "/v1/touchpoints", b'{"touchpoints":[%s]}' % touchpoint)
    assert [rejected["reason"] for rejected in response.json()["rejected"]] == [reason]


async def test_members_of_properties_traits_and_context_count_together() -> None:
    world = World()
    third = make_keys(KEYS // 3 + 1)
    await post(world, "/v1/identify", b'{"userId":"u","traits":%s,"properties":%s,"context":%s}' % (third, third, third))
    assert [rejection.reason for rejection in world.rejected()] == ["too_many_keys"]


async def test_colons_in_texts_are_no_members() -> None:
    world = World()
    await post(world, "/v1/track", with_properties(b'{"a":"%s"}' % (b":" * 20_000)))
    assert len(world.recorded()) == 1


async def test_a_batch_takes_so_many_events_and_parks_the_others() -> None:
    world = World()
    call = with_properties(b"{}")
    await post(world, "/v1/batch", b'{"batch":[' + b",".join([call] * (BATCH_EVENTS + 3)) + b"]}")
    assert len(world.recorded()) == BATCH_EVENTS
    assert [rejection.reason for rejection in world.rejected()] == ["too_many_events"]


async def test_a_context_that_would_multiply_beyond_all_measure_is_refused_with_its_batch_and_parked_once() -> None:
    world = World()
    call = b'{"type":"track","event":"E","userId":"u"}'
    context = b'{"a":"%s"}' % (b"x" * (REPEATED_BYTES // 1000))
    body = b'{"context":%s,"batch":[%s]}' % (context, b",".join([call] * 1000))
    response = await post(world, "/v1/batch", body)
    assert (response.status_code, response.json()["code"]) == (413, "batch_too_large")
    assert [bytes(rejection.body) for rejection in world.rejected()] == [body]
    response = await post(world, "/v1/batch", b'{"context":%s,"batch":[%s]}' % (context, b",".join([call] * 900)))
    assert (response.status_code, len(world.recorded())) == (200, 900)


def test_a_bomb_is_inflated_to_the_limit_and_no_further() -> None:
    bomb = inflate(gzip.compress(b" " * 100_000_000))
    assert (len(bomb.data), bomb.complete) == (BATCH_BYTES, False)


def test_a_stream_of_many_empty_members_costs_no_time() -> None:
    """Each would cost a copy of all that follow."""
    many = gzip.compress(b"") * (BATCH_BYTES // 20)
    began_s = time.perf_counter()
    assert inflate(many) == Body(many, complete=True)
    assert time.perf_counter() - began_s < 0.2
    few = gzip.compress(b"1") * GZIP_MEMBERS
    assert inflate(few) == Body(b"1" * GZIP_MEMBERS, complete=True)


class TestReading:
    @staticmethod
    def send_slowly(count: int, stop: asyncio.Event) -> Any:
        left = count

        async def receive() -> MutableMapping[str, Any]:
            nonlocal left
            left -= 1
            if left < 0:
                await stop.wait()
            return {"type": "http.request", "body": b"x" * 1000, "more_body": left >= 0}

        return receive

    async def test_bodies_that_come_slowly_are_bounded_together(self) -> None:
        gate, stop = Gate(10_000), asyncio.Event()
        slow = [asyncio.create_task(read_body(self.send_slowly(4, stop), gate)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await read_body(self.send_slowly(4, stop), gate)
        assert int(refused.value.headers["Retry-After"]) >= 1
        stop.set()
        assert [len((await body).data) for body in slow] == [5000, 5000]
        with gate.admit(10_000):
            pass


@asynccontextmanager
async def open_world(spool: FakeSpool) -> AsyncIterator[World]:
    """A gateway with a spool."""
    world = World()
    direct = world.broker.publisher()
    async with SpoolingPublisher(direct, direct, spool, FakeClock()) as publisher:
        yield World(broker=world.broker, publisher=publisher)


class TestBrokerAway:
    async def test_touchpoints_and_rejections_are_acknowledged_by_the_spool_and_reach_the_log_later(self) -> None:
        spool = FakeSpool()
        async with open_world(spool) as world:
            world.broker.down = True
            assert (await post(world, "/v1/track", with_properties(b"{}"))).status_code == 200
            assert (await post(world, "/v1/track", b'{"event":"E"}')).status_code == 200
            assert (await post(world, "/v1/track", b'{"broken"')).status_code == 400
            assert world.recorded() == world.rejected() == []
            world.broker.down = False
            await eventually(lambda: spool.usage.records == 0)
            assert len(world.recorded()) == 1
            assert sorted(rejection.reason for rejection in world.rejected()) == ["no_identifier", "not_json"]

    async def test_a_full_spool_is_503_with_a_whole_number_of_seconds_and_nothing_is_acknowledged(self) -> None:
        async with open_world(FakeSpool(max_bytes=10)) as world:
            world.broker.down = True
            response = await post(world, "/v1/track", with_properties(b"{}"))
            assert (response.status_code, response.json()["code"]) == (503, "broker_away")
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["message"]
            world.broker.down = False
            await eventually(lambda: post(world, "/v1/track", with_properties(b"{}")), until=lambda answer: answer.is_success)
            assert len(world.recorded()) == 1
