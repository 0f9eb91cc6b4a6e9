"""Jobs in memory, for unit tests. Leases run on the clock given."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from libs.durable.jobs.model import OPEN_STATES, Job, JobCancelled, JobError, JobLost, JobState, Lease

if TYPE_CHECKING:
    from libs.kit.clock import Clock
    from libs.kit.db import Tx


class FakeJobs:
    """See the port `Jobs`. Nothing is rolled back."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._jobs: dict[UUID, Job] = {}
        self._tokens: dict[UUID, UUID] = {}
        self._until: dict[UUID, float] = {}

    async def create(self, tx: "Tx", *, job_id: UUID, kind: str, input: Any, now: datetime, total: int | None = None) -> Job:  # noqa: A002, ARG002
        fresh = Job(id=job_id, kind=kind, state="queued", total=total, input=_as_json(input), created_at=now)
        return self._jobs.setdefault(job_id, fresh)

    async def get(self, tx: "Tx", job_id: UUID) -> Job | None:  # noqa: ARG002
        return self._jobs.get(job_id)

    async def cancel(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:  # noqa: ARG002
        job = self._jobs.get(job_id)
        if job is None or job.state not in (*OPEN_STATES, "paused"):
            return job
        if job.state != "running":
            return self._change(job, state="cancelled", cancel_requested=True, finished_at=now)
        return self._change(job, cancel_requested=True)

    async def pause(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:  # noqa: ARG002
        job = self._jobs.get(job_id)
        return self._change(job, state="paused", finished_at=now) if job is not None and job.state == "queued" else job

    async def requeue(self, tx: "Tx", job_id: UUID) -> Job | None:  # noqa: ARG002
        job = self._jobs.get(job_id)
        if job is None or job.state in OPEN_STATES:
            return job
        self._until.pop(job_id, None)
        return self._change(job, state="queued", attempts=0, cancel_requested=False, result=None, error=None, finished_at=None)

    async def delete(self, tx: "Tx", job_id: UUID) -> None:  # noqa: ARG002
        job = self._jobs.get(job_id)
        if job is not None and job.state not in OPEN_STATES:
            del self._jobs[job_id]

    async def claim(self, tx: "Tx", kinds: Sequence[str], *, token: UUID, lease_s: float, now: datetime) -> Job | None:  # noqa: ARG002
        waiting = [
            job
            for job in self._jobs.values()
            if job.state in OPEN_STATES and job.kind in kinds and self._until.get(job.id, -1.0) < self._clock.monotonic()
        ]
        if not waiting:
            return None
        job = min(waiting, key=lambda one: (one.created_at, one.id))
        self._tokens[job.id] = token
        self._until[job.id] = self._clock.monotonic() + lease_s
        return self._change(job, state="running", attempts=job.attempts + 1, started_at=job.started_at or now)

    async def renew(self, tx: "Tx", lease: Lease, *, lease_s: float) -> None:  # noqa: ARG002
        job = self._held(lease)
        self._until[job.id] = self._clock.monotonic() + lease_s
        _check_wanted(job)

    async def save_progress(
        self,
        tx: "Tx",  # noqa: ARG002
        lease: Lease,
        *,
        done: int,
        total: int | None = None,
        checkpoint: bytes | None = None,
    ) -> None:
        job = self._held(lease)
        _check_wanted(job)
        self._change(
            job,
            done=done,
            total=job.total if total is None else total,
            checkpoint=job.checkpoint if checkpoint is None else checkpoint,
            attempts=1 if done > job.done else job.attempts,
        )

    async def finish(
        self,
        tx: "Tx",  # noqa: ARG002
        lease: Lease,
        *,
        state: JobState,
        now: datetime,
        result: Any = None,
        error: JobError | None = None,
    ) -> None:
        if state in OPEN_STATES:
            raise ValueError("a finished job isn't queued or running")
        job = self._held(lease)
        self._tokens.pop(job.id)
        self._change(job, state=state, finished_at=now, result=_as_json(result), error=error)

    async def release(self, tx: "Tx", lease: Lease, *, after_s: float, count_attempt: bool) -> None:  # noqa: ARG002
        if self._tokens.get(lease.job_id) != lease.token:
            return
        job = self._jobs[lease.job_id]
        self._tokens.pop(job.id)
        self._until[job.id] = self._clock.monotonic() + after_s
        self._change(job, state="queued", attempts=job.attempts - (0 if count_attempt else 1))

    def _held(self, lease: Lease) -> Job:
        if self._tokens.get(lease.job_id) != lease.token:
            raise JobLost
        return self._jobs[lease.job_id]

    def _change(self, job: Job, **changes: Any) -> Job:
        changed = msgspec.structs.replace(job, **changes)
        self._jobs[job.id] = changed
        return changed


def _check_wanted(job: Job) -> None:
    if job.cancel_requested:
        raise JobCancelled


def _as_json(value: Any) -> Any:
    """As it comes back from a real store: a copy of plain JSON types."""
    return msgspec.json.decode(msgspec.json.encode(value))
