"""What must be true when everything has come to rest. Each broken promise is a sentence; none means the run was right."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from services.profile.domain.graph import compute_profile_id
from services.profile.store.graph import decode_nodes
from tests.model.engine import Database
from tests.model.world import Command, Fragment, Profile, Record, World
from tests.unit.profile.plain_identity import START, PlainIdentity, fragment_of

FELL_OVER = "a transaction was handed profiles and fragments that don't fit together"
LOST = "a touchpoint is in no fragment"
TWICE = "a touchpoint was folded twice"
DISAGREE = "fragments and profiles disagree on who belongs where"
WRONG_GROUPS = "the profiles are not what a plain reading of the same commits gives"
TWO_USERS = "a profile has two users"
TOGETHER = "two identifiers that a ban keeps apart are one profile's"
STRAY_ID = "a profile has lost the identifier that founded it"
NOBODYS_ID = "an absorbed profile's row leads elsewhere than its founding identifier"
DONE_TWICE = "a command was carried out twice"
WRONG_SNAPSHOT = "the highest version published of a profile is not what it is"
AMBIGUOUS = "one version of a profile was published with two contents"
OLD_KEPT = "compaction keeps a version below one that was published"
NEVER_PUBLISHED = "a touchpoint was never published"
WRONG_MAP = "the subscriber's map differs from profile's"
WRONG_LEVEL = "the level of a live profile is wrong for ever"
GHOST = "an absorbed profile still has a level"
OLD_SNAPSHOT = "the subscriber keeps an old snapshot"
WRONG_LEAD = "an absorbed id leads a subscriber to somebody else"


def read_plainly(world: World) -> PlainIdentity:
    """The commits, one after the other, by the rules as the documents say them."""
    plain = PlainIdentity() if world.at_most_one_user else PlainIdentity(limits={})
    splits: dict[int, int] = {}
    for done in world.commits:
        if not isinstance(done, Command):
            for touch in done:
                plain.apply(touch)
        elif done.kind == "merge":
            plain.merge(done.one, done.other)
        elif done.kind == "split" and plain.split(done.one):
            splits[done.id] = len(plain.splits) - 1
        elif done.of in splits:
            plain.lift(splits[done.of], START + timedelta(minutes=done.at))
    return plain


def break_of_profile(world: World) -> set[str]:
    touches = {touch.id for log in world.partitions for touch in log}
    fragments = {_id_of(key): row for key, row in world.database.committed("fragment").items()}
    profiles = {_id_of(key): row for key, row in world.database.committed("profile").items()}
    broken = _break_of_graph(world, touches, fragments, profiles)
    return broken | _break_of_log(world.changes.records, world.changes.compacted(), fragments, profiles, touches)


def _id_of(key: Sequence[object]) -> UUID:
    assert isinstance(key[1], UUID)
    return key[1]


def _break_of_graph(
    world: World, touches: set[UUID], fragments: Mapping[UUID, Fragment], profiles: Mapping[UUID, Profile]
) -> set[str]:
    broken: set[str] = set()
    folded = [touch for fragment in fragments.values() for touch in fragment.folded]
    if set(folded) != touches:
        broken.add(LOST)
    if len(folded) > len(set(folded)) or any(one.times_folded > len(one.folded) for one in fragments.values()):
        broken.add(TWICE)
    by_fragment: dict[UUID, set[UUID]] = {}
    for id_, fragment in fragments.items():
        by_fragment.setdefault(fragment.profile, set()).add(id_)
    live = {id_: row for id_, row in profiles.items() if row.members}
    if by_fragment != {id_: set(row.members) for id_, row in live.items()}:
        broken.add(DISAGREE)
    if any(row.founding not in row.members or id_ != compute_profile_id(row.founding) for id_, row in live.items()):
        broken.add(STRAY_ID)
    if any(_follow(profiles, id_) != fragments[row.founding].profile for id_, row in profiles.items()):
        broken.add(NOBODYS_ID)
    return broken | _break_of_groups(world, live)


def _break_of_groups(world: World, live: Mapping[UUID, Profile]) -> set[str]:
    broken: set[str] = set()
    plain = read_plainly(world)
    groups = {frozenset(fragment_of(plain.nodes[node], *node) for node in group) for group in plain.groups()}
    if {frozenset(row.members) for row in live.values()} != groups:
        broken.add(WRONG_GROUPS)
    if world.at_most_one_user and any(_count_users(row) > 1 for row in live.values()):
        broken.add(TWO_USERS)
    if any(_is_banned_within(row) for row in live.values()):
        broken.add(TOGETHER)
    done = [command.id for command in world.commits if isinstance(command, Command)]
    if len(done) > len(set(done)):
        broken.add(DONE_TWICE)
    return broken


def _follow(profiles: Mapping[UUID, Profile], id_: UUID) -> UUID:
    """To the end of the pointers; in a broken world they may go round."""
    for _ in profiles:
        root = profiles[id_].absorbed_into
        if root is None:
            break
        id_ = root
    return id_


def _count_users(row: Profile) -> int:
    return sum(node.kind == "user_id" for node in decode_nodes(row.nodes))


def _is_banned_within(row: Profile) -> bool:
    return any(ban.until_us is None and ban.fragment in row.members for node in decode_nodes(row.nodes) for ban in node.bans)


def _break_of_log(
    records: Sequence[Record],
    compacted: Sequence[Record],
    fragments: Mapping[UUID, Fragment],
    profiles: Mapping[UUID, Profile],
    touches: set[UUID],
) -> set[str]:
    broken: set[str] = set()
    highest: dict[UUID, Record] = {}
    contents: dict[tuple[UUID, int], tuple[object, object]] = {}
    for record in records:
        content = (record.snapshot, record.members)
        if contents.setdefault((record.profile, record.version), content) != content:
            broken.add(AMBIGUOUS)
        if record.profile not in highest or record.version >= highest[record.profile].version:
            highest[record.profile] = record
    for id_, row in profiles.items():
        if row.version:
            told = highest.get(id_)
            content_now = frozenset[UUID]().union(*(fragments[one].folded for one in row.members if one in fragments))
            if told is None or told.snapshot != content_now or told.members.keys() != row.members:
                broken.add(WRONG_SNAPSHOT)
    if any(record.version < highest[record.profile].version for record in compacted):
        broken.add(OLD_KEPT)
    if not {touch for record in records for touch, _ in record.applied} >= touches:
        broken.add(NEVER_PUBLISHED)
    return broken


def break_of_subscriber(world: World, database: Database, *, has_facts: bool = True) -> set[str]:
    """`has_facts` False: one that joined late, on the compacted log, which holds no old touchpoints."""
    broken: set[str] = set()
    fragments = {_id_of(key): row for key, row in world.database.committed("fragment").items()}
    shown = {_id_of(key): row for key, row in world.database.committed("profile").items() if row.version}
    known = {_id_of(key): row[0] for key, row in database.committed("map").items()}
    members = {one for row in shown.values() for one in row.members}
    if known != {one: fragments[one].profile for one in members}:
        broken.add(WRONG_MAP)
    levels = {_id_of(key): level for key, level in database.committed("level").items()}
    for id_, row in shown.items():
        content = frozenset[UUID]().union(*(fragments[one].folded for one in row.members))
        if has_facts and levels.get(id_, 0) != len(content):
            broken.add(WRONG_LEVEL)
        snapshot = database.rows.get(("snapshot", id_), (0, None, None))
        if snapshot[1] != content:
            broken.add(OLD_SNAPSHOT)
        if known.get(snapshot[2]) != fragments[row.founding].profile:
            broken.add(WRONG_LEAD)
    if levels.keys() - {id_ for id_, row in shown.items() if row.members}:
        broken.add(GHOST)
    return broken
