"""The consumer loop: a topic's lanes poll, hand the batch to its runner, wait for the outbox, then commit offsets.

The order gives the guarantee: effects and outgoing records commit together in PostgreSQL; then they are published; then the
offsets move. A crash after any step repeats only what its ids make harmless.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from libs.kit.db import is_retryable
from libs.kit.logging import get_logger
from libs.kit.metrics import drop_series
from libs.messaging import metrics
from libs.messaging.batches import BatchRunner, Held, Progress, Transactions, describe_place
from libs.messaging.errors import ConsumerStopped, OwnershipLost, PublishFailed, SourceUnavailable
from libs.messaging.policy import ConsumerPolicy, compute_backoff_s
from libs.messaging.ports import BatchHandler, Outbox, RecordSource, TopicPartition

if TYPE_CHECKING:
    from libs.events.envelope import Incoming
    from libs.kit.clock import Clock

log = get_logger(__name__)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event or the time, whichever is first."""
    try:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event, and `_drain` would wait for
        # a sweeper that goes on for ever.
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


@dataclass(slots=True)
class _Shared:
    """What a topic's lanes know together. A partition is in one lane's hands from the poll until its offset is committed."""

    in_hand: set[int] = field(default_factory=set)
    attempts: dict[TopicPartition, int] = field(default_factory=dict)
    resume_at_s: dict[TopicPartition, float] = field(default_factory=dict)


class _Lane:
    """Batch after batch of one topic's records. Lanes don't wait for each other."""

    def __init__(
        self,
        *,
        group: str,
        topic: str,
        shared: _Shared,
        runner: BatchRunner,
        source: RecordSource,
        policy: ConsumerPolicy,
        clock: "Clock",
        random: Random,
    ) -> None:
        self._group = group
        self._topic = topic
        self._shared = shared
        self._runner = runner
        self._source = source
        self._policy = policy
        self._clock = clock
        self._random = random
        self._stop = asyncio.Event()
        self._batch: asyncio.Task[None] | None = None
        self._batch_begins: dict[TopicPartition, int] = {}
        self._log = log.bind(group=group, topic=topic)

    def stop(self) -> None:
        """Take no further batch."""
        self._stop.set()

    async def run(self) -> None:
        """Until stopped. Raises ConsumerStopped."""
        while not self._stop.is_set():
            self._resume_due()
            records = await self._source.poll(
                self._topic,
                max_records=self._policy.batch_max_records,
                max_bytes=self._policy.batch_max_bytes,
                timeout_s=self._compute_poll_timeout_s(),
                in_hand=self._shared.in_hand,
            )
            # No task switch between the end of the poll and this: a revocation finds either no batch, or this one in work.
            if records:
                await self._work(records)

    async def release(self, partitions: Sequence[TopicPartition], wait_s: float) -> None:
        """Before partitions are given away: let the batch in work finish, or abandon it, and forget what was planned for them."""
        if (batch := self._batch) is not None:
            done, _ = await asyncio.wait({batch}, timeout=wait_s)
            if not done:
                metrics.ABANDONED.labels(self._group, self._topic).inc()
                self._log.warning("batch_abandoned", waited_s=wait_s)
                batch.cancel()
                await asyncio.wait({batch}, timeout=wait_s)
                for partition, offset in self._batch_begins.items():
                    self._source.seek(partition, offset)
        for partition in partitions:
            self._shared.attempts.pop(partition, None)
            self._shared.resume_at_s.pop(partition, None)

    async def _work(self, records: Sequence["Incoming"]) -> None:
        """A batch is a task of its own, so that a revocation can abandon it while the lane lives on."""
        self._batch_begins = {}
        for record in records:
            self._batch_begins.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        taken = {partition.partition for partition in self._batch_begins}
        self._shared.in_hand |= taken
        self._batch = batch = asyncio.create_task(self._carry(records))
        try:
            await asyncio.wait({batch})
        finally:
            self._batch = None
            if not batch.done():
                batch.cancel()
                await asyncio.wait({batch})
            self._shared.in_hand -= taken
        if not batch.cancelled() and (error := batch.exception()) is not None:
            raise error

    async def _carry(self, records: Sequence["Incoming"]) -> None:
        progress = await self._runner.run(records)
        if not await self._publish(progress):
            return
        self._put_back(progress.held)
        await self._commit(progress)
        if progress.stopped is not None:
            raise progress.stopped

    async def _publish(self, progress: Progress) -> bool:
        """Try again until what is committed is published; False when told to stop first: the outbox keeps it."""
        for staged, outgoing in progress.unpublished:
            attempt = 0
            while True:
                attempt += 1
                metrics.RETRIES.labels(self._group, self._topic, "publish").inc()
                await _wait(self._stop, compute_backoff_s(attempt, self._policy, self._random))
                if self._stop.is_set():
                    return False
                if await self._runner.publish(staged, outgoing):
                    break
        return True

    async def _commit(self, progress: Progress) -> None:
        offsets = progress.next_offsets()
        for partition in offsets.keys() - progress.held.keys():
            self._shared.attempts.pop(partition, None)
        try:
            await self._source.commit(offsets)
        except OwnershipLost:
            # Another generation reads them again: every effect has a natural key, so nothing happens twice.
            metrics.COMMIT_FAILURES.labels(self._group, "ownership_lost").inc()
            self._log.warning("offsets_not_ours")
        except SourceUnavailable as unavailable:
            # The next batch's commit covers these too.
            metrics.COMMIT_FAILURES.labels(self._group, "unavailable").inc()
            self._log.warning("offsets_not_committed", cause=str(unavailable))

    def _put_back(self, held: Mapping[TopicPartition, Held]) -> None:
        """Pause in place: read again from the held offset, but not before the back-off is over.

        Partitions held for one cause come back together, so that a batch put off whole comes again whole.
        """
        for partition in held:
            self._shared.attempts[partition] = self._shared.attempts.get(partition, 0) + 1
        now_s = self._clock.monotonic()
        for cause in {(hold.reason, hold.after_s) for hold in held.values()}:
            together = [partition for partition, hold in held.items() if (hold.reason, hold.after_s) == cause]
            attempt = max(self._shared.attempts[partition] for partition in together)
            wait_s = compute_backoff_s(attempt, self._policy, self._random, at_least_s=cause[1])
            self._shared.resume_at_s.update(dict.fromkeys(together, now_s + wait_s))
            metrics.RETRIES.labels(self._group, self._topic, cause[0]).inc()
        for partition, hold in held.items():
            self._source.seek(partition, hold.offset)
        self._source.pause(list(held))

    def _resume_due(self) -> None:
        now_s = self._clock.monotonic()
        due = [partition for partition, at_s in self._shared.resume_at_s.items() if at_s <= now_s]
        for partition in due:
            del self._shared.resume_at_s[partition]
        if due:
            self._source.resume(due)

    def _compute_poll_timeout_s(self) -> float:
        now_s = self._clock.monotonic()
        next_resume_s = min(self._shared.resume_at_s.values(), default=now_s + self._policy.poll_timeout_s) - now_s
        return max(0.001, min(self._policy.poll_timeout_s, next_resume_s))


