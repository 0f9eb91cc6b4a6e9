"""`/v1/imports`: files in the background. Received onto a disk, looked at, shown, kept in the database, and then a job's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor
from libs.kit.auth import Principal, Source
from libs.kit.errors import FieldError
from libs.kit.http import requires
from libs.kit.times import from_micros, to_micros
from services.ingest.adapters.import_files.inspection import inspect
from services.ingest.adapters.import_files.lines import read_chunks
from services.ingest.adapters.import_files.reading import read_steps
from services.ingest.adapters.import_files.scratch import open_scratch
from services.ingest.api.deps import ApiDeps
from services.ingest.api.import_forms import ImportForm, read_form
from services.ingest.api.import_shapes import (
    FileOut,
    ImportOut,
    ImportsOut,
    PreviewOut,
    show_import,
    show_preview,
    write_errors_csv,
    write_errors_ndjson,
)
from services.ingest.api.multipart import FILE, Upload, receive_upload
from services.ingest.domain.imports.layouts import Inspection, compute_import_id
from services.ingest.domain.imports.tally import Tally
from services.ingest.errors import ImportBusy, ImportSourceUnusable
from services.ingest.handlers.import_rows import PreparedRow, judge_rows, prepare_row
from services.ingest.ports import Import, Place

_SAMPLE_ROWS: Final = 1000
_ERRORS_PAGE: Final = 1000
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": [FILE],
                    "properties": {
                        FILE: {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV, NDJSON or Parquet, gzip or zip or plain.",
                        },
                        **ImportForm.model_json_schema()["properties"],
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "X-Write-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "Names the source where the form doesn't.",
        }
    ],
}
Reads = Annotated[Principal, requires("imports:read")]
Writes = Annotated[Principal, requires("imports:write")]


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/imports", tags=["imports"])
    desk = _Desk(deps)

    known: dict[int | str, dict[str, Any]] = {
        200: {"model": ImportOut, "description": "It was begun before: this is how it stands"}
    }

    @router.post("", status_code=202, response_model=ImportOut, responses=known, openapi_extra=_FORM)
    async def begin_import(request: Request, principal: Writes) -> Response:
        """Look at a file, keep it, and import it in the background.

        The same file for the same source, read the same way, is the same import: it is answered with 200 and begins anew only
        with `restart`. What can't be read, or can't mean anything, is refused here, with nothing imported.
        """
        async with desk.receive(request) as (upload, form, source):
            plain, found = await desk.look(upload, form)
            preview = await desk.preview(upload, plain, found, source)
            made = desk.make(upload, form, source, found, principal)
            async with deps.database.transaction() as tx:
                with closing(read_chunks(upload.path)) as chunks:
                    begun = await deps.imports.begin(
                        tx,
                        made,
                        chunks,
                        rows=found.rows,
                        start=form.start,
                        restart=form.restart,
                        now=deps.clock.now(),
                    )
                shown = show_import(*await deps.imports.get(tx, made.id))
        shown.preview = preview
        is_taken = begun.is_new or form.restart
        headers = {"Location": f"/v1/jobs/{made.id}", "Content-Location": f"/v1/imports/{made.id}"}
        return JSONResponse(shown.model_dump(mode="json"), status_code=202 if is_taken else 200, headers=headers)

    @router.post("/preview", openapi_extra=_FORM)
    async def preview_import(request: Request, _principal: Writes) -> PreviewOut:
        """How the file would be read, and its first rows as touchpoints. Nothing is kept."""
        async with desk.receive(request) as (upload, form, source):
            plain, found = await desk.look(upload, form)
            return await desk.preview(upload, plain, found, source)

    _add_reads(router, deps)
    _add_commands(router, deps)
    return router


def _add_reads(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("")
    async def list_imports(
        _principal: Reads, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT, cursor: str | None = None
    ) -> ImportsOut:
        """Newest first."""
        async with deps.database.connection() as connection:
            rows = await deps.imports.store.list_page(connection, after=_read_place(cursor), limit=limit + 1)
            jobs = [await deps.imports.jobs.get(connection, row.id) for row in rows[:limit]]
        more = encode_cursor((to_micros(rows[limit - 1].created_at), rows[limit - 1].id)) if len(rows) > limit else None
        items = [show_import(row, job) for row, job in zip(rows, jobs, strict=False) if job is not None]
        return ImportsOut(items=items, next_cursor=more)

    @router.get("/{import_id}")
    async def get_import(import_id: UUID, _principal: Reads) -> ImportOut:
        """How far it is and what became of the rows so far."""
        async with deps.database.connection() as connection:
            return show_import(*await deps.imports.get(connection, import_id))

    @router.get(
        "/{import_id}/errors",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {}, "application/x-ndjson": {}}, "description": "One line a row"}},
    )
    async def download_errors(
        import_id: UUID, _principal: Reads, form: Annotated[Literal["csv", "ndjson"], Query(alias="format")] = "ndjson"
    ) -> StreamingResponse:
        """Rows that weren't taken: their number in the file, outcome, reason, detail, and the row. It may hold personal data."""
        async with deps.database.connection() as connection:
            await deps.imports.get(connection, import_id)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        name = f'attachment; filename="import-{import_id}-errors.{form}"'
        return StreamingResponse(_write_errors(deps, import_id, form), media_type=kind, headers={"Content-Disposition": name})


