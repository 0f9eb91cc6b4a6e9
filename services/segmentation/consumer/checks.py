"""The job that compares what is stored with what the rules say. It reads from one snapshot: after a crash it begins again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.durable.jobs import JobFunction, RunningJob
from libs.kit.db import Database
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.verify_segments import VERIFY, verify_memberships
from services.segmentation.ports import ProfilePages


@dataclass(frozen=True, slots=True)
class Checks:
    """The job function, for a JobRunner."""

    database: Database
    seg: Segmentation
    pages: ProfilePages

    def kinds(self) -> Mapping[str, JobFunction]:
        return {VERIFY: self.verify}

    async def verify(self, job: RunningJob) -> dict[str, Any]:
        async with self.database.snapshot() as snapshot:
            total = await self.pages.count_known(snapshot)

            async def report(done: int) -> None:
                await job.report(done=done, total=total)

            verdict = await verify_memberships(snapshot, self.seg, self.pages, segment_id=job.input["segment_id"], report=report)
        return verdict.to_json()