class BatchConsumer:
    """A member of group `group` that handles each topic of `handlers`, until told to stop or forced to by what it sees."""

    def __init__(
        self,
        *,
        group: str,
        handlers: Mapping[str, BatchHandler],
        source: RecordSource,
        database: Transactions,
        outbox: Outbox,
        clock: "Clock",
        policy: ConsumerPolicy | None = None,
        random: Random | None = None,
    ) -> None:
        self.handlers = handlers
        self._group = group
        self._source = source
        self._outbox = outbox
        self._policy = policy or ConsumerPolicy()
        self._stopped: BaseException | None = None
        self._sweep_now = asyncio.Event()
        self._log = log.bind(group=group)
        jitter = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._lanes: dict[str, list[_Lane]] = {}
        for topic, handler in handlers.items():
            shared = _Shared()
            runner = BatchRunner(
                group=group, topic=topic, handler=handler, database=database, outbox=outbox, policy=self._policy, clock=clock
            )
            self._lanes[topic] = [
                _Lane(
                    group=group,
                    topic=topic,
                    shared=shared,
                    runner=runner,
                    source=source,
                    policy=self._policy,
                    clock=clock,
                    random=jitter,
                )
                for _ in range(self._policy.lanes)
            ]

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`. Batches in work are finished. Raises ConsumerStopped, after the others have finished."""
        sweeper = asyncio.create_task(self._sweep_regularly())
        lanes: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._source.start(list(self._lanes), self)
            lanes = [asyncio.create_task(lane.run()) for lane in chain.from_iterable(self._lanes.values())]
            await asyncio.wait([stopping, sweeper, *lanes], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._drain(lanes, [stopping, sweeper])
        for task in (sweeper, *lanes):
            if not task.cancelled() and (error := task.exception()) is not None:
                self._stopped = error
                self._log.error(
                    "consumer_stopped", cause=str(error) if isinstance(error, ConsumerStopped) else describe_place(error)
                )
                raise error

    async def check_ready(self) -> None:
        """For /readyz: raises what made the consumer stop."""
        if self._stopped is not None:
            raise ConsumerStopped(str(self._stopped)) from self._stopped

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """As AssignmentListener. What another member committed and didn't publish may be waiting in the outbox."""
        self._log.info("partitions_assigned", partitions=len(partitions))
        self._sweep_now.set()

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """As AssignmentListener."""
        metrics.REBALANCES.labels(self._group).inc()
        self._log.info("partitions_revoked", partitions=len(partitions))
        by_topic: dict[str, list[TopicPartition]] = {}
        for partition in partitions:
            by_topic.setdefault(partition.topic, []).append(partition)
            self._drop_lag(partition)
        await asyncio.gather(
            *(
                lane.release(own, self._policy.revoke_wait_s)
                for topic, own in by_topic.items()
                for lane in self._lanes.get(topic, ())
            )
        )

    async def _drain(self, lanes: Sequence[asyncio.Task[None]], others: Sequence[asyncio.Task[object]]) -> None:
        for lane in chain.from_iterable(self._lanes.values()):
            lane.stop()
        if lanes:
            await asyncio.wait(lanes, timeout=self._policy.drain_wait_s)
        left = [task for task in (*lanes, *others) if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await self._source.close()

    async def _sweep_regularly(self) -> None:
        while True:
            self._sweep_now.clear()
            await self._sweep()
            self._report_lag()
            await _wait(self._sweep_now, self._policy.sweep_interval_s)

    async def _sweep(self) -> None:
        try:
            await self._outbox.sweep()
        except PublishFailed as failed:
            self._log.warning("sweep_put_off", cause=str(failed))
        except Exception as error:  # noqa: BLE001 - the consumer's edge: the next sweep tries again
            level = self._log.warning if is_retryable(error) else self._log.error
            level("sweep_put_off", cause=describe_place(error))

    def _report_lag(self) -> None:
        for partition, records in self._source.lag().items():
            metrics.LAG.labels(self._group, partition.topic, str(partition.partition)).set(records)

    def _drop_lag(self, partition: TopicPartition) -> None:
        """A partition that is another's must not go on showing our last figure."""
        drop_series(metrics.LAG, self._group, partition.topic, str(partition.partition))
