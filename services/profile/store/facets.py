"""Facets in PostgreSQL: what other services said of a profile, under the id they named."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.profile.domain.views import FACETS, LEFT, FacetRow

_SAVE: Final = """
INSERT INTO facets AS f (profile_id, facet, key, seq, body)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
    ON CONFLICT (profile_id, facet, key) DO UPDATE SET seq = excluded.seq, body = excluded.body WHERE f.seq < excluded.seq
RETURNING profile_id, facet, key
"""
_BODIES: Final = """
SELECT f.profile_id, f.facet, f.key, f.body
  FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (profile_id, facet, key) JOIN facets f USING (profile_id, facet, key)
"""
_SAVE_JUDGED: Final = """
INSERT INTO facet_versions AS f (profile_id, facet, profile_version)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
    ON CONFLICT (profile_id, facet) DO UPDATE SET profile_version = excluded.profile_version
 WHERE f.profile_version < excluded.profile_version
"""
_NEWLY_JUDGED: Final = """
SELECT l.profile_id
  FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (profile_id, facet, version)
  JOIN facet_versions l ON l.profile_id = n.profile_id AND l.facet = $4 AND l.profile_version <= n.version
  LEFT JOIN facet_versions f ON f.profile_id = n.profile_id AND f.facet = n.facet
 WHERE n.facet <> $4 AND coalesce(f.profile_version, 0) < l.profile_version
"""
_LOAD: Final = """
SELECT f.profile_id, f.facet, f.key, f.body
  FROM facets f
  LEFT JOIN facet_versions l ON l.profile_id = f.profile_id AND l.facet = $2
  LEFT JOIN facet_versions v ON v.profile_id = f.profile_id AND v.facet = f.facet
 WHERE f.profile_id = ANY($1::uuid[]) AND (l.profile_id IS NULL OR v.profile_version >= l.profile_version)
"""
_UNJUDGED: Final = """
SELECT l.profile_id FROM facet_versions l
 WHERE l.profile_id = ANY($1::uuid[]) AND l.facet = $2
   AND EXISTS (SELECT FROM unnest($3::text[]) AS n (facet)
                WHERE NOT EXISTS (SELECT FROM facet_versions v
                                   WHERE v.profile_id = l.profile_id AND v.facet = n.facet
                                     AND v.profile_version >= l.profile_version))
"""
_MARK: Final = "INSERT INTO facets_pending (profile_id) SELECT id FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING"
_TAKE: Final = "DELETE FROM facets_pending WHERE profile_id = ANY($1::uuid[]) RETURNING profile_id"


class PostgresFacets:
    """FacetStore over the service's own schema."""

    async def save_facets(self, tx: Tx, rows: Mapping[tuple[UUID, str, str], tuple[int, bytes]]) -> set[UUID]:
        keys = sorted(rows)
        names = [[key[column] for key in keys] for column in range(3)]
        before = {(row[0], row[1], row[2]): row[3] for row in await tx.fetch(_BODIES, *names)}
        saved = await tx.fetch(_SAVE, *names, [rows[key][0] for key in keys], [rows[key][1] for key in keys])
        taken = [(row[0], row[1], row[2]) for row in saved]
        return {key[0] for key in taken if before.get(key, b"") != rows[key][1]}

    async def save_judged(self, tx: Tx, versions: Mapping[tuple[UUID, str], int]) -> set[UUID]:
        keys = sorted(versions)
        columns = [key[0] for key in keys], [key[1] for key in keys], [versions[key] for key in keys]
        judged = {row[0] for row in await tx.fetch(_NEWLY_JUDGED, *columns, LEFT)}
        await tx.execute(_SAVE_JUDGED, *columns)
        return judged

    async def mark_pending(self, tx: Tx, profile_ids: Collection[UUID]) -> None:
        await tx.execute(_MARK, sorted(profile_ids))

    async def take_pending(self, tx: Tx, profile_ids: Collection[UUID]) -> set[UUID]:
        return {row[0] for row in await tx.fetch(_TAKE, list(profile_ids))}

    async def find_pending(self, tx: Tx, limit: int) -> list[UUID]:
        return [row[0] for row in await tx.fetch("SELECT profile_id FROM facets_pending LIMIT $1", limit)]

    async def load_facets(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, list[FacetRow]]:
        found: dict[UUID, list[FacetRow]] = {}
        for profile_id, facet, key, body in await tx.fetch(_LOAD, list(profile_ids), LEFT):
            found.setdefault(profile_id, []).append(FacetRow(facet, key, body))
        return found


async def find_unjudged(tx: Tx, profile_ids: Collection[UUID]) -> set[UUID]:
    """Those that left the rest of their profile, and that not all facets have judged since."""
    return {row[0] for row in await tx.fetch(_UNJUDGED, list(profile_ids), LEFT, list(FACETS))}


async def load_judged(tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """Profile -> facet -> the highest profile version it has judged."""
    judged: dict[UUID, dict[str, int]] = {}
    statement = "SELECT profile_id, facet, profile_version FROM facet_versions WHERE profile_id = ANY($1::uuid[])"
    for profile_id, facet, version in await tx.fetch(statement, list(profile_ids)):
        judged.setdefault(profile_id, {})[facet] = version
    return judged
