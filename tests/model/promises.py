"""What must be true when everything has come to rest. Each broken promise is a sentence; none means the run was right."""

from collections.abc import Iterable, Mapping, Sequence

from tests.model.engine import Database
from tests.model.profile import Fragment, Profile, Record, Touchpoint, World, users_among

LOST = "a touchpoint is in no fragment"
TWICE = "a touchpoint was folded twice"
DISAGREE = "fragments and profiles disagree on who belongs where"
WRONG_GROUPS = "the profiles are not the connected groups of identifiers"
TWO_USERS = "a profile has two users"
WRONG_SNAPSHOT = "the highest version published of a profile is not what it is"
AMBIGUOUS = "one version of a profile was published with two contents"
OLD_KEPT = "compaction keeps a version below one that was published"
NEVER_PUBLISHED = "a touchpoint was never published"
WRONG_MAP = "the subscriber's map differs from profile's"
WRONG_LEVEL = "the level of a live profile is wrong for ever"
GHOST = "an absorbed profile still has a level"
OLD_SNAPSHOT = "the subscriber keeps an old snapshot"


def group_plainly(touchpoints: Iterable[Touchpoint]) -> set[frozenset[str]]:
    """Connected groups of identifiers, one link after the other."""
    groups: list[frozenset[str]] = []
    for touchpoint in touchpoints:
        named = frozenset(touchpoint.names)
        joined = [group for group in groups if group & named]
        groups = [group for group in groups if not group & named] + [named.union(*joined)]
    return set(groups)


def break_of_profile(world: World) -> set[str]:
    touchpoints = {touchpoint.id: touchpoint for log in world.partitions for touchpoint in log}
    fragments: dict[str, Fragment] = {str(key[1]): row for key, row in world.database.committed("fragment").items()}
    profiles: dict[int, Profile] = {int(str(key[1])): row for key, row in world.database.committed("profile").items()}
    live = {profile_id: profile for profile_id, profile in profiles.items() if profile.members}
    broken: set[str] = set()
    for touchpoint in touchpoints.values():
        own = fragments.get(touchpoint.names[0])
        if own is None or touchpoint.id not in own.folded:
            broken.add(LOST)
    if any(fragment.times_folded > len(fragment.folded) for fragment in fragments.values()):
        broken.add(TWICE)
    by_fragment: dict[int, set[str]] = {}
    for name, fragment in fragments.items():
        by_fragment.setdefault(fragment.profile, set()).add(name)
    if by_fragment != {profile_id: set(profile.members) for profile_id, profile in live.items()}:
        broken.add(DISAGREE)
    if world.at_most_one_user:
        together = [*by_fragment.values(), *(profile.members for profile in live.values())]
        if any(len(users_among(names)) > 1 for names in together):
            broken.add(TWO_USERS)
    elif {frozenset(names) for names in by_fragment.values()} != group_plainly(touchpoints.values()):
        broken.add(WRONG_GROUPS)
    return broken | _break_of_log(world.changes.records, world.changes.compacted(), fragments, live, touchpoints)


def _break_of_log(
    records: Sequence[Record],
    compacted: Sequence[Record],
    fragments: Mapping[str, Fragment],
    live: Mapping[int, Profile],
    touchpoints: Mapping[int, Touchpoint],
) -> set[str]:
    broken: set[str] = set()
    highest: dict[int, Record] = {}
    contents: dict[tuple[int, int], frozenset[int]] = {}
    for record in records:
        if contents.setdefault((record.profile, record.version), record.snapshot) != record.snapshot:
            broken.add(AMBIGUOUS)
        if record.profile not in highest or record.version >= highest[record.profile].version:
            highest[record.profile] = record
    for profile_id, profile in live.items():
        content = frozenset[int]().union(*(fragments[name].folded for name in profile.members if name in fragments))
        if profile_id not in highest or highest[profile_id].snapshot != content:
            broken.add(WRONG_SNAPSHOT)
    if any(record.version < highest[record.profile].version for record in compacted):
        broken.add(OLD_KEPT)
    if not {touchpoint for record in records for touchpoint, _ in record.applied} >= touchpoints.keys():
        broken.add(NEVER_PUBLISHED)
    return broken


def break_of_subscriber(world: World, database: Database, *, has_facts: bool = True) -> set[str]:
    """`has_facts` False: one that joined late, on the compacted log, which holds no old touchpoints."""
    broken: set[str] = set()
    profiles = {key[1]: row for key, row in world.database.committed("profile").items() if row.members}
    for key, fragment in world.database.committed("fragment").items():
        if database.rows.get(("map", key[1]), (None,))[0] != fragment.profile:
            broken.add(WRONG_MAP)
    levels = {key[1]: level for key, level in database.committed("level").items()}
    for profile_id, profile in profiles.items():
        content = frozenset[int]().union(*(world.database.rows["fragment", name].folded for name in profile.members))
        if has_facts and levels.get(profile_id, 0) != len(content):
            broken.add(WRONG_LEVEL)
        if database.rows.get(("snapshot", profile_id), (0, None))[1] != content:
            broken.add(OLD_SNAPSHOT)
    if levels.keys() - profiles.keys():
        broken.add(GHOST)
    return broken
