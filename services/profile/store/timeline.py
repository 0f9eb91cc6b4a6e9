"""Lists over the journal: a profile's timeline, its history of merges, links, refusals. Reads only, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from libs.kit.db import Tx

# Each fragment's newest first by its own index, then the newest of those: the same cost at the 100,000th touchpoint.
_ENTRIES: Final = """
SELECT t.fragment, t.occurred_at, t.id, t.body, t.sentiment
  FROM profiles p
 CROSS JOIN LATERAL unnest(p.members) AS m (fragment)
 CROSS JOIN LATERAL (
        SELECT fragment, occurred_at, id, body, sentiment FROM timeline
         WHERE fragment = m.fragment
           AND (occurred_at, id) < ($2, $3)
           AND ($4::timestamptz IS NULL OR occurred_at >= $4)
           AND ($5::text IS NULL OR channel = $5)
           AND ($6::text IS NULL OR name = $6)
           AND {only}
           AND ($8::text IS NULL OR strpos(lower(body::json ->> 'properties'), lower($8)) > 0)
         ORDER BY occurred_at DESC, id DESC LIMIT $7) t
 WHERE p.id = $1
 ORDER BY t.occurred_at DESC, t.id DESC LIMIT $7
"""
_TIMELINE: Final = _ENTRIES.format(only="true")
_CONSENTS: Final = _ENTRIES.format(only="consents")
# What a profile shared before a merge or a split is its own past; what the other part did afterwards isn't.
_HISTORY: Final = """
WITH RECURSIVE tree (id, until) AS (
  SELECT $1::uuid, 9223372036854775807
   UNION
  SELECT CASE WHEN h.profile_id = tree.id THEN h.other_id ELSE h.profile_id END, h.applied
    FROM tree
    JOIN history h ON (h.profile_id = tree.id OR (h.other_id = tree.id AND h.kind = 'split')) AND h.applied < tree.until
     AND h.kind <> 'unban'),
told AS (
  SELECT DISTINCT h.applied, h.other_id
    FROM tree
    JOIN history h ON (h.profile_id = tree.id OR (h.other_id = tree.id AND h.kind <> 'merge')) AND h.applied < tree.until)
SELECT h.applied, h.other_id, h.kind, h.profile_id, h.touchpoint_id, h.reason, h.at,
       ARRAY(SELECT f.kind FROM fragments f WHERE f.id = ANY (h.fragments) ORDER BY f.id) AS kinds,
       ARRAY(SELECT f.value FROM fragments f WHERE f.id = ANY (h.fragments) ORDER BY f.id) AS contents,
       ARRAY(SELECT f.id FROM fragments f WHERE f.id = ANY (h.fragments) ORDER BY f.id) AS found,
       h.command_id, h.actor
  FROM history h JOIN told USING (applied, other_id)
 WHERE (h.applied, h.other_id) < ($2, $3)
 ORDER BY h.applied DESC, h.other_id DESC LIMIT $4
"""
_LINKS: Final = """
SELECT l.a, l.b, l.by_alias, l.touchpoint_id, l.occurred_at, t.name, t.channel
  FROM links l
  LEFT JOIN LATERAL (
        SELECT name, channel FROM timeline
         WHERE fragment IN (l.a, l.b) AND occurred_at = l.occurred_at AND id = l.touchpoint_id LIMIT 1) t ON true
 WHERE l.a = ANY ($1::uuid[]) AND l.b = ANY ($1::uuid[])
   AND NOT EXISTS (SELECT FROM bans WHERE bans.a = l.a AND bans.b = l.b AND bans.void_until >= l.received_max)
 ORDER BY l.applied, l.a, l.b
"""
_REFUSALS: Final = """
SELECT r.applied, r.touchpoint_id, r.reason, r.at, o.kind, o.value, o.id,
       ARRAY(SELECT f.kind FROM fragments f WHERE f.id = ANY (r.fragments) ORDER BY f.id) AS kinds,
       ARRAY(SELECT f.value FROM fragments f WHERE f.id = ANY (r.fragments) ORDER BY f.id) AS contents,
       ARRAY(SELECT f.id FROM fragments f WHERE f.id = ANY (r.fragments) ORDER BY f.id) AS found,
       r.named, r.fragments, r.rules
  FROM refusals r LEFT JOIN fragments o ON o.id = r.own
 WHERE (r.applied, r.reason) < ($1, $2) ORDER BY r.applied DESC, r.reason DESC LIMIT $3
"""
END_OF_TIME: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
LAST_ID: Final = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class TimelineFilter:
    """`since` is inclusive; `text` stands in the properties as JSON, in any letter case. None: no limit."""

    channel: str | None = None
    name: str | None = None
    since: datetime | None = None
    text: str | None = None


async def load_timeline(tx: Tx, profile_id: UUID, wanted: TimelineFilter, before: tuple[datetime, UUID], limit: int) -> list[Any]:
    """(fragment, occurred_at, id, body, sentiment) of the touchpoints before a place, newest first."""
    rows: list[Any] = await tx.fetch(
        _TIMELINE, profile_id, *before, wanted.since, wanted.channel, wanted.name, limit, wanted.text
    )
    return rows


async def load_consents(tx: Tx, profile_id: UUID, before: tuple[datetime, UUID], limit: int) -> list[Any]:
    """As `load_timeline`, but only what says something of consent."""
    rows: list[Any] = await tx.fetch(_CONSENTS, profile_id, *before, None, None, None, limit, None)
    return rows


async def load_history(tx: Tx, profile_id: UUID, before: tuple[int, UUID], limit: int) -> list[Any]:
    """Merges, splits and lifted bans of the profile and of all it absorbed."""
    rows: list[Any] = await tx.fetch(_HISTORY, profile_id, *before, limit)
    return rows


async def load_links(tx: Tx, fragments: Sequence[UUID]) -> list[Any]:
    """(a, b, by alias, touchpoint (None: a command), time, name, channel): links that count among these, the first ones first."""
    rows: list[Any] = await tx.fetch(_LINKS, list(fragments))
    return rows


async def load_refusals(tx: Tx, before: tuple[int, str], limit: int) -> list[Any]:
    rows: list[Any] = await tx.fetch(_REFUSALS, *before, limit)
    return rows
