"""The subscriber's statements, each set-based, one a poll. Lock order: fragments, touchpoint ids, profiles; each sorted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
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

    profile_id: UUID
    membership: int
    address: UUID | None


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


async def lock_fragments(tx: Tx, fragments: Sequence[UUID]) -> dict[UUID, Owner]:
    """Insert the missing ones and lock all, in the order given (sorted). What it returns is read under the locks."""
    if not fragments:
        return {}
    await tx.execute(
        "INSERT INTO sub_fragments (fragment, membership) SELECT id, -1 FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING",
        fragments,
    )
    rows = await tx.fetch(
        "SELECT fragment, profile_id, membership FROM sub_fragments"
        " WHERE fragment = ANY($1::uuid[]) ORDER BY fragment FOR UPDATE",
        fragments,
    )
    return {fragment: Owner(profile_id, membership) for fragment, profile_id, membership in rows}


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
    tx: Tx, records: Sequence[ProfileChanged], instants: Mapping[UUID, datetime], *, keep_snapshots: bool
) -> set[UUID]:
    """Save views that are newer than those stored, sorted by profile; the ids that were saved. New rows are locked by it."""
    if not records:
        return set()
    rows = await tx.fetch(
        "INSERT INTO sub_profiles AS known (profile_id, founding, version, absorbed_into, snapshot, judged_at)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bytea[], $6::timestamptz[])"
        " ON CONFLICT (profile_id) DO UPDATE SET version = excluded.version, absorbed_into = excluded.absorbed_into,"
        " snapshot = excluded.snapshot, judged_at = coalesce(excluded.judged_at, known.judged_at)"
        " WHERE known.version < excluded.version RETURNING known.profile_id",
        [record.profile_id for record in records],
        [record.founding for record in records],
        [record.version for record in records],
        [record.absorbed_into for record in records],
        [StoredProfile.of(record).snapshot if keep_snapshots else None for record in records],
        [instants.get(record.profile_id) for record in records],
    )
    return {row[0] for row in rows}


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
        "SELECT profile_id, version, snapshot FROM sub_profiles WHERE profile_id = ANY($1::uuid[])", profile_ids
    )
    return {row[0]: StoredProfile(row[1], row[2]) for row in rows}


async def load_other_members(tx: Tx, profile_ids: Sequence[UUID], known: Collection[UUID]) -> list[tuple[UUID, UUID]]:
    """(profile, fragment) of these profiles' members apart from those known: locked by us, so nobody else can move them."""
    if not profile_ids:
        return []
    rows = await tx.fetch(
        "SELECT profile_id, fragment FROM sub_fragments WHERE profile_id = ANY($1::uuid[]) AND fragment <> ALL($2::uuid[])",
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
