"""Manual lists in PostgreSQL. An entry is an identifier's address or a profile id; whom it leads to is asked when it matters."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import ListChange, ManualList

_MOST_TOLD: Final = 100
_STEP: Final = 100_000
"""Lines that one statement takes: each ends well before it would be cut off."""
_SLICE: Final = 10_000
_COLUMNS: Final = "id, name, description, entries, created_at, updated_at"
# A profile id belongs for ever to its founding fragment, an identifier to the fragment with its address.
_LOAD: Final = """
    SELECT f.profile_id, e.list_id FROM sub_fragments f JOIN list_entries e ON e.ref = f.address
    WHERE f.profile_id = ANY($1::uuid[]) AND e.list_id = ANY($2::text[]) AND e.is_in
    UNION
    SELECT f.profile_id, e.list_id FROM sub_fragments f JOIN sub_profiles p ON p.founding = f.fragment
    JOIN list_entries e ON e.ref = p.profile_id
    WHERE f.profile_id = ANY($1::uuid[]) AND e.list_id = ANY($2::text[]) AND e.is_in
"""
_OWNERS: Final = """
    SELECT f.profile_id FROM sub_fragments f WHERE f.address = ANY($1::uuid[]) AND f.profile_id IS NOT NULL
    UNION
    SELECT f.profile_id FROM sub_profiles p JOIN sub_fragments f ON f.fragment = p.founding
    WHERE p.profile_id = ANY($1::uuid[]) AND f.profile_id IS NOT NULL
"""
_ADD: Final = """
    INSERT INTO list_entries AS e (list_id, ref, is_in, is_judged)
    SELECT DISTINCT $1, ref, true, false FROM uploaded_refs WHERE line > $2 AND line <= $2 + $3
    ON CONFLICT (list_id, ref) DO UPDATE SET is_in = true, is_judged = false WHERE NOT e.is_in
"""
_REMOVE: Final = """
    UPDATE list_entries e SET is_in = false, is_judged = false
    WHERE e.list_id = $1 AND e.is_in AND NOT EXISTS (SELECT FROM uploaded_refs u WHERE u.ref = e.ref)
"""
_UNKNOWN: Final = """
    SELECT u.line, count(*) OVER () FROM uploaded_refs u
    WHERE NOT EXISTS (SELECT FROM sub_fragments f WHERE f.address = u.ref AND f.profile_id IS NOT NULL)
        AND NOT EXISTS (SELECT FROM sub_profiles p WHERE p.profile_id = u.ref)
    ORDER BY u.line LIMIT $1
"""


class PostgresLists:
    """See the port `Lists`."""

    async def insert(self, tx: Tx, made: ManualList) -> None:
        await tx.execute(
            f"INSERT INTO lists ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)",  # noqa: S608 - our own column names
            made.id,
            made.name,
            made.description,
            made.entries,
            made.created_at,
            made.updated_at,
        )

    async def find(self, tx: Tx, list_id: str) -> ManualList | None:
        row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM lists WHERE id = $1", list_id)  # noqa: S608 - our own column names
        return ManualList(*row) if row is not None else None

    async def load_all(self, tx: Tx) -> list[ManualList]:
        return [ManualList(*row) for row in await tx.fetch(f"SELECT {_COLUMNS} FROM lists ORDER BY id")]  # noqa: S608

    async def lock(self, tx: Tx, list_id: str) -> bool:
        return await tx.fetchval("SELECT true FROM lists WHERE id = $1 FOR UPDATE", list_id) is not None

    async def delete(self, tx: Tx, list_id: str) -> None:
        await tx.execute("DELETE FROM lists WHERE id = $1", list_id)
        await tx.execute("DELETE FROM list_entries WHERE list_id = $1", list_id)

    async def apply(
        self, tx: Tx, list_id: str, rows: Iterable[tuple[UUID, int]], now: datetime, *, is_replacing: bool
    ) -> ListChange | None:
        if not await self.lock(tx, list_id):
            return None
        await tx.execute("CREATE TEMP TABLE uploaded_refs (ref uuid, line integer) ON COMMIT DROP")
        waiting = iter(rows)
        while slice_ := list(islice(waiting, _SLICE)):
            await tx.copy_records_to_table("uploaded_refs", records=slice_, columns=("ref", "line"))
            await asyncio.sleep(0)  # they are encoded on the loop: others get their turn
        await tx.execute("ANALYZE uploaded_refs")
        lines = await tx.fetchval("SELECT coalesce(max(line), 0) FROM uploaded_refs")
        added = sum([_count(await tx.execute(_ADD, list_id, line, _STEP)) for line in range(0, lines, _STEP)])
        removed = _count(await tx.execute(_REMOVE, list_id)) if is_replacing else 0
        unknown = await tx.fetch(_UNKNOWN, _MOST_TOLD)
        await tx.execute("UPDATE lists SET entries = entries + $2, updated_at = $3 WHERE id = $1", list_id, added - removed, now)
        return ListChange(added, removed, unknown[0][1] if unknown else 0, tuple(row[0] for row in unknown))

    async def load(self, tx: Tx, profile_ids: Collection[UUID], list_ids: Collection[str]) -> dict[UUID, frozenset[str]]:
        found: dict[UUID, set[str]] = {profile_id: set() for profile_id in profile_ids}
        if profile_ids and list_ids:
            for profile_id, list_id in await tx.fetch(_LOAD, list(profile_ids), list(list_ids)):
                found[profile_id].add(list_id)
        return {profile_id: frozenset(own) for profile_id, own in found.items()}

    async def load_unjudged(self, tx: Tx) -> list[str]:
        rows = await tx.fetch(
            "SELECT id FROM lists l WHERE EXISTS"
            " (SELECT FROM list_entries e WHERE e.list_id = l.id AND NOT e.is_judged) ORDER BY id"
        )
        return [row[0] for row in rows]

    async def count_unjudged(self, tx: Tx, list_id: str) -> int:
        found: int = await tx.fetchval("SELECT count(*) FROM list_entries WHERE list_id = $1 AND NOT is_judged", list_id)
        return found

    async def take_unjudged(self, tx: Tx, list_id: str, after: UUID | None, *, limit: int) -> list[UUID]:
        rows = await tx.fetch(
            "SELECT ref FROM list_entries WHERE list_id = $1 AND NOT is_judged AND ($2::uuid IS NULL OR ref > $2)"
            " ORDER BY ref LIMIT $3 FOR UPDATE SKIP LOCKED",
            list_id,
            after,
            limit,
        )
        return [row[0] for row in rows]

    async def load_owners(self, tx: Tx, refs: Sequence[UUID]) -> list[UUID]:
        return [row[0] for row in await tx.fetch(_OWNERS, refs)]

    async def mark_judged(self, tx: Tx, list_id: str, refs: Sequence[UUID]) -> None:
        await tx.execute("DELETE FROM list_entries WHERE list_id = $1 AND ref = ANY($2::uuid[]) AND NOT is_in", list_id, refs)
        await tx.execute("UPDATE list_entries SET is_judged = true WHERE list_id = $1 AND ref = ANY($2::uuid[])", list_id, refs)


def _count(status: str) -> int:
    """How many rows a statement touched, by its command tag."""
    return int(status.rpartition(" ")[2])
