"""Views as they are read: by id, by address, newer than a version, page by page. Reads only; no lock is taken."""

# ruff: noqa: S608 - the statements are put together from constants
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from libs.kit.db import Tx
from services.profile.ports import StoredProfile
from services.profile.store.graph import decode_nodes

_SHOWN: Final = "p.id, p.founding, p.version, p.updated_at, p.absorbed_into, p.identifiers, p.core, p.facets"
_BY_ID: Final = f"SELECT {_SHOWN} FROM profiles p WHERE p.id = ANY($1::uuid[]) AND p.version > 0"
# An absorbed id belongs to its founding fragment for ever, so its root is one step away however often was merged.
_ROOTS: Final = f"""
SELECT gone.id AS asked, {_SHOWN}
  FROM profiles gone JOIN fragments f ON f.id = gone.founding JOIN profiles p ON p.id = f.profile_id
 WHERE gone.id = ANY($1::uuid[]) AND p.version > 0
"""
_BY_ADDRESS: Final = f"""
SELECT a.id AS address, f.id AS fragment, {_SHOWN}
  FROM unnest($1::uuid[]) AS a (id)
  LEFT JOIN epochs e ON e.address = a.id
  JOIN fragments f ON f.id = coalesce(e.fragment, a.id)
  JOIN profiles p ON p.id = f.profile_id
 WHERE p.version > 0
"""
_TOLD: Final = f"{_SHOWN}, p.causes, p.nodes"
_NEWER: Final = f"""
SELECT {_TOLD} FROM unnest($1::uuid[], $2::bigint[]) AS n (id, version) JOIN profiles p ON p.id = n.id AND p.version > n.version
"""
_PRESENT: Final = f"SELECT {_TOLD} FROM profiles p WHERE p.id = ANY($1::uuid[]) AND p.version > 0"
_PAGE: Final = f"""
SELECT {_SHOWN} FROM profiles p
 WHERE p.version > 0 AND p.absorbed_into IS NULL AND p.id > $1 ORDER BY p.id LIMIT $2
"""


def _to_profile(row: Any, first: int = 0) -> StoredProfile:
    id_, founding, version, updated_at, absorbed_into, identifiers, core, facets = row[first : first + 8]
    return StoredProfile(id_, founding, version, updated_at, absorbed_into, identifiers, core, facets)


def _to_told(row: Any) -> StoredProfile:
    id_, founding, version, updated_at, absorbed_into, identifiers, core, facets, causes, nodes = row
    said = tuple(filter(None, causes.split(",")))
    members = tuple(decode_nodes(nodes))
    return StoredProfile(id_, founding, version, updated_at, absorbed_into, identifiers, core, facets, said, members)


async def load_by_id(tx: Tx, ids: Collection[UUID]) -> dict[UUID, StoredProfile]:
    """The root's profile for each id that was ever shown: an absorbed one gives the profile it is part of now."""
    found = {row[0]: _to_profile(row) for row in await tx.fetch(_BY_ID, list(ids))}
    gone = [profile.id for profile in found.values() if profile.absorbed_into is not None]
    if gone:
        found.update((row[0], _to_profile(row, 1)) for row in await tx.fetch(_ROOTS, gone))
    return found


async def load_by_address(tx: Tx, addresses: Collection[UUID]) -> dict[UUID, StoredProfile]:
    """The profile for each address that is live, that is, carried by some touchpoint in its present epoch."""
    found = {}
    for row in await tx.fetch(_BY_ADDRESS, list(addresses)):
        profile = _to_profile(row, 2)
        # A node that only an alias has named isn't shown, nor found.
        if b'"fragment":"%b"' % str(row[1]).encode() in profile.identifiers:
            found[row[0]] = profile
    return found


async def load_newer(tx: Tx, versions: Sequence[tuple[UUID, int]]) -> list[StoredProfile]:
    """Those profiles whose version is above the one given, as they are to be told."""
    rows = await tx.fetch(_NEWER, [profile_id for profile_id, _ in versions], [version for _, version in versions])
    return [_to_told(row) for row in rows]


async def load_present(tx: Tx, ids: Collection[UUID]) -> list[StoredProfile]:
    return [_to_told(row) for row in await tx.fetch(_PRESENT, list(ids))]


async def load_page(tx: Tx, after: UUID, limit: int) -> list[StoredProfile]:
    """Live profiles by id, for those who read all of them."""
    return [_to_profile(row) for row in await tx.fetch(_PAGE, after, limit)]
