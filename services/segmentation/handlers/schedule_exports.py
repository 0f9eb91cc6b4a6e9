"""When an export runs, and what a run is: a job that names the export and the instant it was due."""

from datetime import datetime
from typing import Any, Final

from libs.durable.jobs import Job, Jobs
from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.kit.ids import IdFactory
from libs.kit.times import format_utc
from services.segmentation.ports import Export, SaveRun

EXPORT: Final = "segment_export"


def find_next_run(export: Export, now: datetime) -> datetime:
    """The first instant of its rhythm behind now: what was missed while nobody was there isn't made up for."""
    missed = max((now - export.next_at) // export.every, 0)
    return export.next_at + export.every * (missed + 1)


async def queue_run(
    tx: Tx, export: Export, due_at: datetime, jobs: Jobs, save_run: SaveRun, clock: Clock, new_id: IdFactory
) -> Job:
    job_input: dict[str, Any] = {"export_id": str(export.id), "due_at": format_utc(due_at)}
    job = await jobs.create(tx, job_id=new_id(), kind=EXPORT, input=job_input, now=clock.now())
    await save_run(tx, export.id, job.id, due_at)
    return job
