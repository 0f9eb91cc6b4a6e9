"""Runs jobs, one at a time: claims, keeps the lease, resumes what a crash left, stops what is cancelled, records how it ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from libs.durable.jobs.model import Job, JobCancelled, JobError, JobLost, JobPaused, Jobs, JobState, Lease
from libs.durable.jobs.store import PostgresJobs
from libs.kit.db import DATABASE_ERRORS, is_retryable
from libs.kit.errors import RapportError
from libs.kit.logging import get_logger

if TYPE_CHECKING:
    from libs.kit.clock import Clock
    from libs.kit.db import Database, Tx

_log = get_logger(__name__)
_RETRY_AFTER_S = 2.0
_Ended = Literal["stopping", "cancelled", "lost"]


class RunningJob:
    """What a job's function works with: its input, the checkpoint it left last time, and how to record the next."""

    def __init__(self, job: Job, lease: Lease, jobs: Jobs, database: "Database", clock: "Clock") -> None:
        self.id: UUID = job.id
        self.input: Any = job.input
        self.checkpoint = job.checkpoint
        self.done = job.done
        self.total = job.total
        self._lease = lease
        self._jobs = jobs
        self._database = database
        self._clock = clock

    async def save(self, tx: "Tx", *, done: int, total: int | None = None, checkpoint: bytes | None = None) -> None:
        """Record how far the job is in the work's own transaction: after a crash it goes on exactly there.

        Raises JobCancelled or JobLost: let them pass, so that the transaction rolls back.
        """
        await self._jobs.save_progress(tx, self._lease, done=done, total=total, checkpoint=checkpoint)
        self.done = done

    async def report(self, *, done: int, total: int | None = None, checkpoint: bytes | None = None) -> None:
        """The same in a transaction of its own, for work that may be done twice."""
        async with self._database.transaction() as tx:
            await self.save(tx, done=done, total=total, checkpoint=checkpoint)

    async def rest(self, tx: "Tx") -> None:
        """Paused from the commit on; raise JobPaused then. In the caller's transaction, so that nobody can ask for the job to go
        on in between and not be heard. Raises JobLost.
        """
        await self._jobs.finish(tx, self._lease, state="paused", now=self._clock.now())


JobFunction = Callable[[RunningJob], Awaitable[Any]]
"""Does the work and returns the result (plain JSON). May be cancelled at any await, and called again with the last checkpoint.

Raises RapportError where it can't be done, JobPaused behind `rest`; a retryable database error makes it be tried again.
"""


class JobRunner:
    """One of any number of runners. A job whose runner died is taken over when its lease has expired.

    After `max_attempts` claims in a row that ended in a crash or a retryable error without progress a job fails: `gave_up`.
    """

    def __init__(
        self,
        database: "Database",
        kinds: Mapping[str, JobFunction],
        *,
        clock: "Clock",
        jobs: Jobs | None = None,
        lease_s: float = 30.0,
        poll_s: float = 1.0,
        max_attempts: int = 5,
    ) -> None:
        self._database = database
        self._kinds = dict(kinds)
        self._clock = clock
        self._jobs = jobs or PostgresJobs()
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._max_attempts = max_attempts

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the job in hand then goes back to the queue as it is."""
        while not stop.is_set():
            try:
                ran = await self.run_next(stop)
            except DATABASE_ERRORS as error:
                if not is_retryable(error):
                    raise
                _log.warning("jobs_paused", reason=type(error).__name__)
                ran = False
            if not ran:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._poll_s)

    async def run_next(self, stop: asyncio.Event | None = None) -> bool:
        """Claim and run one job; False where none waits."""
        token = uuid4()
        async with self._database.transaction() as tx:
            job = await self._jobs.claim(tx, list(self._kinds), token=token, lease_s=self._lease_s, now=self._clock.now())
        if job is None:
            return False
        lease = Lease(job.id, token)
        if job.cancel_requested:
            await self._finish(lease, "cancelled")
        elif job.attempts > self._max_attempts:
            await self._finish(
                lease, "failed", error=JobError("gave_up", f"It was begun {self._max_attempts} times without getting on.")
            )
        else:
            await self._run_claimed(job, lease, stop or asyncio.Event())
        return True

    async def _run_claimed(self, job: Job, lease: Lease, stop: asyncio.Event) -> None:
        _log.info("job_started", job=str(job.id), kind=job.kind, attempt=job.attempts)
        work = asyncio.ensure_future(self._kinds[job.kind](RunningJob(job, lease, self._jobs, self._database, self._clock)))
        watch = asyncio.create_task(self._watch(lease, stop))
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also when this task itself is cancelled: nothing of the job may go on without a lease.
            watch.cancel()
            work_ended = work.done()
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
        if work_ended:
            await self._end(job, lease, work)
        else:
            await self._end_early(lease, watch.result())

    async def _watch(self, lease: Lease, stop: asyncio.Event) -> _Ended:
        """Keep the lease; returns why the work must stop."""
        while True:
            try:
                await asyncio.wait_for(stop.wait(), self._lease_s / 3)
            except TimeoutError:
                pass
            else:
                return "stopping"
            try:
                async with self._database.transaction() as tx:
                    await self._jobs.renew(tx, lease, lease_s=self._lease_s)
            except JobCancelled:
                return "cancelled"
            except JobLost:
                return "lost"
            except DATABASE_ERRORS as error:
                if not is_retryable(error):
                    raise
                # The database is away: should the lease expire meanwhile, its token keeps our late writes out.
                _log.warning("job_lease_not_renewed", job=str(lease.job_id), reason=type(error).__name__)

    async def _end_early(self, lease: Lease, why: _Ended) -> None:
        if why == "stopping":
            async with self._database.transaction() as tx:
                await self._jobs.release(tx, lease, after_s=0.0, count_attempt=False)
        elif why == "cancelled":
            await self._finish(lease, "cancelled")

    async def _end(self, job: Job, lease: Lease, work: "asyncio.Future[Any]") -> None:
        """How the function ended decides how the job does."""
        error = JobCancelled() if work.cancelled() else work.exception()
        if error is None:
            await self._finish(lease, "succeeded", result=work.result())
        elif isinstance(error, JobLost):
            _log.warning("job_lost", job=str(job.id), kind=job.kind)
        elif isinstance(error, JobCancelled):
            await self._finish(lease, "cancelled")
        elif isinstance(error, JobPaused):
            _log.info("job_ended", job=str(job.id), state="paused")
        elif isinstance(error, RapportError) and not error.retryable:
            await self._finish(lease, "failed", error=JobError(error.code, error.detail))
        elif is_retryable(error) or isinstance(error, RapportError):
            _log.warning("job_retried", job=str(job.id), kind=job.kind, reason=type(error).__name__)
            async with self._database.transaction() as tx:
                await self._jobs.release(tx, lease, after_s=_RETRY_AFTER_S * 2 ** min(job.attempts, 6), count_attempt=True)
        else:
            _log.error("job_failed", job=str(job.id), kind=job.kind, exc_info=error)
            await self._finish(lease, "failed", error=JobError("internal", "Something went wrong on our side; it is logged."))

    async def _finish(self, lease: Lease, state: JobState, *, result: Any = None, error: JobError | None = None) -> None:
        try:
            async with self._database.transaction() as tx:
                await self._jobs.finish(tx, lease, state=state, now=self._clock.now(), result=result, error=error)
        except JobLost:
            # Another runner has it and will come to the same end.
            _log.warning("job_lost", job=str(lease.job_id))
        else:
            _log.info("job_ended", job=str(lease.job_id), state=state)
