"""One suite for every Outbox: the in-memory one and PostgreSQL's. The log is the fake broker's, the truth a table of versions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from libs.durable.outbox import FakeOutbox, PostgresOutbox
from libs.events.envelope import Outgoing
from libs.kit.db import Database, Tx
from libs.messaging.errors import PublishFailed
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.ports import Outbox

TOPIC = "profile-changes"


def make_record(key: str = "p1", version: int | None = 1, value: bytes = b"{}") -> Outgoing:
    headers = (("ce_id", b"1"),) if version is None else (("ce_id", b"1"), ("rapport_version", str(version).encode()))
    return Outgoing(TOPIC, key.encode(), value, headers, 1_700_000_000_000)


@dataclass
class Truth:
    """What the service's tables would say: the newest version of each key, and how often it was asked."""

    versions: dict[bytes, int] = field(default_factory=dict)
    asked: list[Sequence[tuple[bytes, int]]] = field(default_factory=list)

    async def current(self, _tx: Tx, published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
        self.asked.append(published)
        newer = [(key, self.versions[key]) for key, version in published if self.versions.get(key, 0) > version]
        return [make_record(key.decode(), version, b"current") for key, version in newer]


@dataclass
class World:
    outbox: Outbox
    broker: FakeBroker
    truth: Truth
    transaction: Callable[[], AbstractAsyncContextManager[Tx]]
    count_rows: Callable[[], Awaitable[int]]

    async def stage(self, *records: Outgoing) -> Any:
        async with self.transaction() as tx:
            return await self.outbox.stage(tx, records)

    def published(self) -> list[tuple[bytes | None, bytes | None, bytes | None]]:
        return [(one.key, one.headers.get("rapport_version"), one.value) for one in self.broker.records(TOPIC)]


@asynccontextmanager
async def no_transaction() -> AsyncIterator[Tx]:
    yield cast("Tx", None)


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    broker, truth = FakeBroker(partitions=1), Truth()
    if request.param == "fake":
        fake = FakeOutbox(broker.publisher(), current=truth.current)

        async def count_fake() -> int:
            return len(fake.rows)

        return World(fake, broker, truth, no_transaction, count_fake)
    database: Database = request.getfixturevalue("database")
    outbox = PostgresOutbox(database, broker.publisher(), current=truth.current)

    async def count() -> int:
        async with database.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM outbox"))

    return World(outbox, broker, truth, database.transaction, count)


async def test_nothing_staged_is_no_row(world: World) -> None:
    assert await world.stage() is None
    assert await world.count_rows() == 0


async def test_records_are_published_in_order_and_the_row_goes(world: World) -> None:
    records = [make_record("p1", 1), make_record("p2", None, b"two"), make_record("p1", 2)]
    staged = await world.stage(*records)
    assert (await world.count_rows(), world.published()) == (1, [])
    await world.outbox.publish(staged, records)
    assert world.published() == [(b"p1", b"1", b"{}"), (b"p2", None, b"two"), (b"p1", b"2", b"{}")]
    assert await world.count_rows() == 0


async def test_publishing_again_does_nothing(world: World) -> None:
    staged = await world.stage(make_record())
    await world.outbox.publish(staged, [make_record()])
    await world.outbox.publish(staged, [make_record()])
    assert len(world.published()) == 1


async def test_the_row_stays_when_publishing_fails_and_a_sweep_finds_it(world: World) -> None:
    staged = await world.stage(make_record())
    world.broker.fail_publish()
    with pytest.raises(PublishFailed):
        await world.outbox.publish(staged, [make_record()])
    assert (await world.count_rows(), world.published()) == (1, [])
    assert await world.outbox.sweep() == 1
    assert world.published() == [(b"p1", b"1", b"{}")]
    assert (await world.count_rows(), await world.outbox.sweep()) == (0, 0)


async def test_a_lost_acknowledgement_publishes_twice_never_not_at_all(world: World) -> None:
    staged = await world.stage(make_record())
    world.broker.fail_publish(lost_ack=True)
    with pytest.raises(PublishFailed):
        await world.outbox.publish(staged, [make_record()])
    await world.outbox.sweep()
    assert len(world.published()) == 2


async def test_a_sweep_publishes_the_stored_record_with_its_own_version_first(world: World) -> None:
    await world.stage(make_record("p1", 1, b"old"))
    world.truth.versions[b"p1"] = 3
    await world.outbox.sweep()
    assert world.published() == [(b"p1", b"1", b"old"), (b"p1", b"3", b"current")]


async def test_the_current_record_is_published_until_it_is_the_newest(world: World) -> None:
    raised = iter([2, 5, 5])
    answer = world.truth.current

    async def raise_then_answer(tx: Tx, published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
        world.truth.versions[b"p1"] = next(raised)
        return await answer(tx, published)

    world.outbox._current = raise_then_answer  # type: ignore[attr-defined]
    staged = await world.stage(make_record("p1", 1), make_record("p2", 1))
    await world.outbox.publish(staged, [make_record("p1", 1), make_record("p2", 1)])
    assert [version for key, version, _ in world.published() if key == b"p1"] == [b"1", b"2", b"5"]
    # p2 agreed the first time and isn't asked about again: whoever raises it later publishes it later.
    assert world.truth.asked == [[(b"p1", 1), (b"p2", 1)], [(b"p1", 2)], [(b"p1", 5)]]


async def test_the_highest_of_several_versions_in_one_transaction_is_compared(world: World) -> None:
    records = [make_record("p1", 7), make_record("p1", 9), make_record("p1", 8)]
    await world.outbox.publish(await world.stage(*records), records)
    assert world.truth.asked == [[(b"p1", 9)]]


async def test_records_without_a_version_are_never_compared(world: World) -> None:
    await world.outbox.publish(await world.stage(make_record("s", None)), [make_record("s", None)])
    assert world.truth.asked == []


async def test_a_row_that_cannot_be_published_does_not_keep_the_others_back(world: World) -> None:
    for key in ("p1", "p2", "p3"):
        await world.stage(make_record(key))
    world.broker.fail_publish("too large", retryable=False)
    with pytest.raises(PublishFailed):
        await world.outbox.sweep()
    assert (len(world.published()), await world.count_rows()) == (2, 1)
    assert await world.outbox.sweep() == 1


async def test_a_sweep_stops_while_the_broker_is_away(world: World) -> None:
    await world.stage(make_record("p1"))
    await world.stage(make_record("p2"))
    world.broker.down = True
    with pytest.raises(PublishFailed):
        await world.outbox.sweep()
    world.broker.down = False
    assert await world.outbox.sweep() == 2


async def test_a_row_that_is_being_published_is_left_to_its_publisher(world: World) -> None:
    holding, release = asyncio.Event(), asyncio.Event()
    answer = world.truth.current

    async def hold(tx: Tx, published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
        holding.set()
        await release.wait()
        return await answer(tx, published)

    world.outbox._current = hold  # type: ignore[attr-defined]
    staged = await world.stage(make_record())
    publishing = asyncio.create_task(world.outbox.publish(staged, [make_record()]))
    await holding.wait()
    assert await world.outbox.sweep() == 0
    await world.outbox.publish(staged, [make_record()])
    release.set()
    await publishing
    assert (len(world.published()), await world.count_rows()) == (1, 0)


async def test_a_tombstone_and_every_header_survive_the_row(world: World) -> None:
    record = Outgoing(TOPIC, b"\x00\xff", None, (("rapport_version", b"4"), ("empty", b"")), None)
    await world.stage(record)
    await world.outbox.sweep()
    (swept,) = world.broker.records(TOPIC)
    assert (swept.key, swept.value, dict(swept.headers)) == (b"\x00\xff", None, {"rapport_version": b"4", "empty": b""})
