"""The newest records of some topics, for a person to look at: no group, no offsets, and it skips what it has no time for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from libs.events.envelope import Incoming
from libs.kit.settings import PlatformSettings
from libs.messaging.connection import build_client_options
from libs.messaging.errors import SourceUnavailable

_FETCH_BYTES = 64 * 1024
_POLL_MS = 300
_FAR_BEHIND = 500
_LOOK_BACK_MS = 1_000


class LogTail:
    """Call `latest` now and then. While the broker is away it gives nothing; it finds its way back by itself."""

    def __init__(self, settings: PlatformSettings, topics: Collection[str]) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._topics = frozenset(topics)
        self._consumer: AIOKafkaConsumer | None = None
        self._starting: asyncio.Task[None] | None = None
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
        return self._take(answer, _keep_all)[-limit:]

    async def look_back(self, scan: int, keep: Callable[[Incoming], bool]) -> list[Incoming]:
        """The records that `keep` likes among about the last `scan` of each topic, oldest first; `latest` goes on behind them.

        Raises SourceUnavailable: who looks back wants to know that there is nothing, not that nobody could look.
        """
        found: list[Incoming] = []
        try:
            consumer = await self._connect()
            assigned = list(consumer.assignment())
            begins, ends = await consumer.beginning_offsets(assigned), await consumer.end_offsets(assigned)
            sizes = Counter(partition.topic for partition in assigned)
            for partition, end in ends.items():
                self._positions[partition] = max(begins[partition], end - scan // sizes[partition.topic])
                consumer.seek(partition, self._positions[partition])
            while behind := [partition for partition, end in ends.items() if self._positions[partition] < end]:
                answer = await consumer.getmany(*behind, timeout_ms=_LOOK_BACK_MS)
                if not answer:
                    raise SourceUnavailable("the log doesn't answer")
                found += self._take(answer, keep)
        except (KafkaError, OSError) as error:
            await self.close()
            raise SourceUnavailable("the log can't be read") from error
        return sorted(found, key=_time_of)

    def _take(self, answer: Mapping[KafkaPartition, Sequence[Any]], keep: Callable[[Incoming], bool]) -> list[Incoming]:
        records: list[Incoming] = []
        for partition, fetched in answer.items():
            self._positions[partition] = fetched[-1].offset + 1
            topic = partition.topic.removeprefix(self._prefix)
            read = (
                Incoming(topic, one.partition, one.offset, one.key, one.value, dict(one.headers), one.timestamp)
                for one in fetched
            )
            records.extend(filter(keep, read))
        return sorted(records, key=_time_of)

    async def close(self) -> None:
        consumer, starting = self._consumer, self._starting
        self._consumer = self._starting = None
        self._positions.clear()
        if starting is not None:
            with suppress(KafkaError, OSError):
                await starting
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
            # A start that is cancelled in the middle forgets connections: `close` waits for its end.
            self._starting = asyncio.create_task(self._consumer.start())
        if self._starting is not None:
            await asyncio.shield(self._starting)
            self._starting = None
        return self._consumer

    async def _skip_ahead(self, consumer: AIOKafkaConsumer, limit: int) -> None:
        """Leave out what would not be shown anyway. A seek throws away what is on its way, so only where it is far behind."""
        for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
            position = self._positions.get(partition)
            if position is None or end - position > _FAR_BEHIND:
                self._positions[partition] = max(0, end - limit)
                consumer.seek(partition, self._positions[partition])


def _keep_all(_record: Incoming) -> bool:
    return True


def _time_of(record: Incoming) -> int:
    return record.timestamp_ms
