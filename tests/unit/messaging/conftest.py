import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import structlog.testing

from libs.events.envelope import Incoming, Outgoing
from libs.kit.clock import SystemClock
from libs.messaging.consumer import BatchConsumer
from libs.messaging.errors import ConsumerStopped
from libs.messaging.fake_broker import FakeBroker, FakeSource
from libs.messaging.outcomes import Outcome
from libs.messaging.policy import ConsumerPolicy, DeadLetterLimit
from tests.support.brokers import make_outgoing
from tests.support.consumers import CountingDatabase, CountingHandler, RollingBackOutbox
from tests.support.eventually import eventually

TOPIC = "touchpoints"
GROUP = "profile"
QUICK = ConsumerPolicy(
    batch_max_records=64,
    poll_timeout_s=0.02,
    backoff_min_s=0.01,
    backoff_max_s=0.05,
    revoke_wait_s=0.3,
    drain_wait_s=2.0,
    sweep_interval_s=0.05,
    dead_letters=DeadLetterLimit(max_ratio=0.5, free=5, window_records=100),
)


@dataclass
class World:
    """A fake broker, a database that counts, and consumers over both."""

    broker: FakeBroker = field(default_factory=FakeBroker)
    database: CountingDatabase = field(default_factory=CountingDatabase)
    policy: ConsumerPolicy = QUICK
    sources: list[FakeSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker.create_topic(TOPIC, partitions=3)
        self.publisher = self.broker.publisher()
        self.outbox = RollingBackOutbox(self.broker.publisher(), self.database)

    async def publish(self, *keys: str, topic: str = TOPIC) -> None:
        await self.publisher.publish([make_outgoing(topic, key, "{}", ("ce_id", key.encode())) for key in keys])

    async def publish_records(self, *records: Outgoing) -> None:
        await self.publisher.publish(records)

    def make_handler(
        self, rule: Callable[[Incoming], Outcome | None] = lambda _: None, *, tell: str | None = None
    ) -> CountingHandler:
        return CountingHandler(self.database, rule, tell)

    def make_consumer(self, handler: CountingHandler, *, group: str = GROUP, topics: tuple[str, ...] = (TOPIC,)) -> BatchConsumer:
        source = self.broker.source(group)
        self.sources.append(source)
        return BatchConsumer(
            group=group,
            handlers=dict.fromkeys(topics, handler),
            source=source,
            database=self.database,
            outbox=self.outbox,
            clock=SystemClock(),
            policy=self.policy,
            random=Random(1),
        )

    @asynccontextmanager
    async def running(self, handler: CountingHandler, **options: str) -> AsyncIterator[BatchConsumer]:
        consumer = self.make_consumer(handler, **options)  # type: ignore[arg-type]
        stop = asyncio.Event()
        task = asyncio.create_task(consumer.run(stop))
        try:
            yield consumer
        finally:
            stop.set()
            with suppress(ConsumerStopped):
                await task

    async def consumed(self, group: str = GROUP) -> None:
        """Until the group has committed everything there is."""
        await eventually(lambda: self.waiting(group) == 0, within_s=5)

    def waiting(self, group: str = GROUP, topic: str = TOPIC) -> int:
        committed = sum(offset for partition, offset in self.broker.committed(group).items() if partition.topic == topic)
        return len(self.broker.records(topic)) - committed

    def dead_letters(self, group: str = GROUP) -> list[Incoming]:
        return self.broker.records(f"{group}-{TOPIC}-dlq")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the code logged; nothing is printed (the default printer draws every local variable of a traceback)."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def world() -> World:
    return World()
