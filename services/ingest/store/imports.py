"""Imports in PostgreSQL: the file as chunks of bytea, so that any worker on any machine can read it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from services.ingest.domain.imports.layouts import Layout
from services.ingest.domain.imports.tally import Tally
from services.ingest.ports import Import, ImportRowError, Place

if TYPE_CHECKING:
    import asyncpg

    from libs.kit.db import Tx

_COLUMNS: Final = """id, source_id, file_name, file_sha256, size_bytes, layout, max_error_ratio, pause_requested, tally,
    created_by, created_at"""
_FIND: Final = f"SELECT {_COLUMNS} FROM imports WHERE id = $1"  # noqa: S608 - a list of our own columns
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM imports WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2::uuid)
    ORDER BY created_at DESC, id DESC LIMIT $3
"""  # noqa: S608
_ERROR_COLUMNS: Final = ("import_id", "step", "line", "outcome", "reason", "detail", "data")


class PostgresImports:
    """See services.ingest.ports.ImportStore."""

    async def insert(self, tx: "Tx", made: Import) -> bool:
        inserted = await tx.fetchval(
            f"""
            INSERT INTO imports ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (id) DO NOTHING RETURNING true
            """,  # noqa: S608
            made.id,
            made.source_id,
            made.file_name,
            made.file_sha256,
            made.size_bytes,
            _to_json(made.layout),
            made.max_error_ratio,
            made.pause_requested,
            _to_json(made.tally),
            made.created_by,
            made.created_at,
        )
        return bool(inserted)

    async def add_chunk(self, tx: "Tx", import_id: UUID, number: int, data: bytes) -> None:
        await tx.execute("INSERT INTO import_chunks (import_id, number, data) VALUES ($1, $2, $3)", import_id, number, data)

    async def read_chunk(self, tx: "Tx", import_id: UUID, number: int) -> bytes | None:
        data: bytes | None = await tx.fetchval(
            "SELECT data FROM import_chunks WHERE import_id = $1 AND number = $2", import_id, number
        )
        return data

    async def find(self, tx: "Tx", import_id: UUID) -> Import | None:
        row = await tx.fetchrow(_FIND, import_id)
        return None if row is None else _to_import(row)

    async def lock(self, tx: "Tx", import_id: UUID) -> Import | None:
        row = await tx.fetchrow(f"{_FIND} FOR UPDATE", import_id)
        return None if row is None else _to_import(row)

    async def list_page(self, tx: "Tx", *, after: Place | None, limit: int) -> list[Import]:
        place: tuple[datetime | None, UUID | None] = (None, None) if after is None else after
        return [_to_import(row) for row in await tx.fetch(_PAGE, *place, limit)]

    async def request_pause(self, tx: "Tx", import_id: UUID, *, wanted: bool) -> None:
        await tx.execute("UPDATE imports SET pause_requested = $2 WHERE id = $1", import_id, wanted)

    async def save_tally(self, tx: "Tx", import_id: UUID, tally: Tally) -> None:
        await tx.execute("UPDATE imports SET tally = $2 WHERE id = $1", import_id, _to_json(tally))

    async def save_max_error_ratio(self, tx: "Tx", import_id: UUID, ratio: float) -> None:
        await tx.execute("UPDATE imports SET max_error_ratio = $2 WHERE id = $1", import_id, ratio)

    async def add_errors(self, tx: "Tx", import_id: UUID, errors: Sequence[ImportRowError]) -> None:
        if errors:
            records = ((import_id, one.step, one.line, one.outcome, one.reason, one.detail, one.data) for one in errors)
            await tx.copy_records_to_table("import_errors", records=records, columns=_ERROR_COLUMNS)

    async def list_errors(self, tx: "Tx", import_id: UUID, *, after_step: int, limit: int) -> list[ImportRowError]:
        rows = await tx.fetch(
            """
            SELECT step, line, outcome, reason, detail, data FROM import_errors
            WHERE import_id = $1 AND step > $2 ORDER BY step LIMIT $3
            """,
            import_id,
            after_step,
            limit,
        )
        return [ImportRowError(**dict(row)) for row in rows]

    async def forget_errors(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        status = await tx.execute(
            """
            DELETE FROM import_errors WHERE import_id = $1 AND step IN
              (SELECT step FROM import_errors WHERE import_id = $1 ORDER BY step LIMIT $2)
            """,
            import_id,
            limit,
        )
        return _count(status)

    async def forget_chunks(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        status = await tx.execute(
            """
            DELETE FROM import_chunks WHERE import_id = $1 AND number IN
              (SELECT number FROM import_chunks WHERE import_id = $1 ORDER BY number LIMIT $2)
            """,
            import_id,
            limit,
        )
        return _count(status)

    async def delete(self, tx: "Tx", import_id: UUID) -> None:
        await tx.execute("DELETE FROM imports WHERE id = $1", import_id)

    async def list_expired(self, tx: "Tx", rested_before: datetime) -> list[UUID]:
        rows = await tx.fetch(
            """
            SELECT imports.id FROM imports LEFT JOIN jobs USING (id)
            WHERE jobs.id IS NULL OR (jobs.state NOT IN ('queued', 'running') AND jobs.finished_at < $1) ORDER BY imports.id
            """,
            rested_before,
        )
        return [row["id"] for row in rows]


def _to_import(row: "asyncpg.Record") -> Import:
    fields = dict(row)
    fields["layout"] = msgspec.json.decode(fields["layout"], type=Layout)
    fields["tally"] = msgspec.json.decode(fields["tally"], type=Tally)
    return Import(**fields)


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
