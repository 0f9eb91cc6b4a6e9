"""Records fetched and not yet taken, by partition. Plain bookkeeping of one source: no I/O, no tasks."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from libs.events.envelope import Incoming
from libs.messaging.ports import TopicPartition

RECORD_OVERHEAD_BYTES = 600


class Fetched(Protocol):
    """The part of aiokafka's ConsumerRecord that is needed."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class _Entry(NamedTuple):
    record: Fetched
    size_bytes: int


@dataclass(slots=True)
class TopicBuffer:
    """One topic's records, in offset order within each partition. `held` partitions deliver nothing."""

    topic: str
    records: int = 0
    size_bytes: int = 0
    held: set[int] = field(default_factory=set)
    _partitions: dict[int, deque[_Entry]] = field(default_factory=dict)
    _next_offsets: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, fetched: Sequence[Fetched]) -> None:
        entries = self._partitions.setdefault(partition, deque())
        if partition not in self._next_offsets and fetched:
            self._next_offsets[partition] = fetched[0].offset
        for record in fetched:
            size_bytes = len(record.value or b"") + RECORD_OVERHEAD_BYTES
            entries.append(_Entry(record, size_bytes))
            self.size_bytes += size_bytes
        self.records += len(fetched)

    def take(self, *, max_records: int, max_bytes: int) -> list[Incoming]:
        """The next batch: partition after partition; the one that was served last comes last the next time."""
        batch: list[Incoming] = []
        room_bytes = max_bytes
        for partition in list(self._partitions):
            entries = self._partitions[partition]
            if partition in self.held or not entries:
                continue
            taken = 0
            while entries and len(batch) < max_records and (not batch or entries[0].size_bytes <= room_bytes):
                record, size_bytes = entries.popleft()
                room_bytes -= size_bytes
                self.size_bytes -= size_bytes
                batch.append(self._convert(record))
                taken += 1
            if taken:
                self.records -= taken
                self._next_offsets[partition] = batch[-1].offset + 1
                self._partitions[partition] = self._partitions.pop(partition)
            if entries:
                break
        return batch

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what was fetched of these partitions and where they stood."""
        for partition in partitions:
            for entry in self._partitions.pop(partition, ()):
                self.records -= 1
                self.size_bytes -= entry.size_bytes
            self._next_offsets.pop(partition, None)

    def next_offsets(self) -> Mapping[int, int]:
        """Per partition the offset of the record that is delivered next, where anything was fetched yet."""
        return self._next_offsets

    def is_deliverable(self) -> bool:
        return any(entries and partition not in self.held for partition, entries in self._partitions.items())

    def _convert(self, record: Fetched) -> Incoming:
        return Incoming(
            self.topic, record.partition, record.offset, record.key, record.value, dict(record.headers), record.timestamp
        )


def group_by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = {}
    for topic, partition in partitions:
        grouped.setdefault(topic, []).append(partition)
    return grouped
