"""What a job is, and the port to where jobs are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from libs.kit.db import Tx

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
OPEN_STATES: frozenset[JobState] = frozenset(("queued", "running"))


class JobError(msgspec.Struct, frozen=True, array_like=True):
    """Why a job failed, in words fit for its owner."""

    code: str
    detail: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as everybody may see it. `checkpoint` is its function's own note of how far it is."""

    id: UUID
    kind: str
    state: JobState
    done: int = 0
    total: int | None = None
    input: Any = None
    result: Any = None
    error: JobError | None = None
    checkpoint: bytes | None = None
    attempts: int = 0
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Lease(msgspec.Struct, frozen=True):
    """The right to work on a job, until it expires or is renewed. Every claim has its own token: an old one opens nothing."""

    job_id: UUID
    token: UUID


class JobCancelled(Exception):
    """Somebody asked to cancel the job: stop where it is consistent."""


class JobPaused(Exception):
    """A job's function has brought its job to rest (`RunningJob.rest`), until somebody has it queued again."""


class JobLost(Exception):
    """The lease expired and another runner has the job: roll back, what we do no longer counts."""


class Jobs(Protocol):
    """Where jobs are kept. Leases run on the store's own clock, which all runners share; `now` is what people are shown."""

    async def create(self, tx: "Tx", *, job_id: UUID, kind: str, input: Any, now: datetime, total: int | None = None) -> Job:  # noqa: A002
        """Queue a job; it starts after the commit. An id that exists already gives the job that has it, unchanged."""
        ...

    async def get(self, tx: "Tx", job_id: UUID) -> Job | None: ...

    async def cancel(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:
        """A queued or paused job is cancelled at once, a running one is asked to stop, a finished one stays as it is."""
        ...

    async def pause(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:
        """A queued job rests; any other stays as it is: a running one's function must stop by itself."""
        ...

    async def requeue(self, tx: "Tx", job_id: UUID) -> Job | None:
        """A job at rest (paused or finished) waits again, with its progress and checkpoint; any other stays as it is."""
        ...

    async def delete(self, tx: "Tx", job_id: UUID) -> None:
        """Forget a job at rest; any other stays."""
        ...

    async def claim(self, tx: "Tx", kinds: Sequence[str], *, token: UUID, lease_s: float, now: datetime) -> Job | None:
        """The oldest job of these kinds that waits, or whose runner's lease has expired; running and leased from now on."""
        ...

    async def renew(self, tx: "Tx", lease: Lease, *, lease_s: float) -> None:
        """Raises JobLost or JobCancelled."""
        ...

    async def save_progress(
        self, tx: "Tx", lease: Lease, *, done: int, total: int | None = None, checkpoint: bytes | None = None
    ) -> None:
        """In the transaction of the work itself, so that both are there or neither. None keeps what was stored.

        Where `done` grew, earlier attempts are forgotten: only crashes without progress count.
        Holds the job's row until the transaction ends. Raises JobLost or JobCancelled; the transaction should then roll back.
        """
        ...

    async def finish(
        self, tx: "Tx", lease: Lease, *, state: JobState, now: datetime, result: Any = None, error: JobError | None = None
    ) -> None:
        """Raises JobLost."""
        ...

    async def release(self, tx: "Tx", lease: Lease, *, after_s: float, count_attempt: bool) -> None:
        """Give the job back to the queue, not to be claimed before `after_s`. Nothing happens where it is another's already."""
        ...
