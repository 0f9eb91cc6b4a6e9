"""Poison, limits and replays against a real broker and database, with the counter as consumer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from libs.durable.outbox import PostgresOutbox
from libs.events.envelope import Incoming, Outgoing
from libs.events.topics import PROFILE_CHANGES, Topic, dead_letter_topic
from libs.kit.clock import SystemClock
from libs.kit.db import Database, Tx
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import compute_lag, ensure_topics
from libs.messaging.consumer import BatchConsumer
from libs.messaging.dead_letter_queues import list_dead_letter_queues, read_dead_letters, replay_dead_letters
from libs.messaging.errors import ConsumerStopped
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy, DeadLetterLimit
from libs.messaging.ports import BatchHandler, BatchResult
from libs.messaging.producer import KafkaPublisher
from tests.integration.messaging.counter import COUNTED, SCHEMA, TABLES, count_records
from tests.support.backing import Stack
from tests.support.brokers import QUICK_SOURCE, make_outgoing, make_topic
from tests.support.eventually import eventually

GROUP = "loyalty"
TOPIC = PROFILE_CHANGES.name
POLICY = ConsumerPolicy(
    batch_max_records=500, backoff_max_s=1.0, sweep_interval_s=0.5, dead_letters=DeadLetterLimit(max_ratio=0.1, free=5)
)


async def count_lenient(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
    """The counter after the bug is mended: poison counts like any other."""
    mended = [Incoming(m.topic, m.partition, m.offset, m.key, b"{}", m.headers, m.timestamp_ms) for m in messages]
    return await count_records(tx, mended)


@dataclass
class World:
    settings: PlatformSettings
    database: Database
    publisher: KafkaPublisher

    def make_consumer(self, handler: BatchHandler, group: str = GROUP) -> BatchConsumer:
        return BatchConsumer(
            group=group,
            handlers={TOPIC: handler},
            source=KafkaSource(self.settings, group, options=QUICK_SOURCE),
            database=self.database,
            outbox=PostgresOutbox(self.database, self.publisher),
            clock=SystemClock(),
            policy=POLICY,
        )

    @asynccontextmanager
    async def running(self, handler: BatchHandler, group: str = GROUP) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.make_consumer(handler, group).run(stop))
        yield
        stop.set()
        await task

    async def publish(self, *values: str) -> None:
        """Keys `k0`... over all partitions."""
        await self.publisher.publish(
            [make_outgoing(TOPIC, f"k{n}", value, ("ce_id", str(uuid4()).encode())) for n, value in enumerate(values)]
        )

    async def waiting(self, group: str = GROUP) -> int:
        return sum((await compute_lag(self.settings, group, [TOPIC])).values())

    async def counted(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(n), 0) FROM counts"))


@pytest.fixture
async def world(stack: Stack, database_dsn: str) -> AsyncIterator[World]:
    prefix = f"t{uuid4().hex[:8]}-"
    settings = PlatformSettings(kafka=stack.kafka, topic_prefix=prefix)
    await ensure_topics(settings, [declared_small(), make_topic(COUNTED)])
    database = await Database.open(database_dsn, schema=SCHEMA, application_name="test")
    async with database.connection() as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await connection.execute(TABLES)
    async with KafkaPublisher(settings) as publisher:
        yield World(settings, database, publisher)
    await database.close()


def declared_small() -> Topic:
    return Topic(
        PROFILE_CHANGES.name,
        PROFILE_CHANGES.owner,
        PROFILE_CHANGES.producers,
        PROFILE_CHANGES.consumers,
        PROFILE_CHANGES.key,
        PROFILE_CHANGES.events,
        retention_ms=None,
        partitions=2,
        compact=True,
    )


def caught_up(world: World, group: str = GROUP) -> Callable[[], object]:
    async def probe() -> bool:
        return await world.waiting(group) == 0

    return probe


async def test_a_poison_record_ends_alone_and_comes_back_once_the_bug_is_mended(world: World) -> None:
    await world.publish(*["{}"] * 100, "poison", *["{}"] * 100)
    async with world.running(count_records), world.running(count_records, "segmentation"):
        await eventually(caught_up(world))
        await eventually(caught_up(world, "segmentation"))
    # Both groups share one table of ids here: each record counts once, whoever saw it first.
    assert await world.counted() == 200

    (letter,) = await read_dead_letters(world.settings, GROUP, TOPIC)
    assert (letter.key, letter.reason, letter.group) == (b"k100", "handler_error", GROUP)
    assert letter.step.startswith("ValueError at counter.py")
    queues = {queue.name: (queue.records, queue.waiting) for queue in await list_dead_letter_queues(world.settings)}
    assert queues[dead_letter_topic(GROUP, TOPIC)] == (1, 1)
    assert queues[dead_letter_topic("segmentation", TOPIC)] == (1, 1)

    now = SystemClock().now()
    replay = lambda: replay_dead_letters(world.settings, world.publisher, group=GROUP, topic=TOPIC, now=now)  # noqa: E731
    assert await replay() == 1
    assert await replay() == 0
    async with world.running(count_lenient), world.running(count_records, "segmentation"):
        await eventually(caught_up(world))
        await eventually(caught_up(world, "segmentation"))

    async with world.database.connection() as connection:
        assert await connection.fetchval("SELECT n FROM counts WHERE key = 'k100'") == 1
    assert len(await read_dead_letters(world.settings, GROUP, TOPIC)) == 1
    assert len(await read_dead_letters(world.settings, "segmentation", TOPIC)) == 1
    (queue,) = [queue for queue in await list_dead_letter_queues(world.settings) if queue.group == GROUP]
    assert (queue.records, queue.waiting) == (1, 0)


async def test_chosen_dead_letters_can_be_replayed_again(world: World) -> None:
    await world.publish("{}", "bad", "{}", "bad")
    async with world.running(count_records):
        await eventually(caught_up(world))
    letters = await read_dead_letters(world.settings, GROUP, TOPIC)
    now = SystemClock().now()
    for _ in range(2):
        sent = await replay_dead_letters(
            world.settings, world.publisher, group=GROUP, topic=TOPIC, now=now, offsets=[letters[1].offset]
        )
        assert sent == 1
    async with world.running(count_lenient):
        await eventually(caught_up(world))

    assert len(letters) == 2
    assert await world.counted() == 3
    assert all(UUID(letter.headers["ce_id"].decode()) for letter in letters)


async def test_a_replay_does_not_send_what_is_rejected_meanwhile(world: World) -> None:
    await world.publish("{}", "bad", "bad")
    async with world.running(count_records):
        await eventually(caught_up(world))
    rounds = 0

    class Answered:
        """Nothing was mended: the consumer has rejected everything again before the publisher comes back."""

        async def publish(self, messages: Sequence[Outgoing]) -> None:
            nonlocal rounds
            rounds += 1
            assert rounds == 1
            await world.publisher.publish(messages)
            async with world.running(count_records):
                await eventually(caught_up(world))

    now = SystemClock().now()
    assert await replay_dead_letters(world.settings, Answered(), group=GROUP, topic=TOPIC, now=now) == 2
    assert len(await read_dead_letters(world.settings, GROUP, TOPIC)) == 4


async def test_the_ratio_limit_stops_a_bad_deploy_with_the_offsets_before_the_trouble(world: World) -> None:
    await world.publish(*["bad"] * 300)

    async def broken(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        raise TypeError("bad deploy")

    with pytest.raises(ConsumerStopped, match="rejects too much"):
        await asyncio.wait_for(world.make_consumer(broken).run(asyncio.Event()), 30)

    assert len(await read_dead_letters(world.settings, GROUP, TOPIC)) == POLICY.dead_letters.free
    assert await world.waiting() == 300 - POLICY.dead_letters.free


async def test_consumers_that_come_and_go_lose_and_repeat_nothing(world: World) -> None:
    async with world.running(count_records):
        for _ in range(3):
            await world.publish(*["{}"] * 200)
            async with world.running(count_records):
                await world.publish(*["{}"] * 200)
        await eventually(caught_up(world))

    assert await world.counted() == 1200
