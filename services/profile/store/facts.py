"""Rows of what grows, in PostgreSQL: one statement a table a batch, over all the batch's profiles at once.

The caller holds the profiles' locks, so nobody else reads or writes these fragments' rows meanwhile.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, cast
from uuid import UUID

from libs.kit.db import Tx
from services.profile.domain.activity import Near
from services.profile.domain.purchases import DayNets, decode_nets, encode_nets
from services.profile.domain.rows import ChangedRow, Wanted

FactRow = tuple[UUID, int, bytes, bytes]
"""(fragment, part, key, body)."""
SessionRow = tuple[UUID, int, int]
"""(fragment, start, end)."""

# Each of these probes an index once for each thing asked for; OFFSET 0 and LATERAL keep the planner from turning it round into
# a scan of everything a fragment holds when statistics are young.
_BY_KEY: Final = """
SELECT f.fragment, f.part, f.key, f.body
  FROM unnest($1::uuid[], $2::smallint[], $3::bytea[]) AS w (fragment, part, key)
 CROSS JOIN LATERAL (SELECT * FROM facts f WHERE f.fragment = w.fragment AND f.part = w.part AND f.key = w.key OFFSET 0) f
"""
_BY_REF: Final = """
SELECT f.fragment, f.part, f.key, f.body
  FROM unnest($1::uuid[], $2::bytea[]) AS w (fragment, ref)
 CROSS JOIN LATERAL (SELECT * FROM facts f WHERE f.fragment = w.fragment AND f.part = $3 AND f.ref = w.ref OFFSET 0) f
"""
_BY_FRAGMENT: Final = "SELECT fragment, part, key, body FROM facts WHERE fragment = ANY($1::uuid[])"
_SAVE: Final = """
INSERT INTO facts (fragment, part, key, ref, body)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[])
    ON CONFLICT (fragment, part, key) DO UPDATE SET ref = excluded.ref, body = excluded.body
"""
# A page of each fragment, then the page of all: reads no more than that however many orders there are.
_ORDERS_IN_TIME: Final = """
SELECT f.key, f.ref
  FROM unnest($1::uuid[]) AS w (fragment)
 CROSS JOIN LATERAL (
        SELECT key, ref FROM facts
         WHERE fragment = w.fragment AND part = $2 AND ref IS NOT NULL ORDER BY ref {0}, key LIMIT $3::bigint + $4::bigint) f
 ORDER BY f.ref {0}, f.key LIMIT $3 OFFSET $4
"""
_SESSIONS_OF: Final = "SELECT fragment, start_us, end_us FROM sessions WHERE fragment = ANY($1::uuid[])"
# Intervals of a fragment don't overlap, so at most the one before the window reaches into it from the left.
_SESSIONS_NEAR: Final = """
SELECT w.fragment, s.start_us, s.end_us
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w (fragment, low, high)
 CROSS JOIN LATERAL (
        SELECT start_us, end_us FROM sessions WHERE fragment = w.fragment AND start_us BETWEEN w.low AND w.high
        UNION ALL
        SELECT start_us, end_us
          FROM (SELECT start_us, end_us FROM sessions
                 WHERE fragment = w.fragment AND start_us < w.low ORDER BY start_us DESC LIMIT 1) before
         WHERE end_us >= w.low) s
"""
_SAVE_SESSIONS: Final = """
INSERT INTO sessions (fragment, start_us, end_us)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
    ON CONFLICT (fragment, start_us) DO UPDATE SET end_us = excluded.end_us
"""
_DROP_SESSIONS: Final = """
DELETE FROM sessions USING unnest($1::uuid[], $2::bigint[]) AS w (fragment, start_us)
 WHERE sessions.fragment = w.fragment AND sessions.start_us = w.start_us
"""
_DAYS: Final = """
SELECT d.profile_id, d.day, d.nets
  FROM unnest($1::uuid[], $2::integer[]) AS w (profile_id, day)
 CROSS JOIN LATERAL (SELECT * FROM order_days d WHERE d.profile_id = w.profile_id AND d.day = w.day OFFSET 0) d
"""
_SAVE_DAYS: Final = """
INSERT INTO order_days (profile_id, day, nets)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bytea[])
    ON CONFLICT (profile_id, day) DO UPDATE SET nets = excluded.nets
"""
_DROP_DAYS: Final = "DELETE FROM order_days WHERE profile_id = ANY($1::uuid[])"
_MOVE_DAYS: Final = """
UPDATE order_days SET profile_id = w.new FROM unnest($1::uuid[], $2::uuid[]) AS w (old, new) WHERE order_days.profile_id = w.old
"""
_TALLIES: Final = """
SELECT t.profile_id, t.kind, t.key, t.body
  FROM unnest($1::uuid[], $2::smallint[], $3::bytea[]) AS w (profile_id, kind, key)
 CROSS JOIN LATERAL (
        SELECT * FROM tallies t WHERE t.profile_id = w.profile_id AND t.kind = w.kind AND t.key = w.key OFFSET 0) t
"""
_TOP: Final = """
SELECT w.profile_id, w.kind, t.key, t.body
  FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[]) AS w (profile_id, kind, above, most)
 CROSS JOIN LATERAL (
        SELECT key, rank, body FROM tallies
         WHERE profile_id = w.profile_id AND kind = w.kind AND rank > w.above ORDER BY rank DESC, key LIMIT w.most) t
 ORDER BY w.profile_id, w.kind, t.rank DESC, t.key
