"""Who a profile id is now, for those who act without a record of the profile in hand: commands, and records of other topics."""

from collections.abc import Iterable
from typing import Final, NamedTuple
from uuid import UUID

from libs.kit.db import Tx
from libs.subscriber.changes import Affected
from libs.subscriber.store import load_members, lock_profiles

_LOCK_TRIES: Final = 8
_STANDING: Final = """
SELECT asked.id, p.version, founder.profile_id, EXISTS (SELECT FROM sub_dead d WHERE d.id = asked.id)
FROM unnest($1::uuid[]) AS asked (id)
LEFT JOIN sub_profiles p ON p.profile_id = asked.id
LEFT JOIN sub_fragments founder ON founder.fragment = p.founding
"""


class Standing(NamedTuple):
    """`version`: the highest seen of this id. `root`: the profile that has its founding fragment now. None: not known yet."""

    version: int | None
    root: UUID | None
    is_dead: bool


async def find_standing(tx: Tx, profile_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    rows = await tx.fetch(_STANDING, sorted(set(profile_ids)))
    return {row[0]: Standing(row[1], row[2], row[3]) for row in rows}


async def lock_roots(tx: Tx, profile_ids: Iterable[UUID]) -> dict[UUID, Affected]:
    """The profiles these ids stand for now, locked and read under the lock, by the id asked for; unknown ones are missing.

    Asked again where a profile was absorbed while its lock was waited for.
    """
    asked = sorted(set(profile_ids))
    found: dict[UUID, Affected] = {}
    for _ in range(_LOCK_TRIES):
        before = _roots(await find_standing(tx, asked))
        locked = await lock_profiles(tx, before.values())
        members = await load_members(tx, sorted(locked))
        after = _roots(await find_standing(tx, asked))
        found = {
            profile_id: Affected(
                profile_id=root,
                version=locked[root].version,
                fragments=tuple(members[root]),
                snapshot=locked[root].snapshot,
                changes=(),
                membership_changed=False,
                probe=False,
            )
            for profile_id, root in after.items()
            if root in locked and members[root]
        }
        if before == after:
            break
    return found


def _roots(standings: dict[UUID, Standing]) -> dict[UUID, UUID]:
    return {profile_id: standing.root for profile_id, standing in standings.items() if standing.root is not None}
