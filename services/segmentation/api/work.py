"""Long work on segments that somebody asks for: comparing with the rules, and going on with a back-fill that was cancelled."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from libs.durable.jobs import job_accepted
from libs.durable.jobs.model import OPEN_STATES
from services.segmentation.api.deps import ApiDeps, Writer, find_segment
from services.segmentation.api.examples import JOB_ACCEPTED
from services.segmentation.errors import FillStopping, SegmentNotFound
from services.segmentation.handlers.verify_segments import VERIFY


def build_work_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/segments", tags=["segments"])

    @router.post("/verify", status_code=202, responses=JOB_ACCEPTED)
    async def verify_all(_: Writer) -> JSONResponse:
        """Judge everybody by every live segment, from what is stored, and compare with the memberships. A job; see `result`."""
        return await _queue_check(deps, None)

    @router.post("/{segment_id}/verify", status_code=202, responses=JOB_ACCEPTED)
    async def verify(segment_id: str, _: Writer) -> JSONResponse:
        """The same by one segment."""
        return await _queue_check(deps, segment_id)

    @router.post("/{segment_id}/resume", status_code=202, responses=JOB_ACCEPTED)
    async def resume(segment_id: str, _: Writer) -> JSONResponse:
        """Go on with a back-fill that was cancelled or failed, exactly where it stopped; what changed meanwhile is in already.

        So, too, with telling the members of a deleted segment that they exited. One that runs or is through stays as it is; 409 while one is
        stopping.
        """
        return await _resume(deps, segment_id)

    return router


async def _resume(deps: ApiDeps, segment_id: str) -> JSONResponse:
    async with deps.database.transaction() as tx:
        definition = await find_segment(tx, segment_id, deps, even_deleted=True)
        job = await deps.jobs.get(tx, definition.job_id)
        if job is not None and job.state in OPEN_STATES and job.cancel_requested:
            raise FillStopping("It was asked to stop and hasn't yet. Try again in a moment.")
        if job is not None and job.state != "succeeded":
            job = await deps.jobs.requeue(tx, job.id)
    if job is None:
        raise SegmentNotFound(f"There is no back-fill of {segment_id}.")
    return job_accepted(job)


async def _queue_check(deps: ApiDeps, segment_id: str | None) -> JSONResponse:
    async with deps.database.transaction() as tx:
        if segment_id is not None:
            await find_segment(tx, segment_id, deps)
        job = await deps.jobs.create(
            tx, job_id=deps.seg.new_id(), kind=VERIFY, input={"segment_id": segment_id}, now=deps.seg.clock.now()
        )
    return job_accepted(job)
