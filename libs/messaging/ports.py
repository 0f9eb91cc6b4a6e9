"""What the consumer loop and the services need of a broker and an outbox. Implementations: beside (Kafka, fake), libs.durable."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from libs.events.envelope import Incoming, Outgoing
from libs.messaging.outcomes import Outcome

if TYPE_CHECKING:
    from libs.kit.db import Tx

StagedId = UUID | int | str
"""Names one outbox row; only the outbox that gave it knows what is inside."""


class Publisher(Protocol):
    """Sends records to topics by their declared names; the installation's prefix is its own affair."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return when every record is acknowledged by all in-sync replicas. May be called by many tasks at once.

        Records with equal topic and key keep their order within a call, and over calls where one returned before the next began.
        Raises PublishFailed, at the latest when the publisher's own deadline has passed; any part of the records may then be in
        the log, and an unacknowledged part may still arrive, once, later.
        """
        ...


class TopicPartition(NamedTuple):
    """A partition of a topic by its declared name."""

    topic: str
    partition: int


class AssignmentListener(Protocol):
    """Told by a RecordSource which partitions are this consumer's. Called one after the other, never at once."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """They are ours from now on, starting at the group's committed offsets."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """They are about to be given away: the source waits for this to return, and offsets can still be committed until then."""
        ...


class RecordSource(Protocol):
    """One member of a consumer group. Delivers at least once: from the committed offset, or the beginning where there is none.

    It keeps its membership alive by itself while records are being worked on, and joins again after the broker was away.
    """

    async def start(self, topics: Sequence[str], listener: AssignmentListener) -> None:
        """Join the group for these topics."""
        ...

    async def poll(
        self, topic: str, *, max_records: int, max_bytes: int, timeout_s: float, in_hand: Container[int] = ()
    ) -> Sequence[Incoming]:
        """Next records of the topic's assigned, not paused partitions: in offset order within each, partition after partition.

        Nothing of those `in_hand`, which the caller still works on; it is looked at when records are there to be given.

        Waits up to `timeout_s` for the first record, never longer to fill the batch. Ends before the record that would pass
        `max_bytes`, but gives at least one. May be called again while another call waits, for any topic. All records are of
        partitions that are assigned when the call returns: the caller goes on without a task switch in between. While the
        broker is away it gives nothing. Raises ConsumerStopped where waiting can't help (no right to read, say).
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next poll begins there. Nothing happens where the partition isn't ours any more."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Poll delivers nothing of them until resumed or assigned anew. Unassigned ones are left out silently."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def assignment(self) -> frozenset[TopicPartition]: ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end of each assigned partition, as far as the last fetch told."""
        ...

    async def measure_lag(self) -> Mapping[TopicPartition, int]:
        """Records of each assigned partition that the group hasn't committed, as the broker says now: one request.

        Where it is 0, everything that was appended before the call is committed. Raises SourceUnavailable.
        """
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the offsets of the *next* records to read. Raises OwnershipLost or SourceUnavailable."""
        ...

    async def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One outcome for each record, in the order given, and what is to be published once the transaction is committed."""

    outcomes: Sequence[Outcome]
    outgoing: Sequence[Outgoing] = ()


class BatchHandler(Protocol):
    """A use case over a batch: loads, decides, writes through `tx`, and says what became of each record.

    It never commits, and leaves no effect behind of a record that it answers with Reject. It may be called again with any part of
    the same records, in a new transaction, any number of times. A retryable database error makes the whole batch come again; any
    other exception makes the loop halve the batch until the record that causes it stands alone.
    """

    async def __call__(self, tx: "Tx", messages: Sequence[Incoming]) -> BatchResult: ...


class Outbox(Protocol):
    """Records that leave a transaction with it: staged inside, published after the commit, found again after a crash."""

    async def stage(self, tx: "Tx", messages: Sequence[Outgoing]) -> StagedId | None:
        """One row for all of them, or None for none."""
        ...

    async def publish(self, staged: StagedId, messages: Sequence[Outgoing]) -> None:
        """Publish what `stage` gave the id for, after the commit, and delete the row. Raises PublishFailed; may be called again.

        A row that is gone, or held by another publisher, is that one's business: nothing happens.
        """
        ...

    async def sweep(self) -> int:
        """Publish rows that a crash or a failed publish left behind; how many. Raises PublishFailed."""
        ...
