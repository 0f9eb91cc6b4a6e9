"""Merges, splits and bans by command in PostgreSQL. The caller holds the profiles' locks."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.kit.db import Tx
from services.profile.ports import BanInForce, Lifted, ProfileGroup, Regrouped
from services.profile.store.graph import encode_nodes

_FOUNDINGS: Final = "SELECT id, founding FROM profiles WHERE id = ANY($1::uuid[])"
_OWNERS: Final = "SELECT id, profile_id FROM fragments WHERE id = ANY($1::uuid[])"
_SAVE_LINKS: Final = """
INSERT INTO links (a, b, by_alias, received_max, vouched_max, command_id, occurred_at, applied)
SELECT least(n.a, n.b), greatest(n.a, n.b), n.by_alias, $4, $7, $5, $4, $6
  FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS n (a, b, by_alias)
    ON CONFLICT (a, b) DO UPDATE
   SET received_max = greatest(links.received_max, excluded.received_max),
       vouched_max = greatest(links.vouched_max, excluded.vouched_max), by_alias = links.by_alias OR excluded.by_alias
"""
_SAVE_BANS: Final = """
INSERT INTO bans (a, b, void_until, ban_id)
SELECT least(n.a, n.b), greatest(n.a, n.b), 'infinity', $3 FROM unnest($1::uuid[], $2::uuid[]) AS n (a, b)
    ON CONFLICT (a, b) DO UPDATE SET void_until = excluded.void_until, ban_id = excluded.ban_id
"""
_SAVE_HISTORY: Final = """
INSERT INTO history (applied, other_id, kind, profile_id, fragments, reason, at, command_id, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_SAVE_LIFTED: Final = """
INSERT INTO history (applied, other_id, kind, profile_id, fragments, at, command_id, actor)
SELECT $1, other, 'unban', $2, $3, $4, $5, $6 FROM unnest($7::uuid[]) AS other
"""
_FIND_BAN: Final = """
SELECT h.fragments[1], array_agg(CASE WHEN b.a = h.fragments[1] THEN b.b ELSE b.a END)
  FROM history h JOIN bans b ON b.ban_id = h.command_id AND b.void_until = 'infinity'
 WHERE h.command_id = $1 AND h.kind = 'split' GROUP BY 1
"""
_LIFT: Final = "UPDATE bans SET void_until = $2 WHERE ban_id = $1 AND void_until = 'infinity' RETURNING a, b"
# LIMIT 1 makes PostgreSQL look each split's ban up by its index: it stops after a page, however many bans there are.
_LIST_BANS: Final = """
SELECT h.applied, h.command_id, h.at, h.reason, h.actor, h.fragments[1],
       ARRAY(SELECT CASE WHEN b.a = h.fragments[1] THEN b.b ELSE b.a END
               FROM bans b WHERE b.ban_id = h.command_id AND b.void_until = 'infinity' ORDER BY 1)
  FROM history h
 CROSS JOIN LATERAL (SELECT FROM bans b WHERE b.ban_id = h.command_id AND b.void_until = 'infinity' LIMIT 1) AS in_force
 WHERE h.kind = 'split' AND h.applied < $1
 ORDER BY h.applied DESC LIMIT $2
"""
_DESCRIBE: Final = "SELECT id, kind, value FROM fragments WHERE id = ANY($1::uuid[])"


class PostgresCommands:
    """CommandStore over the service's own schema."""

    async def find_foundings(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, UUID]:
        return {row[0]: row[1] for row in await tx.fetch(_FOUNDINGS, list(profile_ids))}

    async def find_owners(self, tx: Tx, fragments: Collection[UUID]) -> dict[UUID, UUID]:
        return {row[0]: row[1] for row in await tx.fetch(_OWNERS, list(fragments))}

    async def save_regrouped(self, tx: Tx, command: Regrouped, now: datetime) -> None:
        if command.links:
            columns = (list(column) for column in zip(*command.links, strict=True))
            # Who merges vouches for it; the links of a split only keep together what was.
            vouched = now if command.kind == "merge" else None
            await tx.execute(_SAVE_LINKS, *columns, now, command.id, command.position, vouched)
        if command.banned:
            columns = (list(column) for column in zip(*command.banned, strict=True))
            await tx.execute(_SAVE_BANS, *columns, command.id)
        await tx.execute(
            _SAVE_HISTORY,
            command.position,
            command.other_id,
            command.kind,
            command.profile_id,
            list(command.fragments),
            command.reason,
            now,
            command.id,
            command.actor,
        )

    async def find_ban(self, tx: Tx, ban_id: UUID) -> BanInForce | None:
        row = await tx.fetchrow(_FIND_BAN, ban_id)
        return BanInForce(row[0], tuple(row[1])) if row is not None else None

    async def lift_ban(self, tx: Tx, ban_id: UUID, now: datetime) -> set[UUID]:
        return {fragment for row in await tx.fetch(_LIFT, ban_id, now) for fragment in row}

    async def save_lifted(self, tx: Tx, lifted: Lifted, now: datetime) -> None:
        await tx.execute(
            _SAVE_LIFTED,
            lifted.position,
            lifted.profile_id,
            [lifted.fragment],
            now,
            lifted.ban_id,
            lifted.actor,
            list(lifted.others),
        )

    async def save_nodes(self, tx: Tx, group: ProfileGroup) -> None:
        nodes = encode_nodes(list(group.nodes.values()))
        await tx.execute("UPDATE profiles SET nodes = $2 WHERE id = $1", group.id, nodes)


async def load_bans(tx: Tx, before: int, limit: int) -> list[Any]:
    """(applied, id, at, reason, actor, fragment, the fragments it is kept from) of bans in force, newest first."""
    rows: list[Any] = await tx.fetch(_LIST_BANS, before, limit)
    return rows


async def describe_fragments(tx: Tx, fragments: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """Fragment -> kind and value."""
    return {row[0]: (row[1], row[2]) for row in await tx.fetch(_DESCRIBE, list(fragments))}
