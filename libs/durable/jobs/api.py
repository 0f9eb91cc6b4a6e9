"""`/v1/jobs/{id}`: how far a job is, and cancelling it. Whoever starts one answers 202 with `job_accepted`."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from libs.durable.jobs.model import Job, Jobs
from libs.durable.jobs.store import PostgresJobs
from libs.kit.auth import Principal
from libs.kit.errors import NotFound
from libs.kit.http import requires
from libs.kit.scopes import KeyScope
from libs.kit.times import format_utc

if TYPE_CHECKING:
    from libs.kit.clock import Clock
    from libs.kit.db import Database


class JobNotFound(NotFound):
    code = "job_not_found"
    title = "There is no such job"


def jobs_router(
    database: "Database",
    *,
    clock: "Clock",
    read_scope: KeyScope,
    write_scope: KeyScope,
    jobs: Jobs | None = None,
) -> APIRouter:
    """The two routes; a service includes it once."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    store = jobs or PostgresJobs()

    @router.get("/{job_id}", summary="How far a job is")
    async def get_job(job_id: UUID, _: Annotated[Principal, requires(read_scope)]) -> dict[str, Any]:
        async with database.connection() as connection:
            return describe_job(_found(await store.get(connection, job_id)))

    @router.delete("/{job_id}", summary="Cancel a job")
    async def cancel_job(job_id: UUID, _: Annotated[Principal, requires(write_scope)]) -> dict[str, Any]:
        """A waiting or paused job is cancelled, a running one stops soon, a finished one stays as it is."""
        async with database.transaction() as tx:
            return describe_job(_found(await store.cancel(tx, job_id, now=clock.now())))

    return router


def describe_job(job: Job) -> dict[str, Any]:
    """As the API shows it."""
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": job.state,
        "progress": {"done": job.done, "total": job.total},
        "result": job.result,
        "error": {"code": job.error.code, "detail": job.error.detail} if job.error is not None else None,
        "cancel_requested": job.cancel_requested,
        "created_at": format_utc(job.created_at),
        "started_at": format_utc(job.started_at) if job.started_at else None,
        "finished_at": format_utc(job.finished_at) if job.finished_at else None,
    }


def job_accepted(job: Job) -> JSONResponse:
    """202 with where to look."""
    return JSONResponse(describe_job(job), status_code=202, headers={"Location": f"/v1/jobs/{job.id}"})


def _found(job: Job | None) -> Job:
    if job is None:
        raise JobNotFound("There is no job with this id.")
    return job
