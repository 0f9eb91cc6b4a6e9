"""A broker in memory: partitions, offsets, groups, rebalances, failures to order. It passes the real one's contract suite."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from libs.events.envelope import Incoming, Outgoing
from libs.messaging.errors import OwnershipLost, PublishFailed, SourceUnavailable
from libs.messaging.partitions import partition_of
from libs.messaging.ports import AssignmentListener, TopicPartition


@dataclass(slots=True)
class _Failure:
    detail: str
    retryable: bool
    lost_ack: bool


@dataclass(slots=True)
class _Group:
    members: list["FakeSource"] = field(default_factory=list)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    rebalancing: asyncio.Lock = field(default_factory=asyncio.Lock)


class FakeBroker:
    """Every topic has `partitions` partitions unless created otherwise; using an unknown topic creates it.

    Set `down` and publishing fails, polling gives nothing and commits fail, as with a broker that was killed; the log stays.
    """

    def __init__(self, *, partitions: int = 6) -> None:
        self.down = False
        self._partitions = partitions
        self._logs: dict[str, list[list[Incoming]]] = {}
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._failures: list[_Failure] = []
        self._arrivals = asyncio.Event()

    def create_topic(self, name: str, *, partitions: int) -> None:
        self._logs[name] = [[] for _ in range(partitions)]

    def publisher(self, *, prefix: str = "") -> "FakePublisher":
        return FakePublisher(self, prefix)

    def source(self, group: str, *, prefix: str = "") -> "FakeSource":
        return FakeSource(self, self._groups[group], prefix)

    def records(self, topic: str) -> list[Incoming]:
        """Everything in a topic, partition after partition."""
        return [record for log in self._log(topic) for record in log]

    def committed(self, group: str) -> Mapping[TopicPartition, int]:
        return dict(self._groups[group].committed)

    def reset_offsets(self, group: str) -> None:
        """As `kafka-consumer-groups --reset-offsets --to-earliest` does, while nobody is in the group."""
        self._groups[group].committed.clear()

    def fail_publish(self, detail: str = "injected", *, times: int = 1, retryable: bool = True, lost_ack: bool = False) -> None:
        """The next publishes fail; with `lost_ack` their records are in the log all the same."""
        self._failures.extend(_Failure(detail, retryable, lost_ack) for _ in range(times))

    async def expire(self, source: "FakeSource") -> None:
        """The group forgets a member without telling it: a zombie, which keeps what it has and may no longer commit."""
        source.zombie = True
        await self.rebalance(source.group, leaving=source)

    async def rebalance(self, group: _Group, *, joining: "FakeSource | None" = None, leaving: "FakeSource | None" = None) -> None:
        """All partitions are revoked, members change, all partitions are dealt out anew (the eager protocol)."""
        async with group.rebalancing:
            for member in list(group.members):
                if member.positions and not member.zombie:
                    await member.hand_over()
            if leaving is not None and leaving in group.members:
                group.members.remove(leaving)
            if joining is not None:
                group.members.append(joining)
            for member, partitions in self._deal(group).items():
                member.take_over(partitions, group.committed)
                await member.listener.assigned(sorted(partitions))
            self._announce()

    def _deal(self, group: _Group) -> dict["FakeSource", list[TopicPartition]]:
        dealt: dict[FakeSource, list[TopicPartition]] = {member: [] for member in group.members}
        for topic in sorted({topic for member in group.members for topic in member.topics}):
            takers = [member for member in group.members if topic in member.topics]
            for partition in range(len(self._log(topic))):
                dealt[takers[partition % len(takers)]].append(TopicPartition(topic, partition))
        return dealt

    def append(self, message: Outgoing, prefix: str) -> None:
        logs = self._log(prefix + message.topic)
        partition = partition_of(message.key, len(logs))
        timestamp_ms = int(time.time() * 1000) if message.timestamp_ms is None else message.timestamp_ms
        logs[partition].append(
            Incoming(
                topic=message.topic,
                partition=partition,
                offset=len(logs[partition]),
                key=message.key,
                value=message.value,
                headers=dict(message.headers),
                timestamp_ms=timestamp_ms,
            )
        )

    def take_failure(self) -> _Failure | None:
        if self.down:
            return _Failure("the broker is away", retryable=True, lost_ack=False)
        return self._failures.pop(0) if self._failures else None

    def read(self, topic: str, partition: int, offset: int) -> Sequence[Incoming]:
        return () if self.down else self._log(topic)[partition][offset:]

    def end_offset(self, topic: str, partition: int) -> int:
        return len(self._log(topic)[partition])

    async def wait_for_arrival(self, timeout_s: float) -> None:
        event = self._arrivals
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return

    def announce(self) -> None:
        self._announce()

    def _announce(self) -> None:
        self._arrivals.set()
        self._arrivals = asyncio.Event()

    def _log(self, topic: str) -> list[list[Incoming]]:
        if topic not in self._logs:
            self.create_topic(topic, partitions=self._partitions)
        return self._logs[topic]


class FakePublisher:
    """A Publisher over a FakeBroker. `calls` counts how often it was asked."""

    def __init__(self, broker: FakeBroker, prefix: str) -> None:
        self._broker = broker
        self._prefix = prefix
        self.calls = 0

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        failure = self._broker.take_failure()
        if failure is None or failure.lost_ack:
            for message in messages:
                self._broker.append(message, self._prefix)
            self._broker.announce()
        if failure is not None:
            raise PublishFailed(failure.detail, retryable=failure.retryable)


class FakeSource:
    """A RecordSource over a FakeBroker: one member of a group."""

    def __init__(self, broker: FakeBroker, group: _Group, prefix: str) -> None:
        self._broker = broker
        self._prefix = prefix
        self._paused: set[TopicPartition] = set()
        self._delivering = True
        self.group = group
        self.topics: frozenset[str] = frozenset()
        self.positions: dict[TopicPartition, int] = {}
        self.zombie = False
        self.listener: AssignmentListener

    async def start(self, topics: Sequence[str], listener: AssignmentListener) -> None:
        self.topics = frozenset(self._prefix + topic for topic in topics)
        self.listener = _Declared(listener, self._prefix)
        await self._broker.rebalance(self.group, joining=self)

    async def hand_over(self) -> None:
        """Nothing more is delivered; what was can still be committed until the listener returns."""
        self._delivering = False
        await self.listener.revoked(sorted(self.positions))
        self.positions.clear()

    def take_over(self, partitions: Sequence[TopicPartition], committed: Mapping[TopicPartition, int]) -> None:
        self._delivering = True
        self.positions = {partition: committed.get(partition, 0) for partition in partitions}
        self._paused.clear()

    async def poll(
        self, topic: str, *, max_records: int, max_bytes: int, timeout_s: float, in_hand: Container[int] = ()
    ) -> Sequence[Incoming]:
        deadline = time.monotonic() + timeout_s
        while not (batch := self._take(self._prefix + topic, max_records, max_bytes, in_hand)):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return ()
            await self._broker.wait_for_arrival(left_s)
        return batch

    def _take(self, topic: str, max_records: int, max_bytes: int, in_hand: Container[int]) -> list[Incoming]:
        batch: list[Incoming] = []
        size_bytes = 0
        for partition in sorted(self.positions) if self._delivering else ():
            if partition.topic != topic or partition in self._paused or partition.partition in in_hand:
                continue
            for record in self._broker.read(topic, partition.partition, self.positions[partition]):
                size_bytes += len(record.value or b"")
                if len(batch) == max_records or (batch and size_bytes > max_bytes):
                    return batch
                batch.append(record)
                self.positions[partition] = record.offset + 1
        return batch

    def seek(self, partition: TopicPartition, offset: int) -> None:
        named = self._named(partition)
        if named in self.positions:
            self.positions[named] = offset

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(set(map(self._named, partitions)) & self.positions.keys())

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(map(self._named, partitions))
        self._broker.announce()

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._declare(partition) for partition in self.positions)

    def lag(self) -> Mapping[TopicPartition, int]:
        return {
            self._declare(partition): self._broker.end_offset(*partition) - position
            for partition, position in self.positions.items()
        }

    async def measure_lag(self) -> Mapping[TopicPartition, int]:
        await asyncio.sleep(0)
        if self._broker.down:
            raise SourceUnavailable("the broker is away")
        return {
            self._declare(partition): self._broker.end_offset(*partition) - self.group.committed.get(partition, 0)
            for partition in self.positions
        }

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await asyncio.sleep(0)
        if self._broker.down:
            raise SourceUnavailable("the broker is away")
        named = {self._named(partition): offset for partition, offset in offsets.items()}
        if self.zombie or not named.keys() <= self.positions.keys():
            raise OwnershipLost("the group has moved on")
        self.group.committed.update(named)

    async def close(self) -> None:
        await self._broker.rebalance(self.group, leaving=self)
        self.positions.clear()

    def _named(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.partition)

    def _declare(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(partition.topic.removeprefix(self._prefix), partition.partition)


class _Declared:
    """Hands a listener the declared names of what the broker calls by prefixed ones."""

    def __init__(self, listener: AssignmentListener, prefix: str) -> None:
        self._listener = listener
        self._prefix = prefix

    def _strip(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(topic.removeprefix(self._prefix), number) for topic, number in partitions]

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        await self._listener.assigned(self._strip(partitions))

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        await self._listener.revoked(self._strip(partitions))
