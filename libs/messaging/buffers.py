"""Records fetched and not yet taken, by partition. Plain bookkeeping of one source: no I/O, no tasks."""

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from libs.events.envelope import Incoming
from libs.messaging.ports import TopicPartition

RECORD_OVERHEAD_BYTES = 600


class Fetched(Protocol):
    """The part of aiokafka's ConsumerRecord that is needed."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def _size_bytes(record: Incoming) -> int:
    return len(record.value or b"") + RECORD_OVERHEAD_BYTES


@dataclass(slots=True)
class TopicBuffer:
    """One topic's records, in offset order within each partition. `held` partitions deliver nothing."""

    topic: str
    records: int = 0
    size_bytes: int = 0
    held: set[int] = field(default_factory=set)
    _partitions: dict[int, deque[Incoming]] = field(default_factory=dict)
    _next_offsets: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, fetched: Sequence[Fetched]) -> None:
        """Converted at once: what aiokafka gives is a dozen objects a record, and the garbage collector visits all that wait."""
        if fetched:
            self._next_offsets.setdefault(partition, fetched[0].offset)
        added = [
            Incoming(self.topic, partition, one.offset, one.key, one.value, dict(one.headers), one.timestamp) for one in fetched
        ]
        self._partitions.setdefault(partition, deque()).extend(added)
        self.records += len(added)
        self.size_bytes += sum(map(_size_bytes, added))

    def take(self, *, max_records: int, max_bytes: int, in_hand: Container[int]) -> list[Incoming]:
        """The next batch: partition after partition; the one that was served last comes last the next time."""
        batch: list[Incoming] = []
        room_bytes = max_bytes
        for partition in list(self._partitions):
            waiting = self._partitions[partition]
            if not waiting or partition in self.held or partition in in_hand:
                continue
            taken = len(batch)
            while waiting and len(batch) < max_records and (not batch or _size_bytes(waiting[0]) <= room_bytes):
                record = waiting.popleft()
                room_bytes -= _size_bytes(record)
                batch.append(record)
            if len(batch) > taken:
                self._next_offsets[partition] = batch[-1].offset + 1
                self._partitions[partition] = self._partitions.pop(partition)
            if waiting:
                break
        self.records -= len(batch)
        self.size_bytes -= max_bytes - room_bytes
        return batch

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what was fetched of these partitions and where they stood."""
        for partition in partitions:
            for record in self._partitions.pop(partition, ()):
                self.records -= 1
                self.size_bytes -= _size_bytes(record)
            self._next_offsets.pop(partition, None)

    def next_offsets(self) -> Mapping[int, int]:
        """Per partition the offset of the record that is delivered next, where anything was fetched yet."""
        return self._next_offsets

    def is_deliverable(self, in_hand: Container[int]) -> bool:
        return any(
            waiting and partition not in self.held and partition not in in_hand for partition, waiting in self._partitions.items()
        )


def group_by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = {}
    for topic, partition in partitions:
        grouped.setdefault(topic, []).append(partition)
    return grouped
