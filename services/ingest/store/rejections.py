"""Parked rejections in PostgreSQL: one statement a batch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.ingest.ports import ParkedRejection, Place, RejectionBounds, RejectionFilter, RejectionGroup

if TYPE_CHECKING:
    from libs.kit.db import Tx

_FIND = """
    SELECT id, source_id, received_at, reason, detail, path, body FROM rejections
    WHERE replayed_at IS NULL
      AND ($1::text IS NULL OR source_id = $1)
      AND ($2::text IS NULL OR reason = $2)
      AND ($3::timestamptz IS NULL OR received_at >= $3)
      AND ($4::timestamptz IS NULL OR received_at < $4)
      AND ($5::uuid[] IS NULL OR id = ANY($5))
      AND ($6::timestamptz IS NULL OR (received_at, id) < ($6, $7::uuid))
    ORDER BY received_at DESC, id DESC LIMIT $8
"""
_LOCK = _FIND + "FOR UPDATE SKIP LOCKED"
_COUNT = """
    SELECT reason, count(*) AS count FROM rejections
    WHERE replayed_at IS NULL
      AND ($1::text IS NULL OR source_id = $1)
      AND ($2::text IS NULL OR reason = $2)
      AND ($3::timestamptz IS NULL OR received_at >= $3)
      AND ($4::timestamptz IS NULL OR received_at < $4)
      AND ($5::uuid[] IS NULL OR id = ANY($5))
    GROUP BY reason ORDER BY reason
"""
_SUMMARISE = """
    SELECT * FROM (
      SELECT id, source_id, received_at, reason, detail, path, body,
        count(*) OVER groups AS count, min(received_at) OVER groups AS first_at, max(received_at) OVER groups AS last_at,
        row_number() OVER (PARTITION BY source_id, reason ORDER BY received_at DESC, id DESC) AS place
      FROM rejections
      WHERE replayed_at IS NULL
        AND ($1::text IS NULL OR source_id = $1)
        AND ($2::text IS NULL OR reason = $2)
        AND ($3::timestamptz IS NULL OR received_at >= $3)
        AND ($4::timestamptz IS NULL OR received_at < $4)
        AND ($5::uuid[] IS NULL OR id = ANY($5))
      WINDOW groups AS (PARTITION BY source_id, reason)
    ) AS ranked
    WHERE place <= greatest($6, 1) ORDER BY count DESC, source_id, reason, place
"""
_ADD = """
    INSERT INTO rejections (id, source_id, received_at, reason, detail, path, body, size_bytes)
    SELECT *, length(body) FROM unnest(
      $1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bytea[]
    ) AS parked (id, source_id, received_at, reason, detail, path, body)
    ON CONFLICT (id) DO NOTHING RETURNING id
"""
_TRIM = """
    DELETE FROM rejections WHERE id IN (
      SELECT id FROM (
        SELECT id, row_number() OVER newest_first AS place, sum(size_bytes) OVER newest_first AS bytes
        FROM rejections
        WINDOW newest_first AS (PARTITION BY source_id ORDER BY received_at DESC, id DESC)
      ) AS ranked
      WHERE place > $1 OR bytes > $2
    )
"""


_FIELDS = ("id", "source_id", "received_at", "reason", "detail", "path", "body")


class PostgresRejections:
    """See services.ingest.ports.RejectionStore."""

    async def add(self, tx: "Tx", rejections: Sequence[ParkedRejection]) -> set[UUID]:
        if not rejections:
            return set()
        distinct = {rejection.id: rejection for rejection in reversed(rejections)}
        rows = sorted(distinct.values(), key=lambda rejection: rejection.id)
        columns = zip(
            *((row.id, row.source_id, row.received_at, row.reason, row.detail, row.path, row.body) for row in rows), strict=True
        )
        added = await tx.fetch(_ADD, *columns)
        return {row["id"] for row in added}

    async def find(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        return await self._page(tx, _FIND, where, after, limit)

    async def lock(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        return await self._page(tx, _LOCK, where, after, limit)

    async def _page(self, tx: "Tx", query: str, where: RejectionFilter, after: Place | None, limit: int) -> list[ParkedRejection]:
        place: tuple[datetime | None, UUID | None] = (None, None) if after is None else after
        rows = await tx.fetch(query, *_arguments(where), *place, limit)
        return [ParkedRejection(**dict(row)) for row in rows]

    async def count_reasons(self, tx: "Tx", where: RejectionFilter) -> Mapping[str, int]:
        rows = await tx.fetch(_COUNT, *_arguments(where))
        return {row["reason"]: row["count"] for row in rows}

    async def summarise(self, tx: "Tx", where: RejectionFilter, *, samples: int) -> list[RejectionGroup]:
        groups: dict[tuple[str, str], RejectionGroup] = {}
        for row in await tx.fetch(_SUMMARISE, *_arguments(where), samples):
            key = (row["source_id"], row["reason"])
            group = groups.setdefault(key, RejectionGroup(*key, row["count"], row["first_at"], row["last_at"], []))
            if row["place"] <= samples:
                group.samples.append(ParkedRejection(**{name: row[name] for name in _FIELDS}))
        return list(groups.values())

    async def mark_replayed(self, tx: "Tx", ids: Sequence[UUID], now: datetime) -> None:
        await tx.execute(
            "UPDATE rejections SET replayed_at = $2, body = '', size_bytes = 0 WHERE id = ANY($1::uuid[])", list(ids), now
        )

    async def update_reason(self, tx: "Tx", rejection_id: UUID, reason: str, detail: str) -> None:
        await tx.execute("UPDATE rejections SET reason = $2, detail = $3 WHERE id = $1", rejection_id, reason, detail)

    async def trim(self, tx: "Tx", bounds: RejectionBounds) -> int:
        old = await tx.execute("DELETE FROM rejections WHERE received_at < $1", bounds.received_after)
        excess = await tx.execute(_TRIM, bounds.max_per_source, bounds.max_bytes_per_source)
        return _count(old) + _count(excess)


def _arguments(where: RejectionFilter) -> tuple[Any, ...]:
    ids = None if where.ids is None else list(where.ids)
    return where.source_id, where.reason, where.since, where.until, ids


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
