"""How imports are shown."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field

from libs.durable.jobs import Job, JobState
from libs.kit.times import format_utc
from services.ingest.domain.imports.layouts import Inspection, Layout
from services.ingest.domain.imports.tally import Tally
from services.ingest.handlers.import_rows import Judged, PreparedRow
from services.ingest.ports import Import, ImportRowError

SHOWN_ROWS: Final = 10
ERROR_COLUMNS: Final = ("row", "outcome", "reason", "detail", "data")
_SAFE_DIGITS: Final = 300
"""Beyond some 308 a double is infinite."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


class FileOut(BaseModel):
    name: str
    size_bytes: int
    sha256: str


class LayoutOut(BaseModel):
    """How the file is read: as found out, or as the form said."""

    format: str
    packing: Literal["none", "gzip", "zip"]
    encoding: str
    delimiter: str | None
    header: bool | None
    columns: list[str]
    mapping: dict[str, Any] | None


class SampleOut(BaseModel):
    """What would become of the first rows."""

    rows: int
    accepted: int
    rejected: dict[str, int]
    skipped: dict[str, int]


class PreviewRowOut(BaseModel):
    """`touchpoint` as `POST /v1/touchpoints` takes it; null where the row is left out."""

    row: int
    touchpoint: dict[str, Any] | None
    reason: str | None
    detail: str | None


class PreviewOut(BaseModel):
    file: FileOut
    layout: LayoutOut
    rows_estimated: int
    rows: list[PreviewRowOut]
    sample: SampleOut
    warnings: list[str]


class ReportOut(BaseModel):
    """Rows and touchpoints so far; `rejected` were judged and refused, `skipped` never became a touchpoint."""

    rows: int
    accepted: int
    accepted_rows: int
    rejected: dict[str, int]
    rejected_rows: dict[str, int]
    skipped_rows: dict[str, int]


class ProgressOut(BaseModel):
    """Rows. `total` is an estimate until the end, where quoted cells hold line breaks."""

    done: int
    total: int | None


class ErrorOut(BaseModel):
    code: str
    detail: str


class ImportOut(BaseModel):
    id: UUID
    kind: Literal["import"] = "import"
    state: JobState
    source: str
    file: FileOut
    layout: LayoutOut
    progress: ProgressOut
    report: ReportOut
    max_error_ratio: float
    error: ErrorOut | None
    pause_requested: bool
    cancel_requested: bool
    created_by: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    preview: PreviewOut | None = Field(default=None, description="In the answer to the upload only.")


class ImportsOut(BaseModel):
    items: list[ImportOut]
    next_cursor: str | None


def show_import(made: Import, job: Job) -> ImportOut:
    return ImportOut(
        id=made.id,
        state=job.state,
        source=made.source_id,
        file=FileOut(name=made.file_name, size_bytes=made.size_bytes, sha256=made.file_sha256.hex()),
        layout=show_layout(made.layout),
        progress=ProgressOut(done=made.tally.rows, total=job.total),
        report=show_report(made.tally),
        max_error_ratio=made.max_error_ratio,
        error=ErrorOut(code=job.error.code, detail=job.error.detail) if job.error is not None else None,
        pause_requested=made.pause_requested and job.state == "running",
        cancel_requested=job.cancel_requested,
        created_by=made.created_by,
        created_at=format_utc(made.created_at),
        started_at=format_utc(job.started_at) if job.started_at else None,
        finished_at=format_utc(job.finished_at) if job.finished_at else None,
    )


def show_report(tally: Tally) -> ReportOut:
    return ReportOut(
        rows=tally.rows,
        accepted=tally.accepted,
        accepted_rows=tally.accepted_rows,
        rejected=tally.rejected,
        rejected_rows=tally.rejected_rows,
        skipped_rows=tally.skipped_rows,
    )


def show_layout(layout: Layout) -> LayoutOut:
    is_csv = layout.format == "csv"
    return LayoutOut(
        format=layout.format.value,
        packing=layout.packing,
        encoding=layout.encoding,
        delimiter=layout.delimiter if is_csv else None,
        header=layout.header if is_csv else None,
        columns=list(layout.columns),
        mapping=None if layout.mapping is None else msgspec.to_builtins(layout.mapping),
    )


def show_preview(file: FileOut, found: Inspection, sample: Sequence[PreparedRow], judged: Judged) -> PreviewOut:
    failed = {error.step: error for error in judged.errors}
    tally = judged.tally
    warnings = list(found.warnings)
    if tally.rows > tally.accepted_rows:
        # The same words whatever the reason: the counts stand beside them.
        warnings.append(f"{tally.rows - tally.accepted_rows} of the first {tally.rows} rows would not be taken.")
    return PreviewOut(
        file=file,
        layout=show_layout(found.layout),
        rows_estimated=found.rows,
        rows=[_show_row(row, failed.get(step)) for step, row in enumerate(sample[:SHOWN_ROWS])],
        sample=SampleOut(rows=tally.rows, accepted=tally.accepted, rejected=tally.rejected, skipped=tally.skipped_rows),
        warnings=warnings,
    )


def _show_row(row: PreparedRow, error: ImportRowError | None) -> PreviewRowOut:
    return PreviewRowOut(
        row=row.line,
        touchpoint=None if row.body is None else _read_touchpoint(row.body),
        reason=None if error is None else error.reason,
        detail=None if error is None else error.detail,
    )


def _read_touchpoint(body: bytes) -> Any:
    """Numbers that no double holds are null: no JSON that everybody reads could show them, and their row is refused."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return json.loads(body, parse_int=_read_odd_integer, parse_float=_read_odd_number)


def _read_odd_integer(literal: str) -> int | None:
    return int(literal) if len(literal) <= _SAFE_DIGITS else None


def _read_odd_number(literal: str) -> float | None:
    number = float(literal)
    return number if math.isfinite(number) else None


def write_errors_ndjson(errors: Sequence[ImportRowError]) -> bytes:
    return b"".join(msgspec.json.encode(dict(zip(ERROR_COLUMNS, _error_cells(error), strict=True))) + b"\n" for error in errors)


def write_errors_csv(errors: Sequence[ImportRowError], *, header: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if header:
        writer.writerow(ERROR_COLUMNS)
    for error in errors:
        *cells, data = _error_cells(error)
        writer.writerow([*cells, f"'{data}" if str(data).startswith(_FORMULA) else data])
    return text.getvalue().encode()


def _error_cells(error: ImportRowError) -> tuple[int | str, ...]:
    return error.line, error.outcome, error.reason, error.detail, error.data.decode("utf-8", "replace")
