"""Definitions in PostgreSQL, and the lock that keeps judgements and changes of definitions apart.

Whoever judges holds the shared advisory lock to the end of the transaction; whoever changes a definition takes it alone,
for a moment. So a back-fill that begins after the change finds every judgement by the old definition committed, and every
later one made by the new: no profile falls between.
"""

from typing import TYPE_CHECKING, Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import Definition

if TYPE_CHECKING:
    import asyncpg

_LOCK_SPACE: Final = 0x53_45_47_53  # "SEGS"
_COLUMNS: Final = """s.id, s.version, s.rule_version, v.name, v.description, v.rule, s.state, s.job_id, s.created_at,
    s.updated_at, s.filled_to FROM segments s JOIN segment_versions v ON v.segment_id = s.id AND v.version = s.version"""


class PostgresDefinitions:
    """See the port `Definitions`."""

    async def hold_revision(self, tx: Tx) -> int:
        await tx.execute(f"SELECT pg_advisory_xact_lock_shared({_LOCK_SPACE}, hashtext(current_schema()))")
        # A statement of its own: it must see what was committed while the lock was waited for.
        revision: int = await tx.fetchval("SELECT revision FROM revisions")
        return revision

    async def begin_change(self, tx: Tx) -> None:
        await tx.execute(f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, hashtext(current_schema()))")
        await tx.execute("UPDATE revisions SET revision = revision + 1")

    async def load_all(self, tx: Tx) -> list[Definition]:
        rows = await tx.fetch(f"SELECT {_COLUMNS} WHERE s.state <> 'deleted' ORDER BY s.id")
        return [_to_definition(row) for row in rows]

    async def find(self, tx: Tx, segment_id: str, *, even_deleted: bool = False) -> Definition | None:
        row = await tx.fetchrow(f"SELECT {_COLUMNS} WHERE s.id = $1 AND (s.state <> 'deleted' OR $2)", segment_id, even_deleted)
        return _to_definition(row) if row is not None else None

    async def save(self, tx: Tx, definition: Definition) -> None:
        await tx.execute(
            "INSERT INTO segments (id, version, rule_version, state, filled_to, job_id, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET version = excluded.version,"
            " rule_version = excluded.rule_version, state = excluded.state, filled_to = excluded.filled_to,"
            " job_id = excluded.job_id, updated_at = excluded.updated_at",
            definition.id,
            definition.version,
            definition.rule_version,
            definition.state,
            definition.filled_to,
            definition.job_id,
            definition.created_at,
            definition.updated_at,
        )
        await tx.execute(
            "INSERT INTO segment_versions (segment_id, version, name, description, rule, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            definition.id,
            definition.version,
            definition.name,
            definition.description,
            definition.rule,
            definition.updated_at,
        )

    async def mark_filled(self, tx: Tx, segment_id: str, version: int, filled_to: UUID | None, *, is_done: bool) -> bool:
        status = await tx.execute(
            "UPDATE segments SET filled_to = coalesce($3, filled_to), state = CASE WHEN $4 THEN 'live' ELSE state END"
            " WHERE id = $1 AND version = $2 AND state <> 'deleted'",
            segment_id,
            version,
            filled_to,
            is_done,
        )
        return status != "UPDATE 0"


def _to_definition(row: "asyncpg.Record") -> Definition:
    return Definition(**dict(row))
