"""The subscriber's statements, each set-based, one a poll. Lock order: fragments, touchpoint ids, profiles; each sorted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from libs.events.profiles import ProfileChanged
from libs.kit.db import Tx

APPLIED = 0


class Owner(Struct, frozen=True):
    """Who has a fragment. `profile_id` None: only a touchpoint has named it yet."""

    profile_id: UUID | None
    membership: int


class Move(Struct, frozen=True):
    """A row of the map as a record knows it better."""

    profile_id: UUID | None
    membership: int
    address: UUID | None


UNOWNED: Final = Owner(None, -1)
NOBODYS: Final = Move(None, -1, None)
"""How a fragment stands that only a touchpoint has named."""


class Known(Struct, frozen=True):
    """What was stored of a profile before this poll."""

    version: int
    judged_at: datetime | None


class StoredProfile(Struct, frozen=True):
    """The highest version seen, its view where there is one (an absorbed profile has none), and when it was judged last."""

    version: int
    snapshot: bytes | None
    judged_at: datetime | None = None

    @classmethod
    def of(cls, record: ProfileChanged) -> "StoredProfile":
        snapshot = bytes(record.snapshot)
        return cls(record.version, None if snapshot == b"null" else snapshot)


async def lock_fragments(tx: Tx, fragments: Sequence[UUID], moves: Mapping[UUID, Move]) -> tuple[dict[UUID, Owner], set[UUID]]:
    """Insert the missing ones, then lock the others, sorted as given: who has each, read under the locks; which are new.

    First all inserts, then all locks: two workers that did it in turns could wait for each other. New rows stand at once as
    `moves` has them (`NOBODYS` where it hasn't): most never need a second write. They are told as they would have been found,
    nobody's.
    """
    if not fragments:
        return {}, set()
    known = {row[0] for row in await tx.fetch("SELECT fragment FROM sub_fragments WHERE fragment = ANY($1::uuid[])", fragments)}
    missing = [fragment for fragment in fragments if fragment not in known] if len(known) < len(fragments) else []
    new = await _insert_fragments(tx, missing, moves) if missing else set()
    owners = dict.fromkeys(new, UNOWNED)
    if len(new) < len(fragments):
        rows = await tx.fetch(
            "SELECT fragment, profile_id, membership FROM sub_fragments"
            " WHERE fragment = ANY($1::uuid[]) ORDER BY fragment FOR UPDATE",
            [fragment for fragment in fragments if fragment not in new] if new else fragments,
        )
        owners.update((fragment, Owner(profile_id, membership)) for fragment, profile_id, membership in rows)
    return owners, new


async def _insert_fragments(tx: Tx, missing: Sequence[UUID], moves: Mapping[UUID, Move]) -> set[UUID]:
    """Those that no other worker was quicker with."""
    rows = [moves.get(fragment, NOBODYS) for fragment in missing]
    inserted = await tx.fetch(
        "INSERT INTO sub_fragments (fragment, profile_id, membership, address)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[]) ON CONFLICT DO NOTHING RETURNING fragment",
        missing,
        [row.profile_id for row in rows],
        [row.membership for row in rows],
        [row.address for row in rows],
    )
    return {row[0] for row in inserted}


_NEWER: Final = "unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bytea[], $6::timestamptz[])"
_UPDATE_PROFILES: Final = f"""
UPDATE sub_profiles AS known
   SET version = n.version, absorbed_into = n.absorbed_into, snapshot = n.snapshot,
       judged_at = coalesce(n.judged_at, known.judged_at)
  FROM {_NEWER} AS n (profile_id, founding, version, absorbed_into, snapshot, judged_at)
 WHERE known.profile_id = n.profile_id AND known.version < n.version RETURNING known.profile_id
"""  # noqa: S608 - a constant of ours
_UPSERT_PROFILES: Final = f"""
INSERT INTO sub_profiles AS known (profile_id, founding, version, absorbed_into, snapshot, judged_at)
SELECT * FROM {_NEWER}
    ON CONFLICT (profile_id) DO UPDATE
   SET version = excluded.version, absorbed_into = excluded.absorbed_into, snapshot = excluded.snapshot,
       judged_at = coalesce(excluded.judged_at, known.judged_at)
 WHERE known.version < excluded.version RETURNING known.profile_id
"""  # noqa: S608 - a constant of ours


async def find_dead(tx: Tx, ids: Sequence[UUID]) -> set[UUID]:
    rows = await tx.fetch("SELECT id FROM sub_dead WHERE id = ANY($1::uuid[])", ids)
    return {row[0] for row in rows}


async def insert_touchpoints(tx: Tx, ids: Sequence[UUID]) -> set[UUID]:
    """Mark as applied; the ids that weren't yet. One that had been dismissed and was replayed counts as new."""
    if not ids:
        return set()
    rows = await tx.fetch(
        "INSERT INTO sub_touchpoints AS seen (id, outcome) SELECT id, $2 FROM unnest($1::uuid[]) AS id"
        " ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome WHERE seen.outcome <> excluded.outcome RETURNING seen.id",
        ids,
        APPLIED,
    )
    return {row[0] for row in rows}


async def insert_dismissed(tx: Tx, outcomes: Mapping[UUID, int]) -> set[UUID]:
    """Mark as dismissed where nothing is known yet; the ids that were new."""
    if not outcomes:
        return set()
    ids = sorted(outcomes)
    rows = await tx.fetch(
        "INSERT INTO sub_touchpoints (id, outcome) SELECT * FROM unnest($1::uuid[], $2::smallint[])"
        " ON CONFLICT DO NOTHING RETURNING id",
        ids,
        [outcomes[id_] for id_ in ids],
    )
    return {row[0] for row in rows}


async def lock_known_profiles(tx: Tx, profile_ids: Sequence[UUID]) -> dict[UUID, Known]:
    """Lock those that have a row, in the order given (sorted)."""
    if not profile_ids:
        return {}
    rows = await tx.fetch(
        "SELECT profile_id, version, judged_at FROM sub_profiles"
        " WHERE profile_id = ANY($1::uuid[]) ORDER BY profile_id FOR UPDATE",
        profile_ids,
    )
    return {profile_id: Known(version, judged_at) for profile_id, version, judged_at in rows}


async def save_profiles(
    tx: Tx,
    records: Sequence[ProfileChanged],
    known: Collection[UUID],
    instants: Mapping[UUID, datetime],
    *,
    keep_snapshots: bool,
) -> set[UUID]:
    """Save views that are newer than those stored, sorted by profile; the ids that were saved. New rows are locked by it.

    `known` are the profiles whose rows are locked already: those are only updated, which costs half of finding out.
    """
    saved: set[UUID] = set()
    for statement, own in (
        (_UPDATE_PROFILES, [record for record in records if record.profile_id in known]),
        (_UPSERT_PROFILES, [record for record in records if record.profile_id not in known]),
    ):
        if own:
            rows = await tx.fetch(
                statement,
                [record.profile_id for record in own],
                [record.founding for record in own],
                [record.version for record in own],
                [record.absorbed_into for record in own],
                [StoredProfile.of(record).snapshot if keep_snapshots else None for record in own],
                [instants.get(record.profile_id) for record in own],
            )
            saved.update(row[0] for row in rows)
    return saved


async def save_judged_at(tx: Tx, instants: Mapping[UUID, datetime]) -> None:
    """When these profiles were judged last. Their locks are held."""
    if instants:
        await tx.execute(
            "UPDATE sub_profiles AS p SET judged_at = n.judged_at"
            " FROM unnest($1::uuid[], $2::timestamptz[]) AS n (profile_id, judged_at) WHERE p.profile_id = n.profile_id",
            list(instants),
            list(instants.values()),
        )


async def save_moves(tx: Tx, moves: Mapping[UUID, Move]) -> None:
    """Write the rows of the map that changed. Their locks are held."""
    if not moves:
        return
    await tx.execute(
        "UPDATE sub_fragments AS f SET profile_id = n.profile_id, membership = n.membership, address = n.address"
        " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[]) AS n (fragment, profile_id, membership, address)"
        " WHERE f.fragment = n.fragment",
        list(moves),
        [move.profile_id for move in moves.values()],
        [move.membership for move in moves.values()],
        [move.address for move in moves.values()],
    )


async def load_profiles(tx: Tx, profile_ids: Sequence[UUID]) -> dict[UUID, StoredProfile]:
    if not profile_ids:
        return {}
    rows = await tx.fetch(
        "SELECT profile_id, version, snapshot, judged_at FROM sub_profiles WHERE profile_id = ANY($1::uuid[])", profile_ids
    )
    return {row[0]: StoredProfile(row[1], row[2], row[3]) for row in rows}


async def load_other_members(tx: Tx, profile_ids: Sequence[UUID], known: Collection[UUID]) -> list[tuple[UUID, UUID]]:
    """(profile, fragment) of these profiles' members apart from those known: locked by us, so nobody else can move them."""
    if not profile_ids:
        return []
    rows = await tx.fetch(
        # Not `<> ALL`: PostgreSQL goes through the whole array for each row where it doesn't know the array when it plans.
        "SELECT profile_id, fragment FROM sub_fragments WHERE profile_id = ANY($1::uuid[])"
        " AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS k (id) WHERE k.id = fragment)",
        profile_ids,
        known,
    )
    return [(profile_id, fragment) for profile_id, fragment in rows]


async def load_members(tx: Tx, profile_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The fragments of each profile, sorted. To be called in a statement of its own once the profiles are locked."""
    members: dict[UUID, list[UUID]] = {profile_id: [] for profile_id in profile_ids}
    rows = await tx.fetch(
        "SELECT profile_id, fragment FROM sub_fragments WHERE profile_id = ANY($1::uuid[]) ORDER BY fragment", profile_ids
    )
    for profile_id, fragment in rows:
        members[profile_id].append(fragment)
    return members


async def lock_profiles(tx: Tx, profile_ids: Iterable[UUID]) -> dict[UUID, StoredProfile]:
    """Lock profiles that are known, sorted, for whoever judges without a record: back-fills, timers, commands."""
    ids = sorted(set(profile_ids))
    rows = await tx.fetch(
        "SELECT profile_id, version, snapshot, judged_at FROM sub_profiles"
        " WHERE profile_id = ANY($1::uuid[]) ORDER BY profile_id FOR UPDATE",
        ids,
    )
    return {row[0]: StoredProfile(row[1], row[2], row[3]) for row in rows}


async def mark_dead(tx: Tx, ids: Iterable[UUID]) -> None:
    """Records about these fragments and profiles are ignored from now on."""
    await tx.execute("INSERT INTO sub_dead (id) SELECT id FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING", sorted(set(ids)))
