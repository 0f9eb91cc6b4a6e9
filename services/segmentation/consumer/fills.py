"""The jobs that bring members to a changed definition: chunk after chunk by profile id, each a transaction.

A chunk locks its profiles, judges them and records how far the job is: after a crash it goes on exactly there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.durable.jobs import JobFunction, RunningJob
from libs.events.envelope import Outgoing
from libs.kit.db import Database, Tx
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox, StagedId
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.fill_segments import EMPTY, FILL, empty_chunk, fill_chunk, finish_fill
from services.segmentation.handlers.keep_lists import JUDGE_LIST, judge_list_chunk
from services.segmentation.ports import ProfilePages

LoadIds = Callable[[Tx, UUID | None, int], Awaitable[list[UUID]]]
DoChunk = Callable[[Tx, Sequence[UUID]], Awaitable[list[Outgoing] | None]]


@dataclass(frozen=True, slots=True)
class Fills:
    """The job functions, for a JobRunner."""

    database: Database
    outbox: Outbox
    seg: Segmentation
    pages: ProfilePages
    chunk_profiles: int

    def kinds(self) -> Mapping[str, JobFunction]:
        return {FILL: self.fill, EMPTY: self.empty, JUDGE_LIST: self.judge_list}

    async def fill(self, job: RunningJob) -> dict[str, Any]:
        """Judge everybody by the version the job is about. A newer version or a deletion ends it."""
        segment_id, version = job.input["segment_id"], job.input["version"]

        async def do_chunk(tx: Tx, profile_ids: Sequence[UUID]) -> list[Outgoing] | None:
            return await fill_chunk(tx, segment_id, version, profile_ids, self.seg)

        if not await self._walk(job, self.pages.load_known_ids, do_chunk):
            return {"profiles": job.done, "superseded": True}
        async with self.database.transaction() as tx:
            is_done = await finish_fill(tx, segment_id, version, self.seg)
        return {"profiles": job.done, "superseded": not is_done}

    async def empty(self, job: RunningJob) -> dict[str, Any]:
        """Tell every member of a deleted segment that it exited."""
        segment_id, version = job.input["segment_id"], job.input["version"]

        async def load_ids(tx: Tx, after: UUID | None, limit: int) -> list[UUID]:
            return await self.pages.load_concerned_ids(tx, segment_id, after, limit)

        async def do_chunk(tx: Tx, profile_ids: Sequence[UUID]) -> list[Outgoing] | None:
            return await empty_chunk(tx, segment_id, version, profile_ids, self.seg)

        finished = await self._walk(job, load_ids, do_chunk)
        return {"profiles": job.done, "superseded": not finished}

    async def judge_list(self, job: RunningJob) -> dict[str, Any]:
        """Judge whom a file brought onto a list or took off. Another file meanwhile makes more, and a job that finds none."""
        after = UUID(bytes=job.checkpoint) if job.checkpoint else None
        while True:
            async with self.database.transaction() as tx:
                refs, outgoing = await judge_list_chunk(tx, job.input["list_id"], after, self.seg, limit=self.chunk_profiles)
                if refs:
                    await job.save(tx, done=job.done + len(refs), checkpoint=refs[-1].bytes)
                    staged = await self.outbox.stage(tx, outgoing)
            if refs:
                after = refs[-1]
                await self._publish(staged, outgoing)
            elif after is None:
                return {"entries": job.done}
            else:
                after = None  # once more from the beginning: what came meanwhile

    async def _publish(self, staged: StagedId | None, outgoing: list[Outgoing]) -> None:
        """It is committed: while the broker is away the worker's sweep tells it later."""
        if staged is not None:
            with suppress(PublishFailed):
                await self.outbox.publish(staged, outgoing)

    async def _walk(self, job: RunningJob, load_ids: LoadIds, do_chunk: DoChunk) -> bool:
        """From the job's checkpoint on; False where a chunk says that the work is another's by now."""
        after = UUID(bytes=job.checkpoint) if job.checkpoint else None
        if job.total is None:
            async with self.database.connection() as connection:
                total = await self.pages.count_known(connection)
            await job.report(done=job.done, total=total)
            job.total = total
        while True:
            async with self.database.transaction() as tx:
                profile_ids = await load_ids(tx, after, self.chunk_profiles)
                if not profile_ids:
                    return True
                outgoing = await do_chunk(tx, profile_ids)
                if outgoing is None:
                    return False
                after = profile_ids[-1]
                done = job.done + len(profile_ids)
                # Newcomers behind the checkpoint are walked over, too.
                await job.save(tx, done=done, total=max(done, job.total or 0), checkpoint=after.bytes)
                staged = await self.outbox.stage(tx, outgoing)
            await self._publish(staged, outgoing)