def _add_commands(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{import_id}/pause")
    async def pause_import(import_id: UUID, _principal: Writes) -> ImportOut:
        """It rests after the batch in hand."""
        async with deps.database.transaction() as tx:
            await deps.imports.pause(tx, import_id, deps.clock.now())
            return show_import(*await deps.imports.get(tx, import_id))

    @router.post("/{import_id}/resume")
    async def resume_import(import_id: UUID, _principal: Writes) -> ImportOut:
        """Go on behind the last batch: after a pause, a failure, or a cancellation."""
        async with deps.database.transaction() as tx:
            await deps.imports.resume(tx, import_id)
            return show_import(*await deps.imports.get(tx, import_id))

    @router.post("/{import_id}/cancel")
    async def cancel_import(import_id: UUID, _principal: Writes) -> ImportOut:
        """Stop it. What was taken stays."""
        async with deps.database.transaction() as tx:
            await deps.imports.cancel(tx, import_id, deps.clock.now())
            return show_import(*await deps.imports.get(tx, import_id))

    @router.delete("/{import_id}", status_code=204)
    async def forget_import(import_id: UUID, _principal: Writes) -> None:
        """Remove its file, its report and its list of errors. What was taken stays."""
        async with deps.database.transaction() as tx:
            await deps.imports.forget(tx, import_id)
        more = True
        while more:
            async with deps.database.transaction() as tx:
                more = await deps.imports.forget_some(tx, import_id)


class _Desk:
    """What an upload goes through before it is anybody's job."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._open = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[tuple[Upload, ImportForm, Source]]:
        """The file lies in a folder of its own, as long as the context is open. Raises ImportBusy, and what is wrong with it."""
        settings = self._deps.settings
        with self._admit(), open_scratch() as folder:
            upload = await receive_upload(request, folder / FILE, settings.import_max_bytes)
            form = read_form(upload.fields)
            yield upload, form, self._find_source(form, request)

    @contextmanager
    def _admit(self) -> Iterator[None]:
        if self._open >= self._deps.settings.import_max_uploads:
            raise ImportBusy
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _find_source(self, form: ImportForm, request: Request) -> Source:
        key = request.headers.get("x-write-key", "")
        if form.source is None and not key:
            raise ImportSourceUnusable("Say whose rows these are.", errors=[FieldError("#/source", "this field is missing")])
        sources = self._deps.sources
        source = sources.find_source(key) if form.source is None else sources.source_by_id(form.source)
        if source is None or not source.enabled:
            raise ImportSourceUnusable(
                "The source isn't known or is disabled.", errors=[FieldError("#/source", "no enabled source is named")]
            )
        return source

    async def look(self, upload: Upload, form: ImportForm) -> tuple[Path, Inspection]:
        wishes = form.to_wishes()
        return await asyncio.to_thread(inspect, upload.path, wishes, self._deps.settings.import_max_bytes)

    async def preview(self, upload: Upload, plain: Path, found: Inspection, source: Source) -> PreviewOut:
        sample = await asyncio.to_thread(_read_sample, plain, found)
        judged = await judge_rows(
            self._deps.intake,
            source,
            sample,
            Tally(),
            received_at=self._deps.clock.now(),
            give_way=lambda: asyncio.sleep(0),
        )
        file = FileOut(name=upload.name, size_bytes=upload.size_bytes, sha256=upload.sha256.hex())
        return show_preview(file, found, sample, judged)

    def make(self, upload: Upload, form: ImportForm, source: Source, found: Inspection, principal: Principal) -> Import:
        return Import(
            id=compute_import_id(upload.sha256, source.id, found.layout),
            source_id=source.id,
            file_name=upload.name,
            file_sha256=upload.sha256,
            size_bytes=upload.size_bytes,
            layout=found.layout,
            max_error_ratio=form.max_error_ratio,
            pause_requested=not form.start,
            tally=Tally(),
            created_by=principal.name,
            created_at=self._deps.clock.now(),
        )


def _read_sample(path: Path, found: Inspection) -> list[PreparedRow]:
    with closing(read_steps(path, found.layout)) as steps:
        return [prepare_row(step) for step in islice(steps, _SAMPLE_ROWS)]


async def _write_errors(deps: ApiDeps, import_id: UUID, form: Literal["csv", "ndjson"]) -> AsyncIterator[bytes]:
    after, is_first = -1, True
    while True:
        async with deps.database.connection() as connection:
            page = await deps.imports.store.list_errors(connection, import_id, after_step=after, limit=_ERRORS_PAGE)
        yield write_errors_ndjson(page) if form == "ndjson" else write_errors_csv(page, header=is_first)
        if len(page) < _ERRORS_PAGE:
            return
        after, is_first = page[-1].step, False


def _read_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    return Place(*decode_cursor(cursor, from_micros, UUID))
