"""Imports as people ask for them: begun, paused, gone on with, cancelled, forgotten. The work itself is `import_rows`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from libs.durable.jobs import Job, Jobs
from libs.durable.jobs.model import OPEN_STATES
from services.ingest.domain.imports.tally import Tally
from services.ingest.errors import ImportNotFound, ImportStateConflict
from services.ingest.ports import Import, ImportStore

if TYPE_CHECKING:
    from libs.kit.db import Tx

IMPORT_JOB: Final = "import"
_FORGET_CHUNKS: Final = 100
_FORGET_ERRORS: Final = 10_000


class Begun(NamedTuple):
    """`is_new`: false where the same file, source and meaning had been imported, or begun, before."""

    job: Job
    is_new: bool


@dataclass(frozen=True, slots=True)
class Imports:
    """The use cases. Every one locks the import first: what people ask and what a worker commits come one after the other."""

    store: ImportStore
    jobs: Jobs

    async def begin(
        self, tx: "Tx", made: Import, chunks: Iterable[bytes], *, rows: int, start: bool, restart: bool, now: datetime
    ) -> Begun:
        """Keep the file and queue its job, or find the import that has it. `restart` makes that one begin anew.

        Raises ImportStateConflict where it is under way.
        """
        while not await self.store.insert(tx, made):
            job = await self._find_again(tx, made, restart=restart, start=start, now=now)
            if job is not None:
                return Begun(job, is_new=False)
        for number, chunk in enumerate(chunks):
            await self.store.add_chunk(tx, made.id, number, chunk)
        job = await self.jobs.create(tx, job_id=made.id, kind=IMPORT_JOB, input=None, now=now, total=rows)
        return Begun(job if start else await self._rest(tx, job, now), is_new=True)

    async def _find_again(self, tx: "Tx", made: Import, *, restart: bool, start: bool, now: datetime) -> Job | None:
        """None where only remnants of one were left, which are gone then."""
        known = await self.store.lock(tx, made.id)
        if known is None:
            return None
        job = await self.jobs.get(tx, made.id)
        if job is None:
            while await self.forget_some(tx, made.id):
                pass
            return None
        await self.store.save_max_error_ratio(tx, made.id, made.max_error_ratio)
        if not restart:
            return job
        if job.state in OPEN_STATES:
            raise ImportStateConflict("The import is under way: pause or cancel it first.")
        while await self.store.forget_errors(tx, made.id, _FORGET_ERRORS):
            pass
        await self.store.save_tally(tx, made.id, Tally())
        queued = await self._go_on(tx, made.id)
        return queued if start or queued is None else await self._rest(tx, queued, now)

    async def _rest(self, tx: "Tx", job: Job, now: datetime) -> Job:
        await self.store.request_pause(tx, job.id, wanted=True)
        return await self.jobs.pause(tx, job.id, now=now) or job

    async def get(self, tx: "Tx", import_id: UUID) -> tuple[Import, Job]:
        """Raises ImportNotFound."""
        found = await self.store.find(tx, import_id)
        job = await self.jobs.get(tx, import_id)
        if found is None or job is None:
            raise ImportNotFound("There is no import with this id.")
        return found, job

    async def pause(self, tx: "Tx", import_id: UUID, now: datetime) -> None:
        """A waiting one rests at once, a running one after the batch in hand. Raises ImportNotFound, ImportStateConflict."""
        job = await self._lock(tx, import_id)
        if job.state not in (*OPEN_STATES, "paused"):
            raise ImportStateConflict(f"The import has {job.state}.")
        await self.store.request_pause(tx, import_id, wanted=True)
        await self.jobs.pause(tx, import_id, now=now)

    async def resume(self, tx: "Tx", import_id: UUID) -> None:
        """From behind the last batch, also after it failed or was cancelled. Raises ImportNotFound, ImportStateConflict."""
        job = await self._lock(tx, import_id)
        if job.state == "succeeded":
            raise ImportStateConflict("The import has succeeded: there is nothing to go on with.")
        await self._go_on(tx, import_id)

    async def cancel(self, tx: "Tx", import_id: UUID, now: datetime) -> None:
        """What was taken stays. One at an end stays as it is. Raises ImportNotFound."""
        await self._lock(tx, import_id)
        await self.jobs.cancel(tx, import_id, now=now)

    async def forget(self, tx: "Tx", import_id: UUID) -> None:
        """From the commit on it isn't found; `forget_some` removes what it left. Raises ImportNotFound, ImportStateConflict."""
        job = await self._lock(tx, import_id)
        if job.state in OPEN_STATES:
            raise ImportStateConflict("The import is under way: cancel it first.")
        await self.jobs.delete(tx, import_id)

    async def forget_some(self, tx: "Tx", import_id: UUID) -> bool:
        """Some of what a forgotten import left; whether there may be more. A big file at once would be one long statement."""
        if await self.store.forget_chunks(tx, import_id, _FORGET_CHUNKS):
            return True
        if await self.store.forget_errors(tx, import_id, _FORGET_ERRORS):
            return True
        await self.store.delete(tx, import_id)
        return False

    async def _go_on(self, tx: "Tx", import_id: UUID) -> Job | None:
        await self.store.request_pause(tx, import_id, wanted=False)
        return await self.jobs.requeue(tx, import_id)

    async def _lock(self, tx: "Tx", import_id: UUID) -> Job:
        found = await self.store.lock(tx, import_id)
        job = await self.jobs.get(tx, import_id) if found is not None else None
        if job is None:
            raise ImportNotFound("There is no import with this id.")
        return job
