"""`/v1/exports`: the members of a segment written to a file or posted, every so often; what became of the last runs."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.durable.jobs import Job
from libs.durable.webhooks import PostgresWebhooks
from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel
from libs.kit.times import format_duration, format_utc, parse_duration, parse_utc
from services.segmentation.api.deps import (
    ApiDeps,
    Cursor,
    IdempotencyKey,
    Limit,
    Reader,
    Writer,
    accept,
    find_segment,
    parse_columns,
)
from services.segmentation.api.examples import EXPORT_MADE, EXPORT_SHOWN, EXPORTS, JOB_ACCEPTED
from services.segmentation.domain.exporting import DEFAULT_COLUMNS, Form
from services.segmentation.errors import ExportNotFound
from services.segmentation.handlers.schedule_exports import EXPORT, queue_run
from services.segmentation.ports import Export
from services.segmentation.store.schedules import delete_export, find_export, load_exports, load_runs, save_export, save_run

_SHORTEST: Final = timedelta(minutes=5)
_LONGEST: Final = timedelta(days=366)
_RUNS_SHOWN: Final = 20
_webhooks: Final = PostgresWebhooks()


class NewExport(StrictModel):
    segment: Annotated[str, Field(max_length=64)]
    format: Form = "csv"
    columns: Annotated[list[str], Field(max_length=50, description="As `/v1/segments/{id}/export` takes them.")] = Field(
        default_factory=lambda: list(DEFAULT_COLUMNS)
    )
    every: Annotated[str, Field(description="A duration, PT5M to P366D.", examples=["P1D"])]
    first_at: Annotated[str | None, Field(description="The first run; where it is missing, at once.")] = None
    webhook: Annotated[UUID | None, Field(description="Post it to this webhook; where it is missing, write a file.")] = None


def build_exports_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/exports", tags=["exports"])

    @router.post("", status_code=201, responses=EXPORT_MADE)
    async def create(body: NewExport, principal: Writer, key: IdempotencyKey = None) -> Response:
        """Write the members of a segment every so often: to a file in the folder that the operator set, or to a webhook's URL.

        What was missed while the service was down isn't made up for. Identifiers and traits need scope `profiles:read`, too.
        """
        parse_columns(",".join(body.columns), principal, "#/columns")
        return await _create(deps, body, key)

    @router.get("", responses=EXPORTS)
    async def list_exports(_: Reader, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """All of them, by id, each with its last runs."""
        after = decode_cursor(cursor, UUID)[0] if cursor else None
        async with deps.database.connection() as connection:
            page = cut_page(await load_exports(connection, after, limit + 1), limit, lambda one: (one.id,))
            items = [await _show(connection, one, deps) for one in page.items]
        return {"items": items, "next_cursor": page.next_cursor}

    @router.get("/{export_id}", responses=EXPORT_SHOWN)
    async def read(export_id: UUID, _: Reader) -> dict[str, Any]:
        """One with its last twenty runs, the last first."""
        async with deps.database.connection() as connection:
            return await _show(connection, await _find(connection, export_id), deps)

    @router.delete("/{export_id}", status_code=204)
    async def delete(export_id: UUID, _: Writer) -> None:
        """Nothing is written any more; files that were stay."""
        async with deps.database.transaction() as tx:
            if not await delete_export(tx, export_id):
                raise ExportNotFound(f"There is no export {export_id}.")

    @router.post("/{export_id}/run", status_code=202, responses=JOB_ACCEPTED)
    async def run(export_id: UUID, _: Writer, key: IdempotencyKey = None) -> Response:
        """Write it now, beside its rhythm."""
        clock = deps.seg.clock
        async with deps.database.transaction() as tx:

            async def queue() -> StoredAnswer:
                export = await _find(tx, export_id)
                return accept(await queue_run(tx, export, clock.now(), deps.jobs, save_run, clock, deps.seg.new_id))

            answer = await answer_once(tx, key, EXPORT, export_id.bytes, clock.now(), queue)
        return answer.to_response()

    return router


async def _create(deps: ApiDeps, body: NewExport, key: str | None) -> Response:
    now = deps.seg.clock.now()
    every = _read("every", body.every, parse_duration)
    if not _SHORTEST <= every <= _LONGEST:
        raise _refuse("every", "lies outside PT5M to P366D")
    export = Export(
        id=deps.seg.new_id(),
        segment_id=body.segment,
        form=body.format,
        columns=body.columns,
        every=every,
        webhook_id=body.webhook,
        next_at=_read("first_at", body.first_at, parse_utc) if body.first_at is not None else now,
        created_at=now,
    )
    if body.webhook is None and not deps.has_export_folder:
        raise _refuse("webhook", "is needed: no folder is set for files (SEGMENTATION_EXPORT_DIR)")
    async with deps.database.transaction() as tx:

        async def create() -> StoredAnswer:
            await find_segment(tx, body.segment, deps)
            if body.webhook is not None and await _webhooks.find(tx, body.webhook) is None:
                raise _refuse("webhook", "names no webhook")
            await save_export(tx, export)
            return StoredAnswer(201, msgspec.json.encode(await _show(tx, export, deps)))

        answer = await answer_once(tx, key, "exports", body.model_dump_json().encode(), now, create)
    return answer.to_response()


def _read(name: str, text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise _refuse(name, str(error)) from error


def _refuse(name: str, detail: str) -> Invalid:
    return Invalid(f"`{name}` {detail}.", errors=[FieldError(f"#/{name}", detail)])


async def _find(tx: Tx, export_id: UUID) -> Export:
    export = await find_export(tx, export_id)
    if export is None:
        raise ExportNotFound(f"There is no export {export_id}.")
    return export


async def _show(tx: Tx, export: Export, deps: ApiDeps) -> dict[str, Any]:
    runs = await load_runs(tx, export.id, _RUNS_SHOWN)
    return {
        "id": str(export.id),
        "segment": export.segment_id,
        "format": export.form,
        "columns": list(export.columns),
        "every": format_duration(export.every),
        "to": str(export.webhook_id) if export.webhook_id is not None else "folder",
        "next_at": format_utc(export.next_at),
        "created_at": format_utc(export.created_at),
        "runs": [_show_run(due_at, await deps.jobs.get(tx, job_id)) for job_id, due_at in runs],
    }


def _show_run(due_at: datetime, job: Job | None) -> dict[str, Any]:
    if job is None:
        return {"due_at": format_utc(due_at), "job": None, "state": "forgotten", "result": None, "error": None}
    return {
        "due_at": format_utc(due_at),
        "job": str(job.id),
        "state": job.state,
        "finished_at": format_utc(job.finished_at) if job.finished_at is not None else None,
        "result": job.result,
        "error": {"code": job.error.code, "detail": job.error.detail} if job.error is not None else None,
    }
