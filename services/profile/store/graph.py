"""The identity graph, the views and the journal in PostgreSQL: one statement a table a batch.

Lock order everywhere: touchpoint ids, fragments that are inserted, profiles; sorted within each. Rows of a fragment, its links
and facts are written only under the lock of its profile.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.kit.db import Tx
from libs.kit.ids import read_id
from libs.kit.times import from_micros
from services.profile.domain.graph import EpochOpened, Group
from services.profile.domain.identity import BLOCKED, NO_IDENTIFIER
from services.profile.domain.nodes import Node
from services.profile.domain.search import SearchKeys
from services.profile.ports import Located, NewFragment, ProfileGraph, ProfileGroup, ProfileRow, TimelineEntry

_INSERT_TOUCHPOINTS: Final = (
    "INSERT INTO touchpoints (id) SELECT id FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING RETURNING id"
)
_LOCATE: Final = """
SELECT a.id, f.id, f.profile_id
  FROM unnest($1::uuid[]) AS a (id)
  LEFT JOIN epochs e ON e.address = a.id
  JOIN fragments f ON f.id = coalesce(e.fragment, a.id)
"""
_INSERT_FRAGMENTS: Final = """
INSERT INTO fragments (id, kind, value, epoch, profile_id, state)
SELECT *, ''::bytea FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::uuid[])
    ON CONFLICT DO NOTHING RETURNING id
"""
_LOCK_PROFILES: Final = "SELECT id FROM profiles WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_LOAD_PROFILES: Final = """
SELECT id, founding, founded, version, nodes, totals, core, facets FROM profiles WHERE id = ANY($1::uuid[])
"""
_LOAD_STATES: Final = "SELECT id, state FROM fragments WHERE id = ANY($1::uuid[])"
_INSERT_PROFILES: Final = """
INSERT INTO profiles
  (id, founding, founded, founded_at, version, members, updated_at, causes, nodes, totals, identifiers, core, facets)
SELECT n.id, n.founding, n.founded, $1, n.version, n.members::uuid[], $1, n.causes, n.nodes, n.totals, n.identifiers, n.core,
       n.facets
  FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[],
              $11::bytea[], $12::bytea[])
       AS n (id, founding, founded, members, version, causes, nodes, totals, identifiers, core, facets)
"""
_UPDATE_PROFILES: Final = """
UPDATE profiles AS p
   SET version = n.version, updated_at = $1, causes = n.causes, nodes = n.nodes, totals = n.totals, identifiers = n.identifiers,
       core = n.core, facets = n.facets
  FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[])
       AS n (id, version, causes, nodes, totals, identifiers, core, facets)
 WHERE p.id = n.id
"""
_REGROUP_PROFILES: Final = """
UPDATE profiles AS p SET members = n.members::uuid[], absorbed_into = n.absorbed_into
  FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS n (id, members, absorbed_into) WHERE p.id = n.id
"""
_SAVE_STATES: Final = """
UPDATE fragments AS f SET state = n.state FROM unnest($1::uuid[], $2::bytea[]) AS n (id, state) WHERE f.id = n.id
"""
_MOVE_FRAGMENTS: Final = """
UPDATE fragments AS f SET profile_id = n.profile_id FROM unnest($1::uuid[], $2::uuid[]) AS n (id, profile_id) WHERE f.id = n.id
"""
# A link that stands and was lately renewed is only read: its exact age matters where the pair has a ban to outlive.
_FIND_STALE_LINKS: Final = """
SELECT n.place::integer
  FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
       AS n (a, b, received_max, vouched_max, place)
  LEFT JOIN links l ON l.a = n.a AND l.b = n.b
 WHERE l.a IS NULL OR n.received_max > l.received_max + interval '1 day'
    OR (n.vouched_max IS NOT NULL AND (l.vouched_max IS NULL OR n.vouched_max > l.vouched_max + interval '1 day'))
    OR (n.received_max > l.received_max AND EXISTS (SELECT FROM bans WHERE bans.a = n.a AND bans.b = n.b))