"""
_SAVE_TALLIES: Final = """
INSERT INTO tallies (profile_id, kind, key, rank, body)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bytea[])
    ON CONFLICT (profile_id, kind, key) DO UPDATE SET rank = excluded.rank, body = excluded.body
"""
_DROP_TALLIES: Final = "DELETE FROM tallies WHERE profile_id = ANY($1::uuid[])"
_MOVE_TALLIES: Final = """
UPDATE tallies SET profile_id = w.new FROM unnest($1::uuid[], $2::uuid[]) AS w (old, new) WHERE tallies.profile_id = w.old
"""


class PostgresFacts:
    """The rows seen by one transaction."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    async def load_keys(self, wanted: Sequence[Wanted]) -> Iterable[FactRow]:
        return cast("list[FactRow]", await self._tx.fetch(_BY_KEY, *_columns(wanted)))

    async def load_refunds(self, wanted: Sequence[tuple[UUID, bytes]], part: int) -> Iterable[FactRow]:
        """Rows whose ref is the order's key."""
        return cast("list[FactRow]", await self._tx.fetch(_BY_REF, *_columns(wanted), part))

    async def load_fragments(self, fragments: Collection[UUID]) -> Iterable[FactRow]:
        return cast("list[FactRow]", await self._tx.fetch(_BY_FRAGMENT, list(fragments)))

    async def save_facts(self, rows: Sequence[ChangedRow]) -> None:
        # Sorted: neighbours in the index are written together, and two writers could never wait for each other in a ring.
        in_order = sorted(rows, key=_place_of)
        await self._tx.execute(_SAVE, *_columns(in_order))

    async def load_orders_in_time(
        self, fragments: Collection[UUID], part: int, *, newest_first: bool, limit: int, offset: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """(key, ref) of the fragments' known orders, cancelled or not, by time."""
        statement = _ORDERS_IN_TIME.format("DESC" if newest_first else "ASC")
        return [(row[0], row[1]) for row in await self._tx.fetch(statement, list(fragments), part, limit, offset)]

    async def load_sessions(self, fragments: Collection[UUID]) -> Iterable[SessionRow]:
        return cast("list[SessionRow]", await self._tx.fetch(_SESSIONS_OF, list(fragments)))

    async def load_sessions_near(self, windows: Sequence[Near]) -> Iterable[SessionRow]:
        return cast("list[SessionRow]", await self._tx.fetch(_SESSIONS_NEAR, *_columns(windows)))

    async def save_sessions(self, rows: Sequence[SessionRow]) -> None:
        await self._tx.execute(_SAVE_SESSIONS, *_columns(sorted(rows)))

    async def drop_sessions(self, rows: Sequence[tuple[UUID, int]]) -> None:
        await self._tx.execute(_DROP_SESSIONS, *_columns(rows))

    async def load_days(self, wanted: Sequence[tuple[UUID, int]]) -> Mapping[UUID, DayNets]:
        days: dict[UUID, DayNets] = {}
        for profile_id, day, nets in await self._tx.fetch(_DAYS, *_columns(wanted)):
            days.setdefault(profile_id, {})[day] = decode_nets(nets)
        return days

    async def save_days(self, rows: Sequence[tuple[UUID, int, dict[str, int]]]) -> None:
        rows = sorted(rows, key=_day_key)
        await self._tx.execute(_SAVE_DAYS, *_columns([(profile, day, encode_nets(nets)) for profile, day, nets in rows]))

    async def drop_days(self, profile_ids: Collection[UUID]) -> None:
        await self._tx.execute(_DROP_DAYS, list(profile_ids))

    async def move_days(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        """All days of one profile become another's, which has none."""
        await self._tx.execute(_MOVE_DAYS, *_columns(moves))

    async def load_tallies(self, wanted: Sequence[tuple[UUID, int, bytes]]) -> Iterable[FactRow]:
        """Of (profile, kind, key)."""
        return cast("list[FactRow]", await self._tx.fetch(_TALLIES, *_columns(wanted)))

    async def load_top(self, wanted: Sequence[tuple[UUID, int, int, int]]) -> Iterable[FactRow]:
        """Of (profile, kind, above, most): those whose rank is above it, highest first, ties by key."""
        return cast("list[FactRow]", await self._tx.fetch(_TOP, *_columns(wanted)))

    async def save_tallies(self, rows: Sequence[tuple[UUID, int, bytes, int | None, bytes]]) -> None:
        in_order = sorted(rows, key=_tally_key)
        await self._tx.execute(_SAVE_TALLIES, *_columns(in_order))

    async def drop_tallies(self, profile_ids: Collection[UUID]) -> None:
        await self._tx.execute(_DROP_TALLIES, list(profile_ids))

    async def move_tallies(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        """All tallies of one profile become another's, which has none."""
        await self._tx.execute(_MOVE_TALLIES, *_columns(moves))


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _place_of(row: ChangedRow) -> tuple[UUID, int, bytes]:
    return row.fragment, row.part, row.key


def _tally_key(row: tuple[UUID, int, bytes, int | None, bytes]) -> tuple[UUID, int, bytes]:
    return row[:3]


def _day_key(row: tuple[UUID, int, dict[str, int]]) -> tuple[UUID, int]:
    return row[0], row[1]
