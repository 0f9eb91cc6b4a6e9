"""How parts of views were at every instant, in PostgreSQL: a row a change, by profile, part and instant."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.ports import KeptValue

_SAVE: Final = """
    INSERT INTO view_values (profile_id, part, at_us, value)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])
    ON CONFLICT (profile_id, part, at_us) DO UPDATE SET value = excluded.value
"""
_LOAD_LAST: Final = """
    SELECT last.* FROM unnest($1::uuid[], $2::text[]) AS n (profile_id, part)
    CROSS JOIN LATERAL (
        SELECT v.profile_id, v.part, v.at_us, v.value FROM view_values v WHERE v.profile_id = n.profile_id AND v.part = n.part
        ORDER BY v.at_us DESC LIMIT 1
    ) AS last
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

    async def load_last(self, tx: Tx, keys: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], KeptValue]:
        rows = await tx.fetch(_LOAD_LAST, *zip(*keys, strict=True)) if keys else ()
        return {(row[0], row[1]): KeptValue(*row) for row in rows}

    async def save(self, tx: Tx, values: Sequence[KeptValue]) -> None:
        if values:
            await tx.execute(_SAVE, *zip(*values, strict=True))

    async def load(self, tx: Tx, profile_id: UUID, parts: Collection[str], at_us: int) -> dict[str, bytes | None]:
        rows = await tx.fetch(_LOAD, profile_id, list(parts), at_us) if parts else ()
        return {row[0]: row[1] for row in rows}
