"""What waits to be published and what is on the way: the publisher's bookkeeping, without I/O, clock or tasks."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.events.envelope import Outgoing
from libs.messaging.errors import PublishFailed
from libs.messaging.partitions import partitions_of
from libs.messaging.producer_link import BatchWriter

if TYPE_CHECKING:
    import asyncio

RECORD_OVERHEAD_BYTES = 300


def compute_size_bytes(messages: Sequence[Outgoing]) -> int:
    """About what these records occupy; headers are taken as the overhead."""
    return sum([len(message.value or b"") + RECORD_OVERHEAD_BYTES for message in messages])


class Call:
    """One publish() that waits: done when all its records are acknowledged, or the first of them has failed for good."""

    __slots__ = ("began_s", "done", "left")

    def __init__(self, count: int, began_s: float, done: "asyncio.Future[None]") -> None:
        self.left = count
        self.began_s = began_s
        self.done = done

    def acknowledge(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: PublishFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)


Waiting = tuple[Outgoing, Call]


@dataclass(slots=True)
class Batch:
    """Records handed to the producer together, in order."""

    writer: BatchWriter
    records: list[Waiting]
    sent_s: float


@dataclass(slots=True)
class PartitionQueue:
    """Records of one partition in order, at most one batch of them on the way.

    `limit` is the most records of the next batch: lowered while a batch is taken apart for the record the broker refuses.
    """

    topic: str
    partition: int
    waiting: deque[Waiting] = field(default_factory=deque)
    on_the_way: Batch | None = None
    limit: int | None = None

    def fill(self, writer: BatchWriter, now_s: float) -> Batch | None:
        """Move records into the writer until it is full. Those whose call has failed are dropped. None where nothing is left."""
        records: list[Waiting] = []
        waiting, append = self.waiting, writer.append
        while waiting and (self.limit is None or len(records) < self.limit):
            message, call = waiting[0]
            if not call.done.done():
                written = append(
                    timestamp=message.timestamp_ms, key=message.key, value=message.value, headers=list(message.headers)
                )
                if written is None:
                    break
                records.append(waiting[0])
            waiting.popleft()
        writer.close()
        if not records:
            return None
        self.on_the_way = Batch(writer, records, now_s)
        return self.on_the_way

    def acknowledge(self) -> int:
        """The batch has arrived. How many records that was."""
        if self.on_the_way is None:
            return 0
        records = self.on_the_way.records
        for _, call in records:
            call.acknowledge()
        self.on_the_way = None
        self.limit = None
        return len(records)

    def put_back(self) -> None:
        """The batch comes first again."""
        if self.on_the_way is not None:
            self.waiting.extendleft(reversed(self.on_the_way.records))
            self.on_the_way = None

    def take_apart(self, error: PublishFailed) -> None:
        """The broker refuses the batch for what is in it: go on with half of it, or fail the record that stands alone."""
        if self.on_the_way is None:
            return
        count = len(self.on_the_way.records)
        if count == 1:
            self.on_the_way.records[0][1].fail(error)
            self.on_the_way = None
            self.limit = None
        else:
            self.put_back()
            self.limit = count // 2

    def fail(self, error: PublishFailed) -> None:
        """The batch can't be published at all."""
        if self.on_the_way is not None:
            for _, call in self.on_the_way.records:
                call.fail(error)
            self.on_the_way = None


class TopicQueues:
    """Every partition's queue, and the records that have no partition yet because nobody has asked how many there are."""

    def __init__(self) -> None:
        self._unplaced: dict[str, list[Waiting]] = {}
        self._partitions: dict[tuple[str, int], PartitionQueue] = {}

    def add(self, messages: Sequence[Outgoing], call: Call) -> None:
        for message in messages:
            try:
                self._unplaced[message.topic].append((message, call))
            except KeyError:
                self._unplaced[message.topic] = [(message, call)]

    def unplaced_topics(self) -> list[str]:
        return list(self._unplaced)

    def place(self, topic: str, partition_count: int) -> None:
        """Put a topic's records into the queues of their partitions, each by its key."""
        waiting = self._unplaced.pop(topic, [])
        partitions = partitions_of([message.key for message, _ in waiting], partition_count)
        queues = [self._queue_of(topic, partition).waiting for partition in range(partition_count)]
        for entry, partition in zip(waiting, partitions, strict=True):
            queues[partition].append(entry)

    def sendable(self) -> Iterator[PartitionQueue]:
        """Queues with something to send and nothing on the way."""
        return (queue for queue in self._partitions.values() if queue.waiting and queue.on_the_way is None)

    def on_the_way(self) -> Iterator[PartitionQueue]:
        return (queue for queue in self._partitions.values() if queue.on_the_way is not None)

    def drop_failed(self) -> None:
        """Forget waiting records whose call has failed."""
        for queue in self._partitions.values():
            if queue.waiting and queue.waiting[0][1].done.done():
                queue.waiting = deque(entry for entry in queue.waiting if not entry[1].done.done())
        for topic, waiting in list(self._unplaced.items()):
            self._unplaced[topic] = [entry for entry in waiting if not entry[1].done.done()]
            if not self._unplaced[topic]:
                del self._unplaced[topic]

    def _queue_of(self, topic: str, partition: int) -> PartitionQueue:
        queue = self._partitions.get((topic, partition))
        if queue is None:
            queue = self._partitions[topic, partition] = PartitionQueue(topic, partition)
        return queue
