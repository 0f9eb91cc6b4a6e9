"""RecordSource over Kafka: fetches ahead into bounded buffers, one a topic, so that a topic in work doesn't hold up the others.

aiokafka asks a broker for nothing new while any partition's records lie unread, and its consumer can end up in a state it
doesn't leave. So a task of ours reads all there is at once, pauses a topic whose buffer is full, and builds a new consumer
when the old one reports an error.
"""

import asyncio
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)

from libs.events.envelope import Incoming
from libs.kit.logging import get_logger
from libs.kit.settings import PlatformSettings
from libs.messaging.buffers import TopicBuffer, group_by_topic
from libs.messaging.connection import build_client_options
from libs.messaging.errors import ConsumerStopped, OwnershipLost, SourceUnavailable
from libs.messaging.ports import AssignmentListener, TopicPartition

log = get_logger(__name__)

_HOPELESS = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, RecordTooLargeError)
_FETCH_TIMEOUT_MS = 1_000
_RECONNECT_MIN_S = 0.1
_RECONNECT_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """`session_timeout_s`: how long a killed member's partitions lie still; heartbeats need the event loop every third of it.

    A member with a `kafka_instance` (PlatformSettings) is back in 0.1 s after a kill, one without when the session is over.
    `rebalance_timeout_s` must exceed the consumer's `revoke_wait_s`. A topic's buffer is refilled below `buffer_records` and
    `buffer_bytes`; one fetch may go past them by `fetch_bytes` (compressed). `linger_s` lets small fetches gather.
    """

    session_timeout_s: float = 10.0
    rebalance_timeout_s: float = 20.0
    commit_timeout_s: float = 5.0
    close_timeout_s: float = 5.0
    buffer_records: int = 6_000
    buffer_bytes: int = 24 * 1024 * 1024
    fetch_bytes: int = 8 * 1024 * 1024
    partition_fetch_bytes: int = 512 * 1024
    fetch_wait_s: float = 0.2
    linger_s: float = 0.005


