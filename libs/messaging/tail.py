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
_POLL_MS = 300
_FAR_BEHIND = 500


class LogTail:
    """Call `latest` now and then. While the broker is away it gives nothing; it finds its way back by itself."""

    def __init__(self, settings: PlatformSettings, topics: Collection[str]) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._topics = frozenset(topics)
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[KafkaPartition, int] = {}

    async def latest(self, limit: int) -> list[Incoming]:
        """At most `limit` records that came since the last call, oldest first; the first call looks back that far."""
        try:
            consumer = await self._connect()
            await self._skip_ahead(consumer, limit)
            answer = await consumer.getmany(timeout_ms=_POLL_MS)
        except (KafkaError, OSError):
            await self.close()
            return []
        records: list[Incoming] = []
        for partition, fetched in answer.items():
            self._positions[partition] = fetched[-1].offset + 1
            records.extend(
                Incoming(
                    record.topic.removeprefix(self._prefix),
                    record.partition,
                    record.offset,
                    record.key,
                    record.value,
                    dict(record.headers),
                    record.timestamp,
                )
                for record in fetched
            )
        return sorted(records, key=lambda record: record.timestamp_ms)[-limit:]

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._positions.clear()
        if consumer is not None:
            with suppress(KafkaError, OSError):
                await consumer.stop()

    async def _connect(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            # Topics without a group: it assigns itself all their partitions.
            self._consumer = AIOKafkaConsumer(
                *(self._prefix + topic for topic in sorted(self._topics)),
                **build_client_options(self._settings),
                client_id="rapport-tail",
                enable_auto_commit=False,
                auto_offset_reset="latest",
                max_partition_fetch_bytes=_FETCH_BYTES,
                request_timeout_ms=5_000,
            )
            await self._consumer.start()
        return self._consumer

    async def _skip_ahead(self, consumer: AIOKafkaConsumer, limit: int) -> None:
        """Leave out what would not be shown anyway. A seek throws away what is on its way, so only where it is far behind."""
        for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
            position = self._positions.get(partition)
            if position is None or end - position > _FAR_BEHIND:
                self._positions[partition] = max(0, end - limit)
                consumer.seek(partition, self._positions[partition])
