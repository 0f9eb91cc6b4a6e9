"""Questions of the API that no judgement asks: counts, sizes over time, overlaps."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from libs.kit.db import Tx
from services.segmentation.store.pages import FIRST_ID


class _Traits(msgspec.Struct):
    traits: dict[str, msgspec.Raw] = {}


_read_traits = msgspec.json.Decoder(_Traits).decode


async def count_members(tx: Tx, segment_id: str | None = None) -> dict[str, int]:
    """How many are in each segment, or in one."""
    rows = await tx.fetch(
        "SELECT segment_id, count(*) FROM memberships WHERE is_member AND ($1::text IS NULL OR segment_id = $1) GROUP BY 1",
        segment_id,
    )
    return {row[0]: row[1] for row in rows}


async def load_overlaps(tx: Tx, segment_ids: Sequence[str], others: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many members each pair of (one of the segments, one of the others) shares; of one with itself, its size."""
    rows = await tx.fetch(
        "SELECT m.segment_id, o.segment_id, count(*) FROM memberships m JOIN memberships o USING (profile_id)"
        " WHERE m.segment_id = ANY($1::text[]) AND o.segment_id = ANY($2::text[]) AND m.is_member AND o.is_member GROUP BY 1, 2",
        segment_ids,
        others,
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def load_views_by_segment(
    tx: Tx, segment_ids: Sequence[str], after: UUID | None, limit: int
) -> list[tuple[UUID, list[str], bytes]]:
    """(profile, those of the segments it is in, stored view) by profile id."""
    rows = await tx.fetch(
        "SELECT m.profile_id, m.segments, p.snapshot FROM (SELECT profile_id, array_agg(segment_id) AS segments FROM memberships"
        " WHERE is_member AND segment_id = ANY($1::text[]) AND profile_id > $2"
        " GROUP BY profile_id ORDER BY profile_id LIMIT $3) AS m JOIN sub_profiles p USING (profile_id) ORDER BY m.profile_id",
        segment_ids,
        after or FIRST_ID,
        limit,
    )
    return [(row[0], row[1], row[2] or b"{}") for row in rows]


async def load_memberships_of(tx: Tx, profile_id: UUID) -> list[tuple[str, int, int]]:
    """(segment, since in microseconds, version) of a profile, by segment."""
    rows = await tx.fetch(
        "SELECT segment_id, since_us, version FROM memberships WHERE profile_id = $1 AND is_member ORDER BY segment_id",
        profile_id,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def load_edges_by_interval(
    tx: Tx, segment_id: str, *, from_us: int, to_us: int, interval_us: int
) -> tuple[int, list[tuple[int, int, int]]]:
    """The size before `from`, and (start of the interval, entered, exited) of each interval that has edges."""
    size: int = await tx.fetchval(
        "SELECT coalesce(sum(CASE WHEN seq % 2 = 1 THEN 1 ELSE -1 END), 0)::bigint"
        " FROM edges WHERE segment_id = $1 AND at_us < $2",
        segment_id,
        from_us,
    )
    rows = await tx.fetch(
        "SELECT $2 + (at_us - $2) / $4 * $4, count(*) FILTER (WHERE seq % 2 = 1), count(*) FILTER (WHERE seq % 2 = 0)"
        " FROM edges WHERE segment_id = $1 AND at_us >= $2 AND at_us < $3 GROUP BY 1 ORDER BY 1",
        segment_id,
        from_us,
        to_us,
        interval_us,
    )
    return size, [(row[0], row[1], row[2]) for row in rows]


async def load_trait_names(tx: Tx, *, profiles: int = 500) -> set[str]:
    """Traits that some of the profiles last judged have: enough to notice a slip of the pen."""
    rows = await tx.fetch(
        "SELECT snapshot FROM sub_profiles WHERE snapshot IS NOT NULL ORDER BY profile_id DESC LIMIT $1", profiles
    )
    return {name for row in rows for name in _read_traits(row[0]).traits}