"""
_SAVE_LINKS: Final = """
INSERT INTO links (a, b, received_max, vouched_max, by_alias, touchpoint_id, occurred_at, applied)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::boolean[], $6::uuid[], $7::timestamptz[],
                     $8::bigint[])
    ON CONFLICT (a, b) DO UPDATE
   SET received_max = greatest(links.received_max, excluded.received_max),
       vouched_max = greatest(links.vouched_max, excluded.vouched_max), by_alias = links.by_alias OR excluded.by_alias
"""
_INSERT_HISTORY: Final = """
INSERT INTO history (applied, other_id, kind, profile_id, fragments, touchpoint_id, at)
SELECT n.applied, n.other_id, 'merge', n.profile_id, n.fragments::uuid[], n.touchpoint_id, $6
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[])
       AS n (applied, other_id, profile_id, fragments, touchpoint_id)
"""
_INSERT_REFUSALS: Final = """
INSERT INTO refusals (touchpoint_id, reason, own, fragments, applied, at, named, rules)
SELECT n.touchpoint_id, n.reason, n.own, n.fragments::uuid[], n.applied, $6,
       (SELECT array_agg(one) FROM json_array_elements_text(n.named::json) AS one), $8
  FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $7::text[])
       AS n (touchpoint_id, reason, own, fragments, applied, named)
"""
_INSERT_IGNORED: Final = """
INSERT INTO touchpoint_outcomes (id, outcome, reason, at)
SELECT n.id, 'ignored', n.reason, $3 FROM unnest($1::uuid[], $2::text[]) AS n (id, reason)
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, at = excluded.at
"""
_INSERT_EPOCHS: Final = """
INSERT INTO epochs (address, fragment, epoch, reason, touchpoint_id, applied, at)
SELECT n.address, n.fragment, n.epoch, 'shared_device', n.touchpoint_id, n.applied, $6
  FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::bigint[])
       AS n (address, fragment, epoch, touchpoint_id, applied)
    ON CONFLICT (address) DO UPDATE
   SET fragment = excluded.fragment, epoch = excluded.epoch, reason = excluded.reason,
       touchpoint_id = excluded.touchpoint_id, applied = excluded.applied, at = excluded.at
"""
_DROP_TRAITS: Final = "DELETE FROM trait_keys WHERE profile_id = ANY($1::uuid[])"
_DROP_NAMES: Final = "DELETE FROM names WHERE profile_id = ANY($1::uuid[])"
# Names change seldom: whose stay as they are cost a look and no write.
_INDEX_NAMES: Final = """
INSERT INTO names (profile_id, name, keys)
SELECT n.profile_id, n.name, n.keys::bigint[] FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (profile_id, name, keys)
    ON CONFLICT (profile_id) DO UPDATE SET name = excluded.name, keys = excluded.keys
       WHERE names.name <> excluded.name OR names.keys <> excluded.keys
"""
_INDEX_TRAITS: Final = """
INSERT INTO trait_keys (profile_id, keys)
SELECT n.profile_id, n.keys::bigint[] FROM unnest($1::uuid[], $2::text[]) AS n (profile_id, keys)
    ON CONFLICT (profile_id) DO UPDATE SET keys = excluded.keys WHERE trait_keys.keys <> excluded.keys
