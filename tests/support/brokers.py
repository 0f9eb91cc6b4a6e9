"""Brokers for tests of messaging: the fake and the real one behind one face, and a listener that remembers."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from libs.events.envelope import Incoming, Outgoing
from libs.events.topics import Topic
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import ensure_topics
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.kafka_source import KafkaSource, SourceOptions
from libs.messaging.ports import AssignmentListener, Publisher, RecordSource, TopicPartition
from libs.messaging.producer import KafkaPublisher
from tests.support.eventually import eventually

QUICK_SOURCE = SourceOptions(session_timeout_s=3.0, rebalance_timeout_s=12.0, fetch_wait_s=0.05)


def make_topic(name: str, *, partitions: int = 3, consumers: tuple[str, ...] = ()) -> Topic:
    """A topic that libs.events doesn't declare."""
    return Topic(
        name=name,
        owner="ingest",
        producers=("ingest",),
        consumers=consumers,  # type: ignore[arg-type]  # tests invent services
        key="any",
        events=(),
        partitions=partitions,
    )


def make_outgoing(
    topic: str, key: str, value: str | None, *headers: tuple[str, bytes], timestamp_ms: int | None = None
) -> Outgoing:
    return Outgoing(topic, key.encode(), None if value is None else value.encode(), headers, timestamp_ms)


@dataclass
class Recorder:
    """An AssignmentListener that remembers what it was told."""

    assigned_partitions: list[list[TopicPartition]] = field(default_factory=list)
    revoked_partitions: list[list[TopicPartition]] = field(default_factory=list)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self.assigned_partitions.append(list(partitions))

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.revoked_partitions.append(list(partitions))


class TestBroker(Protocol):
    """What a test needs of a broker, whichever it is."""

    __test__ = False

    async def create(self, topic: str, *, partitions: int = 3, prefix: str = "") -> None: ...

    async def publisher(self, *, prefix: str = "") -> Publisher: ...

    def source(self, group: str, *, prefix: str = "") -> RecordSource: ...

    async def close(self) -> None: ...


class FakeTestBroker:
    def __init__(self) -> None:
        self.broker = FakeBroker()

    async def create(self, topic: str, *, partitions: int = 3, prefix: str = "") -> None:
        self.broker.create_topic(prefix + topic, partitions=partitions)

    async def publisher(self, *, prefix: str = "") -> Publisher:
        return self.broker.publisher(prefix=prefix)

    def source(self, group: str, *, prefix: str = "") -> RecordSource:
        return self.broker.source(prefix + group, prefix=prefix)

    async def close(self) -> None:
        """Nothing to close."""


class KafkaTestBroker:
    def __init__(self, kafka: str, prefix: str) -> None:
        self._kafka = kafka
        self._prefix = prefix
        self._publishers = AsyncExitStack()

    def settings(self, prefix: str = "") -> PlatformSettings:
        return PlatformSettings(kafka=self._kafka, topic_prefix=self._prefix + prefix)

    async def create(self, topic: str, *, partitions: int = 3, prefix: str = "") -> None:
        await ensure_topics(self.settings(prefix), [make_topic(topic, partitions=partitions)])

    async def publisher(self, *, prefix: str = "") -> Publisher:
        return await self._publishers.enter_async_context(KafkaPublisher(self.settings(prefix)))

    def source(self, group: str, *, prefix: str = "") -> RecordSource:
        return KafkaSource(self.settings(prefix), group, options=QUICK_SOURCE)

    async def close(self) -> None:
        await self._publishers.aclose()


async def read_all(source: RecordSource, topic: str, count: int, *, within_s: float = 20.0) -> list[Incoming]:
    """The next `count` records; fewer only where they don't come in time."""
    records: list[Incoming] = []
    deadline = asyncio.get_running_loop().time() + within_s
    while len(records) < count and asyncio.get_running_loop().time() < deadline:
        records.extend(await source.poll(topic, max_records=1000, max_bytes=10_000_000, timeout_s=0.2))
    return records


async def join(source: RecordSource, topic: str, listener: AssignmentListener | None = None, *, within_s: float = 20.0) -> None:
    """Start and wait until partitions are assigned."""
    await source.start([topic], listener or Recorder())
    await eventually(source.assignment, within_s=within_s)
