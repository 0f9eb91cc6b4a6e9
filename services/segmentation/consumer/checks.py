"""Jobs that judge everybody anew and change nothing. Each reads from one snapshot: after a crash it begins again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.durable.jobs import JobFunction, RunningJob
from libs.kit.db import Database
from services.segmentation.domain.sizes import show_sizes
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.recount_sizes import RECOUNT, Span, recount_sizes
from services.segmentation.handlers.verify_segments import VERIFY, verify_memberships
from services.segmentation.store import PostgresProfilePages


@dataclass(frozen=True, slots=True)
class Checks:
    """The job functions, for a JobRunner."""

    database: Database
    seg: Segmentation
    pages: PostgresProfilePages

    def kinds(self) -> Mapping[str, JobFunction]:
        return {VERIFY: self.verify, RECOUNT: self.recount}

    async def verify(self, job: RunningJob) -> dict[str, Any]:
        async with self.database.snapshot() as snapshot:
            total = await self.pages.count_known(snapshot)

            async def report(done: int) -> None:
                await job.report(done=done, total=total)

            verdict = await verify_memberships(snapshot, self.seg, self.pages, segment_id=job.input["segment_id"], report=report)
        return verdict.to_json()

    async def recount(self, job: RunningJob) -> dict[str, Any]:
        span = Span(*job.input["span"])
        async with self.database.snapshot() as snapshot:
            total = await self.pages.count_profiles(snapshot)

            async def report(done: int) -> None:
                await job.report(done=done, total=total)

            moved = await recount_sizes(snapshot, self.seg, self.pages, job.input["segment_id"], span, report=report)
        return {"items": show_sizes(moved.before, moved.entered, moved.exited, *span)}
