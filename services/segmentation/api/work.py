"""Long work on segments that somebody asks for: comparing with the rules, and going on with a back-fill that was cancelled."""

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from libs.durable.idempotency import StoredAnswer, answer_once
from libs.durable.jobs import job_accepted
from libs.durable.jobs.model import OPEN_STATES
from services.segmentation.api.deps import ApiDeps, IdempotencyKey, Writer, accept, find_segment
from services.segmentation.api.examples import JOB_ACCEPTED
from services.segmentation.errors import FillStopping, SegmentNotFound
from services.segmentation.handlers.verify_segments import VERIFY


def build_work_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/segments", tags=["segments"])

    @router.post("/verify", status_code=202, responses=JOB_ACCEPTED)
    async def verify_all(_: Writer, key: IdempotencyKey = None) -> Response:
        """Judge everybody by every live segment, from what is stored, and compare with the memberships. A job; see `result`."""
        return await _queue_check(deps, None, key)

    @router.post("/{segment_id}/verify", status_code=202, responses=JOB_ACCEPTED)
    async def verify(segment_id: str, _: Writer, key: IdempotencyKey = None) -> Response:
        """The same by one segment."""
        return await _queue_check(deps, segment_id, key)

    @router.post("/{segment_id}/resume", status_code=202, responses=JOB_ACCEPTED)
    async def resume(segment_id: str, _: Writer) -> JSONResponse:
        """Go on with a back-fill that was cancelled or failed, exactly where it stopped; what changed meanwhile is in already.

        So, too, with telling the members of a deleted segment that they exited. One that runs or is through stays as it is; while
        one is stopping it is 409.
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


async def _queue_check(deps: ApiDeps, segment_id: str | None, key: str | None) -> Response:
    job_input, now = {"segment_id": segment_id}, deps.seg.clock.now()
    async with deps.database.transaction() as tx:

        async def queue() -> StoredAnswer:
            if segment_id is not None:
                await find_segment(tx, segment_id, deps)
            return accept(await deps.jobs.create(tx, job_id=deps.seg.new_id(), kind=VERIFY, input=job_input, now=now))

        answer = await answer_once(tx, key, VERIFY, msgspec.json.encode(job_input), now, queue)
    return answer.to_response()
