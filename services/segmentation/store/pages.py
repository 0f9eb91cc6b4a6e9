"""Profiles by id, a page at a time."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import KnownProfile

FIRST_ID: Final = UUID(int=0)
"""Before all others. A page that begins behind a value, never behind 'null or', is found by index in a plan for any value."""


class PostgresProfilePages:
    """See the ports `ProfilePages` and `PreviewSource`."""

    async def count_known(self, tx: Tx) -> int:
        count: int = await tx.fetchval("SELECT count(*) FROM sub_profiles")
        return count

    async def count_profiles(self, tx: Tx) -> int:
        count: int = await tx.fetchval("SELECT count(*) FROM sub_profiles WHERE absorbed_into IS NULL AND snapshot IS NOT NULL")
        return count

    async def load_profiles_after(self, tx: Tx, after: UUID | None, *, limit: int, one_in: int) -> list[KnownProfile]:
        """Live profiles by id; with `one_in` a stable part of them."""
        rows = await tx.fetch(
            "SELECT p.profile_id, p.snapshot, array_agg(f.fragment) FROM (SELECT profile_id, snapshot FROM sub_profiles"
            " WHERE profile_id > $1 AND absorbed_into IS NULL AND snapshot IS NOT NULL"
            " AND ($3 = 1 OR abs(hashtext(profile_id::text)::bigint) % $3 = 0) ORDER BY profile_id LIMIT $2) AS p"
            " JOIN sub_fragments f ON f.profile_id = p.profile_id GROUP BY p.profile_id, p.snapshot ORDER BY p.profile_id",
            after or FIRST_ID,
            limit,
            one_in,
        )
        return [KnownProfile(row[0], row[1], tuple(row[2])) for row in rows]

    async def load_overlaps(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[str, int]:
        """How many of these profiles each segment has."""
        rows = await tx.fetch(
            "SELECT segment_id, count(*) FROM memberships WHERE is_member AND profile_id = ANY($1::uuid[]) GROUP BY segment_id",
            list(profile_ids),
        )
        return {row[0]: row[1] for row in rows}

    async def load_known_ids(self, tx: Tx, after: UUID | None, limit: int) -> list[UUID]:
        rows = await tx.fetch(
            "SELECT profile_id FROM sub_profiles WHERE profile_id > $1 ORDER BY profile_id LIMIT $2",
            after or FIRST_ID,
            limit,
        )
        return [row[0] for row in rows]

    async def load_concerned_ids(self, tx: Tx, segment_id: str, after: UUID | None, limit: int) -> list[UUID]:
        rows = await tx.fetch(
            "(SELECT profile_id FROM memberships WHERE segment_id = $1 AND is_member AND profile_id > $2 ORDER BY 1 LIMIT $3)"
            " UNION (SELECT profile_id FROM timers WHERE segment_id = $1 AND profile_id > $2 ORDER BY 1 LIMIT $3)"
            " ORDER BY 1 LIMIT $3",
            segment_id,
            after or FIRST_ID,
            limit,
        )
        return [row[0] for row in rows]