"""
_TIMELINE_COLUMNS: Final = ("fragment", "occurred_at", "id", "applied", "channel", "name", "body", "sentiment", "consents")

_nodes = msgspec.msgpack.Decoder(list[Node], dec_hook=read_id)
_encode_json = msgspec.json.Encoder().encode
encode_nodes = msgspec.msgpack.Encoder(uuid_format="bytes").encode


def decode_nodes(stored: bytes) -> list[Node]:
    return _nodes.decode(stored)


def _array(values: Collection[object]) -> str:
    """An array as text: unnest would flatten arrays of arrays. Only for ids and numbers, which need no quoting."""
    return "{" + ",".join(map(str, values)) + "}"


class PostgresGraph:
    """GraphStore over the service's own schema."""

    async def insert_touchpoints(self, tx: Tx, ids: Sequence[UUID]) -> set[UUID]:
        return {row[0] for row in await tx.fetch(_INSERT_TOUCHPOINTS, ids)}

    async def locate(self, tx: Tx, addresses: Collection[UUID]) -> dict[UUID, Located]:
        return {row[0]: Located(row[1], row[2]) for row in await tx.fetch(_LOCATE, list(addresses))}

    async def insert_fragments(self, tx: Tx, fragments: Sequence[NewFragment]) -> set[UUID]:
        rows = await tx.fetch(
            _INSERT_FRAGMENTS,
            [one.node.fragment for one in fragments],
            [one.node.kind for one in fragments],
            [one.node.value for one in fragments],
            [one.node.epoch for one in fragments],
            [one.profile_id for one in fragments],
        )
        return {row[0] for row in rows}

    async def lock_profiles(self, tx: Tx, profile_ids: Sequence[UUID]) -> None:
        await tx.fetch(_LOCK_PROFILES, profile_ids)

    async def load_groups(self, tx: Tx, profile_ids: Collection[UUID]) -> list[ProfileGroup]:
        groups: list[ProfileGroup] = []
        for row in await tx.fetch(_LOAD_PROFILES, list(profile_ids)):
            id_, founding, founded, version, nodes, totals, core, facets = row
            by_fragment = {node.fragment: node for node in _nodes.decode(nodes)}
            before = tuple(by_fragment)
            groups.append(Group(id_, founding, founded, by_fragment, version, True, totals, core, facets, before))
        return groups

    async def load_states(self, tx: Tx, fragments: Collection[UUID]) -> dict[UUID, bytes]:
        return {row[0]: row[1] for row in await tx.fetch(_LOAD_STATES, list(fragments))}

    async def next_application(self, tx: Tx) -> int:
        number: int = await tx.fetchval("SELECT nextval('applications')")
        return number

    async def save_profiles(self, tx: Tx, rows: Sequence[ProfileRow], now: datetime) -> None:
        new = [row for row in rows if not row.group.stored]
        if new:
            await tx.execute(
                _INSERT_PROFILES,
                now,
                [row.group.id for row in new],
                [row.group.founding for row in new],
                [row.group.founded for row in new],
                [_array(row.group.nodes) for row in new],
                *_contents(new),
            )
        known = [row for row in rows if row.group.stored]
        if known:
            await tx.execute(_UPDATE_PROFILES, now, [row.group.id for row in known], *_contents(known))
        regrouped = [row.group for row in known if row.regrouped]
        if regrouped:
            await tx.execute(
                _REGROUP_PROFILES,
                [group.id for group in regrouped],
                [_array(group.nodes) for group in regrouped],
                [group.absorbed_into.id if group.absorbed_into else None for group in regrouped],
            )

    async def save_fragments(self, tx: Tx, states: Mapping[UUID, bytes], moves: Mapping[UUID, UUID]) -> None:
        if states:
            await tx.execute(_SAVE_STATES, list(states), list(states.values()))
        if moves:
            await tx.execute(_MOVE_FRAGMENTS, list(moves), list(moves.values()))

    async def save_graph(self, tx: Tx, graph: ProfileGraph, now: datetime) -> None:
        await self._save_links(tx, graph)
        if graph.merges:
            await tx.execute(
                _INSERT_HISTORY,
                [merge.position for merge in graph.merges],
                [merge.absorbed for merge in graph.merges],
                [merge.survivor for merge in graph.merges],
                [_array(merge.link) for merge in graph.merges],
                [merge.touchpoint_id for merge in graph.merges],
                now,
            )
        await self._save_refusals(tx, graph, now)
        if graph.epochs:
            await self.open_epochs(tx, graph.epochs, now)

    async def _save_links(self, tx: Tx, graph: ProfileGraph) -> None:
        if not graph.links:
            return
        pairs, seen = list(graph.links), list(graph.links.values())
        received = [from_micros(link.received_us) for link in seen]
        vouched = [None if link.vouched_us is None else from_micros(link.vouched_us) for link in seen]
        places = await tx.fetch(_FIND_STALE_LINKS, [pair[0] for pair in pairs], [pair[1] for pair in pairs], received, vouched)
        stale = {row[0] - 1 for row in places} | {place for place, link in enumerate(seen) if link.by_alias}
        rows = sorted(
            (*pairs[at], received[at], vouched[at], link.by_alias, link.touchpoint_id, link.occurred_at, link.position)
            for at, link in ((at, seen[at]) for at in stale)
        )
        if rows:
            await tx.execute(_SAVE_LINKS, *(list(column) for column in zip(*rows, strict=True)))

    async def _save_refusals(self, tx: Tx, graph: ProfileGraph, now: datetime) -> None:
        rows: list[tuple[UUID, str, UUID | None, str, int, str | None]] = []
        for refusal in graph.refusals:
            for reason in sorted({refuse.reason for refuse in refusal.refused}):
                fragments = [refuse.claim.fragment for refuse in refusal.refused if refuse.reason == reason]
                rows.append((refusal.touchpoint_id, reason, refusal.own, _array(fragments), refusal.position, None))
        for seen in graph.blocked:
            reason = BLOCKED if seen.own is not None else NO_IDENTIFIER
            named = msgspec.json.encode([f"{one.kind}:{one.value}" for one in seen.identifiers]).decode()
            fragments = [one.fragment for one in seen.identifiers]
            rows.append((seen.touchpoint_id, reason, seen.own, _array(fragments), seen.position, named))
        if rows:
            *columns, named_by_row = (list(column) for column in zip(*rows, strict=True))
            await tx.execute(_INSERT_REFUSALS, *columns, now, named_by_row, graph.rules.version)

    async def save_ignored(self, tx: Tx, reasons: Mapping[UUID, str], now: datetime) -> None:
        await tx.execute(_INSERT_IGNORED, list(reasons), list(reasons.values()), now)

    async def open_epochs(self, tx: Tx, epochs: Sequence[EpochOpened], now: datetime) -> None:
        """The new fragments' rows are written by the caller, with their profiles."""
        await tx.execute(
            _INSERT_EPOCHS,
            [epoch.address for epoch in epochs],
            [epoch.node.fragment for epoch in epochs],
            [epoch.node.epoch for epoch in epochs],
            [epoch.touchpoint_id for epoch in epochs],
            [epoch.position for epoch in epochs],
            now,
        )

    async def append_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None:
        records = [
            (
                entry.fragment,
                entry.touchpoint.occurred_at,
                entry.touchpoint.id,
                entry.applied,
                entry.touchpoint.channel,
                entry.touchpoint.name,
                entry.body.decode(),
                None if entry.sentiment is None else _encode_json(entry.sentiment).decode(),
                bool(entry.touchpoint.consent),
            )
            for entry in entries
        ]
        await tx.copy_records_to_table("timeline", records=records, columns=_TIMELINE_COLUMNS)

    async def index_traits(self, tx: Tx, keys: Mapping[UUID, SearchKeys | tuple[()]]) -> None:
        found = sorted((profile_id, own) for profile_id, own in keys.items() if own)
        traits = [(profile_id, own.traits) for profile_id, own in found if own.traits]
        names = [(profile_id, own) for profile_id, own in found if own.names]
        without_traits = list(keys.keys() - {profile_id for profile_id, _ in traits})
        without_names = list(keys.keys() - {profile_id for profile_id, _ in names})
        if without_traits:
            await tx.execute(_DROP_TRAITS, without_traits)
        if without_names:
            await tx.execute(_DROP_NAMES, without_names)
        if traits:
            await tx.execute(_INDEX_TRAITS, [row[0] for row in traits], [_array(row[1]) for row in traits])
        if names:
            columns = [row[0] for row in names], [own.name for _, own in names], [_array(own.names) for _, own in names]
            await tx.execute(_INDEX_NAMES, *columns)


def _contents(rows: Sequence[ProfileRow]) -> tuple[list[Any], ...]:
    return (
        [row.group.version for row in rows],
        [",".join(row.causes) for row in rows],
        [encode_nodes(list(row.group.nodes.values())) for row in rows],
        [row.group.totals for row in rows],
        [row.identifiers for row in rows],
        [row.group.core for row in rows],
        [row.group.facets for row in rows],
    )
