"""One batch of one topic: a transaction, the outbox, and what to do when it fails. Knows nothing of polling, offsets or waiting.

A retryable failure holds everything not yet committed, whole. Any other halves the batch until the record that causes it stands
alone; that one becomes a dead letter.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from traceback import extract_tb
from typing import TYPE_CHECKING, Protocol

from libs.events.envelope import Incoming, Outgoing
from libs.kit.db import is_retryable
from libs.kit.logging import get_logger
from libs.messaging import metrics
from libs.messaging.dead_letters import TARGET, build_dead_letter, screen_replay
from libs.messaging.errors import ConsumerStopped, PublishFailed
from libs.messaging.outcomes import Ignored, Outcome, Reject, Retry
from libs.messaging.policy import ConsumerPolicy, DeadLetterBudget
from libs.messaging.ports import BatchHandler, BatchResult, Outbox, StagedId, TopicPartition

if TYPE_CHECKING:
    from libs.kit.clock import Clock
    from libs.kit.db import Tx

log = get_logger(__name__)


class Transactions(Protocol):
    """The part of libs.kit.db.Database that is needed here."""

    def transaction(self) -> AbstractAsyncContextManager["Tx"]: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A partition is to come again from `offset`, not before `after_s`."""

    offset: int
    reason: str
    after_s: float = 0.0


@dataclass(slots=True)
class Progress:
    """What a batch came to: committed are all records before `held`, or all of a partition that isn't held."""

    ends: dict[TopicPartition, int]
    held: dict[TopicPartition, Held] = field(default_factory=dict)
    unpublished: list[tuple[StagedId, Sequence[Outgoing]]] = field(default_factory=list)
    stopped: ConsumerStopped | None = None

    def next_offsets(self) -> dict[TopicPartition, int]:
        return self.ends | {partition: held.offset for partition, held in self.held.items()}

    def hold(self, records: Sequence[Incoming], reason: str, after_s: float = 0.0) -> None:
        """Hold the partitions of these records, each from its first one on."""
        for record in records:
            held = self.held.get(_partition_of(record))
            if held is None or record.offset < held.offset:
                self.held[_partition_of(record)] = Held(record.offset, reason, after_s)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Records to commit together. `poison` is set on one that failed alone: it is rejected without asking the handler again.

    `stop` is set where not even that worked.
    """

    records: Sequence[Incoming]
    poison: Reject | None = None
    stop: ConsumerStopped | None = None


class _PostponedError(Exception):
    """Some records asked for a Retry: leaves the transaction, so that it rolls back."""

    def __init__(self, asked: Sequence[tuple[Incoming, Retry]]) -> None:
        self.asked = asked


def _partition_of(record: Incoming) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def describe_place(error: BaseException) -> str:
    """Where an error was raised and its type. Never its text: that may quote a customer's data."""
    frames = extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename and "/messaging/" not in frame.filename]
    frame = (ours or list(frames))[-1] if frames else None
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" if frame else "?"
    return f"{type(error).__name__} at {place}"


