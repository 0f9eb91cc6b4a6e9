"""How parts of views were at every instant, in PostgreSQL: a row a change, by profile, part and instant."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import KeptValue

# Never before the row that is there: what the view says now is the last word, and the past before it stays as it was told.
_SAVE: Final = """
    INSERT INTO view_values (profile_id, part, at_us, value)
    SELECT n.profile_id, n.part, CASE WHEN last.value IS NULL THEN n.first_us ELSE greatest(n.at_us, last.at_us) END, n.value
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[]) AS n (profile_id, part, at_us, first_us, value)
    LEFT JOIN LATERAL (
        SELECT v.at_us, v.value FROM view_values v WHERE v.profile_id = n.profile_id AND v.part = n.part
        ORDER BY v.at_us DESC LIMIT 1
    ) AS last ON true
    WHERE last.value IS DISTINCT FROM n.value
    ON CONFLICT (profile_id, part, at_us) DO UPDATE SET value = excluded.value
"""
_LOAD: Final = """
    SELECT n.part, (
        SELECT v.value FROM view_values v WHERE v.profile_id = $1 AND v.part = n.part AND v.at_us <= $3
        ORDER BY v.at_us DESC LIMIT 1
    ) FROM unnest($2::text[]) AS n (part)
    WHERE EXISTS (SELECT FROM view_values v WHERE v.profile_id = $1 AND v.part = n.part)
"""


class PostgresViewHistory:
    """See the port `ViewHistory`."""

    async def save(self, tx: Tx, values: Sequence[KeptValue]) -> None:
        if values:
            await tx.execute(_SAVE, *zip(*values, strict=True))

    async def load(self, tx: Tx, profile_id: UUID, parts: Collection[str], at_us: int) -> dict[str, bytes | None]:
        rows = await tx.fetch(_LOAD, profile_id, list(parts), at_us) if parts else ()
        return {row[0]: row[1] for row in rows}
