"""Exports that are written every so often, and their runs."""

from datetime import datetime
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import Export
from services.segmentation.store.pages import FIRST_ID

_COLUMNS: Final = "id, segment_id, form, columns, every, webhook_id, next_at, created_at"


async def save_export(tx: Tx, export: Export) -> None:
    await tx.execute(
        f"INSERT INTO exports ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608 - our own columns
        " ON CONFLICT (id) DO UPDATE SET next_at = excluded.next_at",
        export.id,
        export.segment_id,
        export.form,
        list(export.columns),
        export.every,
        export.webhook_id,
        export.next_at,
        export.created_at,
    )


async def find_export(tx: Tx, export_id: UUID) -> Export | None:
    row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM exports WHERE id = $1", export_id)  # noqa: S608
    return Export(**dict(row)) if row is not None else None


async def load_exports(tx: Tx, after: UUID | None, limit: int) -> list[Export]:
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM exports WHERE id > $1 ORDER BY id LIMIT $2",  # noqa: S608
        after or FIRST_ID,
        limit,
    )
    return [Export(**dict(row)) for row in rows]


async def lock_due_exports(tx: Tx, now: datetime, limit: int) -> list[Export]:
    """Those whose time has come and that no other worker has in hand."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM exports WHERE next_at <= $1 ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED",  # noqa: S608
        now,
        limit,
    )
    return [Export(**dict(row)) for row in rows]


async def delete_export(tx: Tx, export_id: UUID) -> bool:
    return await tx.execute("DELETE FROM exports WHERE id = $1", export_id) == "DELETE 1"


async def save_run(tx: Tx, export_id: UUID, job_id: UUID, due_at: datetime) -> None:
    await tx.execute("INSERT INTO export_runs (export_id, job_id, due_at) VALUES ($1, $2, $3)", export_id, job_id, due_at)


async def forget_runs(tx: Tx, export_id: UUID, keep: int) -> list[UUID]:
    """All but the last ones; their jobs."""
    rows = await tx.fetch(
        "DELETE FROM export_runs WHERE export_id = $1 AND job_id IN (SELECT job_id FROM export_runs WHERE export_id = $1"
        " ORDER BY due_at DESC, job_id DESC OFFSET $2) RETURNING job_id",
        export_id,
        keep,
    )
    return [row[0] for row in rows]


async def load_runs(tx: Tx, export_id: UUID, limit: int) -> list[tuple[UUID, datetime]]:
    """(job, when it was due), the last first."""
    rows = await tx.fetch(
        "SELECT job_id, due_at FROM export_runs WHERE export_id = $1 ORDER BY due_at DESC, job_id DESC LIMIT $2", export_id, limit
    )
    return [(row[0], row[1]) for row in rows]