class KafkaSource:
    """See libs.messaging.ports.RecordSource."""

    def __init__(self, settings: PlatformSettings, group: str, *, options: SourceOptions | None = None) -> None:
        self._settings = settings
        self._group = group
        self._prefix = settings.topic_prefix
        self._options = options or SourceOptions()
        self._buffers: dict[str, TopicBuffer] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._full: set[str] = set()
        self._assigned: set[TopicPartition] = set()
        self._committed: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._pump: asyncio.Task[None] | None = None
        self._failure: ConsumerStopped | None = None
        self._listener: AssignmentListener
        self._log = log.bind(group=group)

    async def start(self, topics: Sequence[str], listener: AssignmentListener) -> None:
        """Begin to join; doesn't wait for the broker or the assignment."""
        self._listener = listener
        self._buffers = {topic: TopicBuffer(topic) for topic in topics}
        self._ready = {topic: asyncio.Event() for topic in topics}
        self._pump = asyncio.create_task(self._run())

    async def poll(
        self, topic: str, *, max_records: int, max_bytes: int, timeout_s: float, in_hand: Container[int] = ()
    ) -> Sequence[Incoming]:
        buffer, ready = self._buffers[topic], self._ready[topic]
        if not buffer.is_deliverable(in_hand):
            ready.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await ready.wait()
        if self._failure is not None:
            raise self._failure
        batch = buffer.take(max_records=max_records, max_bytes=max_bytes, in_hand=in_hand)
        self._refill(buffer)
        return batch

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._assigned or self._consumer is None:
            return
        self._buffers[partition.topic].drop([partition.partition])
        with suppress(IllegalStateError):
            self._consumer.seek(self._kafka_partition(partition), offset)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in self._assigned.intersection(partitions):
            self._buffers[partition.topic].held.add(partition.partition)
            self._pause_fetch([partition])

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for topic, numbers in group_by_topic(self._assigned.intersection(partitions)).items():
            self._buffers[topic].held.difference_update(numbers)
            self._ready[topic].set()
            if topic not in self._full:
                self._resume_fetch([TopicPartition(topic, number) for number in numbers])

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._assigned)

    def lag(self) -> Mapping[TopicPartition, int]:
        lag: dict[TopicPartition, int] = {}
        for topic, buffer in self._buffers.items():
            for number, offset in buffer.next_offsets().items():
                partition = TopicPartition(topic, number)
                if self._consumer is None or partition not in self._assigned:
                    continue
                end = self._consumer.highwater(self._kafka_partition(partition))
                if end is not None:
                    lag[partition] = max(0, end - offset)
        return lag

    async def measure_lag(self) -> Mapping[TopicPartition, int]:
        consumer = self._consumer
        if consumer is None:
            raise SourceUnavailable("no broker answers")
        ours = {self._kafka_partition(partition): partition for partition in self._assigned}
        try:
            async with asyncio.timeout(self._options.commit_timeout_s):
                for place, partition in ours.items():
                    if partition not in self._committed:
                        self._committed[partition] = await consumer.committed(place) or 0
                committed = dict(self._committed)
                ends = await consumer.end_offsets(list(ours)) if ours else {}
                # Records may have run out before anybody read them; asked for only where it makes a difference.
                behind = [place for place, partition in ours.items() if ends[place] > committed.get(partition, 0)]
                begins = await consumer.beginning_offsets(behind) if behind else {}
        except (KafkaError, TimeoutError) as error:
            raise SourceUnavailable(type(error).__name__) from error
        return {
            partition: max(0, ends[place] - max(committed[partition], begins.get(place, 0)))
            for place, partition in ours.items()
            if partition in committed and partition in self._assigned
        }

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._consumer is None:
            raise SourceUnavailable("no broker answers")
        named = {self._kafka_partition(partition): offset for partition, offset in offsets.items()}
        try:
            # aiokafka goes on trying for ever while the coordinator is away.
            async with asyncio.timeout(self._options.commit_timeout_s):
                await self._consumer.commit(named)
        except (CommitFailedError, IllegalStateError) as error:
            raise OwnershipLost(type(error).__name__) from error
        except (KafkaError, TimeoutError) as error:
            raise SourceUnavailable(type(error).__name__) from error
        self._committed.update(offsets)

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _run(self) -> None:
        """Consumer after consumer, until closed or hopeless."""
        wait_s = _RECONNECT_MIN_S
        while True:
            consumer = self._build_consumer()
            try:
                await consumer.start()
                consumer.subscribe([self._prefix + topic for topic in self._buffers], listener=_Rebalance(self))
                self._consumer = consumer
                wait_s = _RECONNECT_MIN_S
                await self._fetch(consumer)
            except _HOPELESS as error:
                self._failure = ConsumerStopped(f"{self._group} can't read its topics: {type(error).__name__}: {error}")
                self._wake_all()
                return
            except (KafkaError, OSError) as error:
                self._log.warning("consumer_replaced", cause=type(error).__name__)
            finally:
                await self._give_up(consumer)
            await asyncio.sleep(wait_s)
            wait_s = min(_RECONNECT_MAX_S, wait_s * 2)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=_FETCH_TIMEOUT_MS)
            # Until the next await aiokafka hasn't sent another fetch: a full topic is paused before it is asked for again.
            for kafka_partition, records in fetched.items():
                self._keep(self._declare(kafka_partition), records)
            if fetched:
                await asyncio.sleep(self._options.linger_s)

    def _keep(self, partition: TopicPartition, records: Sequence[object]) -> None:
        if partition not in self._assigned:
            return
        buffer = self._buffers[partition.topic]
        buffer.add(partition.partition, records)  # type: ignore[arg-type]  # aiokafka is untyped
        self._ready[partition.topic].set()
        if self._is_full(buffer) and partition.topic not in self._full:
            self._full.add(partition.topic)
            self._pause_fetch([own for own in self._assigned if own.topic == partition.topic])

    def _refill(self, buffer: TopicBuffer) -> None:
        if buffer.topic in self._full and not self._is_full(buffer):
            self._full.discard(buffer.topic)
            self._resume_fetch([own for own in self._assigned if own.topic == buffer.topic and own.partition not in buffer.held])

    def _is_full(self, buffer: TopicBuffer) -> bool:
        return buffer.records >= self._options.buffer_records or buffer.size_bytes >= self._options.buffer_bytes

    async def take_over(self, partitions: Sequence[KafkaPartition]) -> None:
        """Called when the group has dealt out its partitions: these are ours."""
        self._assigned = {self._declare(partition) for partition in partitions}
        self._committed.clear()
        self._full.clear()
        for topic, numbers in group_by_topic(self._assigned).items():
            self._buffers[topic].drop(numbers)
            self._buffers[topic].held.clear()
        await self._listener.assigned(sorted(self._assigned))

    async def hand_over(self) -> None:
        """Called before the group deals anew. Nothing more is delivered; what was can still be committed until this returns."""
        revoked, self._assigned = self._assigned, set()
        for topic, numbers in group_by_topic(revoked).items():
            self._buffers[topic].drop(numbers)
        if revoked:
            await self._listener.revoked(sorted(revoked))

    async def _give_up(self, consumer: AIOKafkaConsumer) -> None:
        await self.hand_over()
        self._consumer = None
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                await consumer.stop()
        except (KafkaError, TimeoutError) as error:
            self._log.warning("consumer_not_closed", cause=type(error).__name__)

    def _pause_fetch(self, partitions: Sequence[TopicPartition]) -> None:
        if self._consumer is not None and partitions:
            with suppress(IllegalStateError):
                self._consumer.pause(*map(self._kafka_partition, partitions))

    def _resume_fetch(self, partitions: Sequence[TopicPartition]) -> None:
        if self._consumer is not None and partitions:
            with suppress(IllegalStateError):
                self._consumer.resume(*map(self._kafka_partition, partitions))

    def _wake_all(self) -> None:
        for event in self._ready.values():
            event.set()

    def _kafka_partition(self, partition: TopicPartition) -> KafkaPartition:
        return KafkaPartition(self._prefix + partition.topic, partition.partition)

    def _declare(self, partition: KafkaPartition) -> TopicPartition:
        return TopicPartition(partition.topic.removeprefix(self._prefix), partition.partition)

    def _build_consumer(self) -> AIOKafkaConsumer:
        options = self._options
        return AIOKafkaConsumer(
            **build_client_options(self._settings),
            client_id=f"{self._prefix}{self._group}",
            group_id=f"{self._prefix}{self._group}",
            group_instance_id=self._settings.kafka_instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=int(options.session_timeout_s * 1000),
            heartbeat_interval_ms=int(options.session_timeout_s * 1000 / 4),
            rebalance_timeout_ms=int(options.rebalance_timeout_s * 1000),
            # JoinGroup is answered when every member has handed over.
            request_timeout_ms=int(options.rebalance_timeout_s * 1000) + 5_000,
            max_poll_interval_ms=2_147_483_647,
            fetch_max_bytes=options.fetch_bytes,
            max_partition_fetch_bytes=options.partition_fetch_bytes,
            fetch_max_wait_ms=int(options.fetch_wait_s * 1000),
            metadata_max_age_ms=60_000,
            retry_backoff_ms=100,
        )


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Passes the group's word on."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Sequence[KafkaPartition]) -> None:  # noqa: ARG002 - eager: always all
        await self._source.hand_over()

    async def on_partitions_assigned(self, assigned: Sequence[KafkaPartition]) -> None:
        await self._source.take_over(assigned)