class BatchRunner:
    """Carries the batches of one topic through the handler."""

    def __init__(
        self,
        *,
        group: str,
        topic: str,
        handler: BatchHandler,
        database: Transactions,
        outbox: Outbox,
        policy: ConsumerPolicy,
        clock: "Clock",
    ) -> None:
        self._group = group
        self._topic = topic
        self._handler = handler
        self._database = database
        self._outbox = outbox
        self._policy = policy
        self._clock = clock
        self._budget = DeadLetterBudget(policy.dead_letters)
        self._log = log.bind(group=group, topic=topic)

    async def run(self, records: Sequence[Incoming]) -> Progress:
        """Commit what can be committed. Never raises for what a record or the database did."""
        progress = Progress(ends={_partition_of(record): record.offset + 1 for record in records})
        stack = [_Segment(own)] if (own := self._screen(records)) else []
        while stack:
            segment = stack.pop()
            try:
                staged, outgoing = await self._commit(segment)
                if staged is not None and not await self.publish(staged, outgoing):
                    progress.unpublished.append((staged, outgoing))
                    self._hold_all(stack, progress, "publish")
            except _PostponedError as postponed:
                stack = self._set_aside(postponed.asked, [*stack, segment], progress)
            except ConsumerStopped as stopped:
                progress.stopped = stopped
                self._hold_all([*stack, segment], progress, "stopped")
                break
            except Exception as error:  # noqa: BLE001 - the consumer's edge: an unexpected error is a batch's, not the process's
                if is_retryable(error):
                    self._log.warning("batch_put_off", cause=describe_place(error), records=len(segment.records))
                    self._hold_all([*stack, segment], progress, "database")
                    break
                stack.extend(self._divide(segment, error))
        return progress

    def _screen(self, records: Sequence[Incoming]) -> Sequence[Incoming]:
        """Leave out replays that are for others, and give our own their key and time back. Most batches pass as they are."""
        if not any(TARGET in record.headers for record in records):
            return records
        own: list[Incoming] = []
        for record in records:
            screened = screen_replay(record, group=self._group) if TARGET in record.headers else record
            if isinstance(screened, Ignored):
                metrics.CONSUMED.labels(self._group, self._topic, screened.label).inc()
            else:
                own.append(screened)
        return own

    async def _commit(self, segment: _Segment) -> tuple[StagedId | None, Sequence[Outgoing]]:
        """One transaction: effects, dead letters and outbox row together. What is to be published now that it is committed."""
        began_s = self._clock.monotonic()
        async with asyncio.timeout(self._policy.batch_timeout_s), self._database.transaction() as tx:
            result = await self._ask(tx, segment)
            letters = self._write_letters(segment.records, result.outcomes)
            outgoing = [*result.outgoing, *letters]
            staged = await self._outbox.stage(tx, outgoing) if outgoing else None
        self._count(segment.records, result.outcomes, rejected=len(letters), seconds=self._clock.monotonic() - began_s)
        return staged, outgoing

    async def publish(self, staged: StagedId, outgoing: Sequence[Outgoing]) -> bool:
        """Whether a committed outbox row is published, or is another's business. Raises ConsumerStopped if it never can be."""
        try:
            await self._outbox.publish(staged, outgoing)
        except PublishFailed as failed:
            if not failed.retryable:
                raise ConsumerStopped(f"an outgoing record is refused for good: {failed}") from failed
            self._log.warning("publish_put_off", cause=str(failed), records=len(outgoing))
            return False
        except Exception as error:
            if not is_retryable(error):
                raise ConsumerStopped(f"the outbox can't publish: {describe_place(error)}") from error
            self._log.warning("publish_put_off", cause=describe_place(error), records=len(outgoing))
            return False
        return True

    async def _ask(self, tx: "Tx", segment: _Segment) -> BatchResult:
        if segment.stop is not None:
            raise segment.stop
        if segment.poison is not None:
            return BatchResult([segment.poison])
        result = await self._handler(tx, segment.records)
        if len(result.outcomes) != len(segment.records):
            raise ConsumerStopped(
                f"the handler of {self._topic} gave {len(result.outcomes)} outcomes for {len(segment.records)} records"
            )
        asked = [
            (record, outcome)
            for record, outcome in zip(segment.records, result.outcomes, strict=True)
            if isinstance(outcome, Retry)
        ]
        if asked:
            raise _PostponedError(asked)
        return result

    def _write_letters(self, records: Sequence[Incoming], outcomes: Sequence[Outcome]) -> list[Outgoing]:
        """Dead letters of the rejected records. Raises ConsumerStopped, before anything is committed, where they are too many."""
        now = self._clock.now()
        letters = [
            build_dead_letter(record, outcome, group=self._group, now=now)
            for record, outcome in zip(records, outcomes, strict=True)
            if isinstance(outcome, Reject)
        ]
        if not self._budget.allows(records=len(records), rejected=len(letters)):
            reasons = Counter(f"{outcome.reason} ({outcome.step})" for outcome in outcomes if isinstance(outcome, Reject))
            raise ConsumerStopped(
                f"{self._group} rejects too much of {self._topic}; last: {reasons.most_common(1)[0][0]}. "
                "Nothing more is sent to the dead-letter topic; mend the cause and start again."
            )
        return letters

    def _count(self, records: Sequence[Incoming], outcomes: Sequence[Outcome], *, rejected: int, seconds: float) -> None:
        self._budget.spend(records=len(records), rejected=rejected)
        metrics.BATCH_RECORDS.labels(self._group, self._topic).observe(len(records))
        metrics.BATCH_SECONDS.labels(self._group, self._topic).observe(seconds)
        for label, count in Counter([outcome.label for outcome in outcomes]).items():
            metrics.CONSUMED.labels(self._group, self._topic, label).inc(count)
        if not rejected:
            return
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, Reject):
                metrics.DEAD_LETTERS.labels(self._group, self._topic, outcome.reason).inc()
                self._log.error(
                    "record_rejected",
                    partition=record.partition,
                    offset=record.offset,
                    reason=outcome.reason,
                    step=outcome.step,
                )

    def _set_aside(self, asked: Sequence[tuple[Incoming, Retry]], stack: list[_Segment], progress: Progress) -> list[_Segment]:
        """Hold each partition from its first record that asked for a Retry; keep what lies before it and other partitions'."""
        for record, retry in asked:
            progress.hold([record], retry.reason, retry.after_s)
            self._log.warning("record_put_off", partition=record.partition, offset=record.offset, reason=retry.reason)
        kept_stack: list[_Segment] = []
        for segment in stack:
            kept = [
                record
                for record in segment.records
                if (held := progress.held.get(_partition_of(record))) is None or record.offset < held.offset
            ]
            if kept:
                kept_stack.append(_Segment(kept, segment.poison, segment.stop))
        return kept_stack

    def _hold_all(self, stack: list[_Segment], progress: Progress, reason: str) -> None:
        for segment in stack:
            progress.hold(segment.records, reason)
        stack.clear()

    def _divide(self, segment: _Segment, error: Exception) -> list[_Segment]:
        """The halves of a failed segment, the earlier one last; or itself as poison where it stands alone."""
        if segment.poison is not None:
            self._log.error("dead_letter_not_staged", cause=describe_place(error), exc_info=error)
            stop = ConsumerStopped(f"a dead letter of {self._topic} can't be staged: {describe_place(error)}")
            return [_Segment(segment.records, segment.poison, stop)]
        if len(segment.records) == 1:
            self._log.error("handler_error", cause=describe_place(error), exc_info=error)
            return [_Segment(segment.records, Reject("handler_error", describe_place(error)))]
        middle = len(segment.records) // 2
        self._log.warning("batch_halved", cause=describe_place(error), records=len(segment.records))
        return [_Segment(segment.records[middle:]), _Segment(segment.records[:middle])]
