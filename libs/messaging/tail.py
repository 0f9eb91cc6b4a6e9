"""The newest records of some topics, for a person to look at: no group, no offsets, and it skips what it has no time for."""

from collections.abc import Collection
from contextlib import suppress

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from libs.events.envelope import Incoming
from libs.kit.settings import PlatformSettings
from libs.messaging.connection import build_client_options

_FETCH_BYTES = 64 * 1024
_POLL_MS = 200


class LogTail:
    """Call `latest` now and then. While the broker is away it gives nothing; it finds its way back by itself."""

    def __init__(self, settings: PlatformSettings, topics: Collection[str]) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._topics = frozenset(topics)
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[KafkaPartition, int] = {}

    async def latest(self, limit: int) -> list[Incoming]:
        """At most `limit` records that came since the last call, oldest first; the first call looks back that far."""
        try:
            consumer = await self._connect()
            moved = await self._seek_to_news(consumer, limit)
            if not moved:
                return []
            answer = await consumer.getmany(*moved, timeout_ms=_POLL_MS)
        except (KafkaError, OSError):
            await self.close()
            return []
        records = [
            Incoming(
                record.topic.removeprefix(self._prefix),
                record.partition,
                record.offset,
                record.key,
                record.value,
                dict(record.headers),
                record.timestamp,
            )
            for records in answer.values()
            for record in records
        ]
        return sorted(records, key=lambda record: record.timestamp_ms)[-limit:]

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError, OSError):
                await consumer.stop()

    async def _connect(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                **build_client_options(self._settings),
                client_id="rapport-tail",
                enable_auto_commit=False,
                auto_offset_reset="latest",
                max_partition_fetch_bytes=_FETCH_BYTES,
                request_timeout_ms=5_000,
            )
            await self._consumer.start()
            names = [self._prefix + topic for topic in sorted(self._topics)]
            await self._consumer.topics()  # learns the partitions of all topics
            self._consumer.assign(
                [
                    KafkaPartition(name, partition)
                    for name in names
                    for partition in self._consumer.partitions_for_topic(name) or ()
                ]
            )
        return self._consumer

    async def _seek_to_news(self, consumer: AIOKafkaConsumer, limit: int) -> list[KafkaPartition]:
        """The partitions that grew, each positioned at most `limit` records before its end."""
        ends = await consumer.end_offsets(list(consumer.assignment()))
        moved = []
        for partition, end in ends.items():
            seen = self._ends.get(partition, max(0, end - limit))
            if end > seen:
                consumer.seek(partition, max(seen, end - limit))
                moved.append(partition)
            self._ends[partition] = end
        return moved
