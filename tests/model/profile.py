"""Profile's part of the protocol: the batch transaction, commands of identity, and publishing through the outbox.

What is decided under the locks is decided by the service's own pure functions; everything around them is the model's.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from random import Random
from uuid import UUID

from libs.kit.times import to_micros
from services.profile.domain.graph import Graph, Group, Node, compute_profile_id
from services.profile.domain.identity import Rules as IdentityRules
from services.profile.domain.regrouping import (
    Refused,
    find_live,
    is_only_identifier,
    join_profiles,
    lift_bans,
    part_profile,
)
from services.profile.store.graph import decode_nodes, encode_nodes
from tests.model import engine
from tests.model.engine import Database, Scheduler, Steps, Transaction, Weather, in_transaction
from tests.unit.profile.plain_identity import START, Touch, fragment_of

PARTITIONS = 4
COMMANDS = PARTITIONS
"""The place of those who carry out commands: like a partition, its owner may be killed in the middle and come again."""
KINDS = {"u": "user_id", "e": "email", "d": "anonymous_id"}


@dataclass(frozen=True)
class Rules:
    """The rules of the protocol. Each False is a variant somebody might think good enough."""

    dedupe_first: bool = True
    """Touchpoint ids are inserted before anything is read: a copy elsewhere waits, and then sees that it is one."""
    lock_roots: bool = True
    """The profile rows of all fragments named are locked, not just the fragments."""
    reread_roots: bool = True
    """After the locks, fragment -> profile is read again, and all begins anew if it changed."""
    load_after_locks: bool = True
    """Nothing read before the locks is folded on."""
    outbox: bool = True
    """What is to be published commits with the effects."""
    compare_after_publish: bool = True
    """The row is deleted only when no profile in it has a higher version than was published."""
    hold_while_publishing: bool = True
    """The publisher keeps the row locked; others skip it."""
    number_fits_content: bool = True
    """A record rebuilt after a crash carries the current version with the current content."""
    claim_key: bool = True
    """A command inserts its key in its own transaction: asked for again, it isn't done again."""
    lock_commands: bool = True
    """A command locks the profiles it names, as a batch does."""
    reread_commands: bool = True
    """After its locks a command reads again whom it named, and begins anew if that changed."""
    tell_both_parts: bool = True
    """A split tells the part that left as well as the one that stayed."""
    tell_absorbed: bool = True
    """A profile that became another's tells that nobody belongs to it any more."""


@dataclass(frozen=True)
class Command:
    """`merge` of two identifiers' profiles, `split` of one off its own, or `lift` of the ban of the command `of`.

    `at`: minutes after the start; a link received until a lifting stays void.
    """

    id: int
    kind: str
    one: str = ""
    other: str = ""
    of: int = -1
    at: int = 0


@dataclass(frozen=True)
class Fragment:
    profile: UUID
    folded: frozenset[UUID] = frozenset()
    times_folded: int = 0


@dataclass(frozen=True)
class Profile:
    founding: UUID
    founded: int
    version: int = 0
    nodes: bytes = encode_nodes([])
    members: frozenset[UUID] = frozenset()
    absorbed_into: UUID | None = None


@dataclass(frozen=True)
class Record:
    """A profile change as published: every member with its membership, what was applied, and the whole content."""

    profile: UUID
    version: int
    founding: UUID
    members: Mapping[UUID, int]
    applied: tuple[tuple[UUID, UUID], ...]
    snapshot: frozenset[UUID]
    absorbed_into: UUID | None = None


@dataclass
class Changes:
    """The changes topic, in the order of its offsets, and which profile ids exist."""

    records: list[Record] = field(default_factory=list)

    def compacted(self) -> list[Record]:
        """What a compacted topic keeps: the last offset of each key."""
        return list({record.profile: record for record in self.records}.values())


@dataclass
class World:
    """`commits`: batches and commands in the order in which they were committed, which nobody in the world can see."""

    rules: Rules
    rng: Random
    partitions: list[list[Touch]]
    at_most_one_user: bool
    commands: list[Command] = field(default_factory=list)
    database: Database = field(default_factory=Database)
    changes: Changes = field(default_factory=Changes)
    commits: list[tuple[Touch, ...] | Command] = field(default_factory=list)
    ids: Iterable[int] = field(default_factory=lambda: count(1))

    def next_id(self) -> int:
        return next(iter(self.ids))

    @property
    def identity_rules(self) -> IdentityRules:
        return IdentityRules({"user_id": 1} if self.at_most_one_user else {})


Groups = dict[UUID, Group[Touch]]


def run_profile(world: World, weather: Weather) -> None:
    """Workers over all partitions until every touchpoint is applied, every command done and every outbox row published."""
    ends = [*map(len, world.partitions), len(world.commands)]
    group = engine.Group(lambda group, partition, generation: _work(world, group, partition, generation), ends)
    Scheduler(group, world.rng, weather, lambda: _sweep(world)).run(lambda: not world.database.committed("outbox"))


def _work(world: World, group: engine.Group, partition: int, generation: int) -> Steps[None]:
    """Poll, one transaction a poll or a command, publish, commit the offset."""
    log: Sequence[Touch | Command] = world.commands if partition == COMMANDS else world.partitions[partition]
    position = group.offsets[partition]
    while position < len(log) and group.owns(partition, generation):
        batch = log[position : position + (1 if partition == COMMANDS else world.rng.choice([1, 2, 3]))]
        yield  # polled: a process that stands still here comes back as a zombie with old records in hand
        staged, records = yield from in_transaction(world.database, lambda tx, batch=batch: _change(world, tx, batch))  # type: ignore[misc]
        yield
        if world.rules.outbox:
            yield from _publish(world, staged, records)
        else:
            yield from _append(world, records)
        position += len(batch)
        group.commit_offset(partition, generation, position)
        yield


def _change(world: World, tx: Transaction, batch: Sequence[Touch | Command]) -> Steps[tuple[int, tuple[Record, ...]]]:
    first = batch[0]
    if isinstance(first, Command):
        records = yield from _command(world, tx, first)
        done: tuple[Touch, ...] | Command = first
    else:
        done, records = yield from _apply(world, tx, batch)  # type: ignore[arg-type]
    staged = world.next_id()
    if records and world.rules.outbox:
        yield from tx.write(("outbox", staged), records)
    tx.commit()
    if records is not None:
        world.commits.append(done)
    return staged, records or ()


# Touchpoints


def _apply(world: World, tx: Transaction, batch: Sequence[Touch]) -> Steps[tuple[tuple[Touch, ...], tuple[Record, ...]]]:
    """The batch transaction, in the protocol's order."""
    rules = world.rules
    if rules.dedupe_first:
        fresh = yield from _insert_ids(tx, batch)
    else:
        fresh = _take_once(batch, [touch.id for touch in batch if tx.read(("id", touch.id)) is None])
    yield
    named = {one.fragment: one for touch in fresh for one in (*touch.identifiers, *touch.previous)}
    missing: list[UUID] = []
    for address in sorted(named):
        if (yield from tx.insert(("fragment", address), Fragment(compute_profile_id(address)))):
            missing.append(address)  # noqa: PERF401 - a comprehension can't yield
    groups = yield from _open(rules, tx, sorted(named.keys() - set(missing)))
    base = world.next_id() << 10
    yield
    graph: Graph[Touch] = Graph(world.identity_rules, fragment_of)
    for group in groups.values():
        graph.add_group(group)
    for address in missing:
        node = Node(address, named[address].kind, named[address].value, address)
        graph.add_group(Group(compute_profile_id(address), address, base, {address: node}))
    for place, touch in enumerate(fresh):
        graph.apply(base + place, touch)
    if not rules.dedupe_first:
        yield from _insert_ids(tx, fresh)
    for epoch in graph.epochs:
        yield from tx.write(("epoch", epoch.address), epoch.node.fragment)
    told = [group for group in graph.groups() if group.is_told]
    silent = [group for group in graph.groups() if not group.is_told]
    records = yield from _save(world, tx, told, [*silent, *graph.dissolved])
    return tuple(fresh), records


def _open(rules: Rules, tx: Transaction, known: Sequence[UUID]) -> Steps[Groups]:
    early = None if rules.load_after_locks else _load(tx, {_owner(tx, _live(tx, address)) for address in known})
    yield
    if rules.lock_roots:
        yield from _lock_roots(tx, known, reread=rules.reread_roots)
    else:
        for address in known:
            yield from tx.lock(("fragment", address))
    return _load(tx, {_owner(tx, _live(tx, address)) for address in known}) if early is None else early


def _insert_ids(tx: Transaction, batch: Sequence[Touch]) -> Steps[list[Touch]]:
    """In the order of ids, so that two batches never wait in a circle. Returns the new ones as they came, once each."""
    fresh: set[UUID] = set()
    for id_ in sorted({touch.id for touch in batch}):
        if (yield from tx.insert(("id", id_), "applied")):
            fresh.add(id_)
    return _take_once(batch, fresh)


def _take_once(batch: Sequence[Touch], wanted: Container[UUID]) -> list[Touch]:
    return list({touch.id: touch for touch in batch if touch.id in wanted}.values())


def _live(tx: Transaction, address: UUID) -> UUID:
    live: UUID = tx.read(("epoch", address)) or address
    return live


def _owner(tx: Transaction, fragment: UUID) -> UUID:
    owner: UUID = tx.read(("fragment", fragment)).profile
    return owner


def _lock_roots(tx: Transaction, addresses: Sequence[UUID], *, reread: bool) -> Steps[None]:
    while True:
        mark = tx.savepoint()
        located = {address: _live(tx, address) for address in addresses}
        roots = {_owner(tx, fragment) for fragment in located.values()}
        yield
        for root in sorted(roots):
            yield from tx.lock(("profile", root))
        now = {address: _live(tx, address) for address in addresses}
        if not reread or (now == located and roots == {_owner(tx, fragment) for fragment in now.values()}):
            return
        tx.release_since(mark)
        yield


def _load(tx: Transaction, profiles: Iterable[UUID]) -> Groups:
    """The profiles with all their nodes, as one statement sees them."""
    groups: Groups = {}
    for profile_id in sorted(profiles):
        row: Profile | None = tx.read(("profile", profile_id))
        if row is not None:
            nodes = {node.fragment: node for node in decode_nodes(row.nodes)}
            known: Group[Touch] = Group(profile_id, row.founding, row.founded, nodes, row.version, stored=True)
            known.members_before = tuple(nodes)
            groups[profile_id] = known
    return groups


# Commands


def _command(world: World, tx: Transaction, command: Command) -> Steps[tuple[Record, ...] | None]:
    """None: refused, nobody there, or done before. Nothing is kept of it then."""
    if world.rules.claim_key:
        if not (yield from tx.insert(("key", command.id), "claimed")):
            return None
    else:
        yield
    if command.kind == "lift":
        return (yield from _lift(world, tx, command))
    targets = [command.one, command.other] if command.kind == "merge" else [command.one]
    groups = yield from _lock_targets(world, tx, targets, with_founded=command.kind == "split")
    if groups is None:
        tx.rollback()
        return None
    if command.kind == "merge":
        return (yield from _merge(world, tx, command, groups))
    return (yield from _split(world, tx, command, groups))


def _lock_targets(world: World, tx: Transaction, targets: Sequence[str], *, with_founded: bool) -> Steps[Groups | None]:
    """The targets' profiles, and for a split the rows that their fragments founded once, under their locks."""
    while True:
        mark = tx.savepoint()
        before = _find(tx, targets, with_founded=with_founded)
        yield
        if before is None:
            return None
        if world.rules.lock_commands:
            for profile_id in sorted(before[1]):
                yield from tx.lock(("profile", profile_id))
        if not world.rules.reread_commands or _find(tx, targets, with_founded=with_founded) == before:
            return _load(tx, before[1])
        tx.release_since(mark)
        yield


def _find(tx: Transaction, targets: Sequence[str], *, with_founded: bool) -> tuple[list[UUID], set[UUID]] | None:
    fragments = [_live(tx, fragment_of(KINDS[name[0]], name)) for name in targets]
    if any(tx.read(("fragment", fragment)) is None for fragment in fragments):
        return None
    rows = {_owner(tx, fragment) for fragment in fragments}
    if with_founded:
        members = {member for root in rows for member in tx.read(("profile", root)).members}
        rows |= {compute_profile_id(member) for member in members}
    return fragments, rows


def _pick(groups: Groups, name: str) -> tuple[Group[Touch], Node] | None:
    for group in groups.values():
        node = find_live(group, KINDS[name[0]], name)
        if node is not None and group.is_born:
            return group, node
    return None


def _merge(world: World, tx: Transaction, command: Command, groups: Groups) -> Steps[tuple[Record, ...] | None]:
    one, other = _pick(groups, command.one), _pick(groups, command.other)
    at_us = to_micros(START + timedelta(minutes=command.at))
    joined = join_profiles(one[0], other[0], world.identity_rules, at_us) if one and other and one[0] is not other[0] else None
    if joined is None or isinstance(joined, Refused):
        tx.rollback()
        return None
    return (yield from _save(world, tx, [joined.survivor]))


def _split(world: World, tx: Transaction, command: Command, groups: Groups) -> Steps[tuple[Record, ...] | None]:
    found = _pick(groups, command.one)
    if found is None or is_only_identifier(*found):
        tx.rollback()
        return None
    group, leaving = found
    rows = {row.founding: row for row in groups.values() if row is not group}
    parted = part_profile(group, leaving, rows, world.next_id() << 10)
    yield from tx.write(("ban", command.id), (leaving.fragment, frozenset(parted.remaining.nodes)))
    told = [parted.remaining, parted.departed] if world.rules.tell_both_parts else [parted.remaining]
    silent = [] if world.rules.tell_both_parts else [parted.departed]
    return (yield from _save(world, tx, told, silent, parted.led))


def _lift(world: World, tx: Transaction, command: Command) -> Steps[tuple[Record, ...] | None]:
    ban = tx.read(("ban", command.of))
    yield
    if ban is None:
        tx.rollback()
        return None
    fragment, against = ban
    while True:
        mark = tx.savepoint()
        owner = _owner(tx, fragment)
        yield
        if world.rules.lock_commands:
            yield from tx.lock(("profile", owner))
        if not world.rules.reread_commands or _owner(tx, fragment) == owner:
            break
        tx.release_since(mark)
        yield
    [group] = _load(tx, [owner]).values()
    yield
    lift_bans(group.nodes[fragment], against, to_micros(START + timedelta(minutes=command.at)))
    yield from tx.write(("profile", owner), replace(tx.read(("profile", owner)), nodes=encode_nodes(list(group.nodes.values()))))
    yield from tx.write(("ban", command.of), None)
    return ()


# What both write


def _save(
    world: World,
    tx: Transaction,
    groups: Sequence[Group[Touch]],
    silent: Sequence[Group[Touch]] = (),
    led: Sequence[tuple[Group[Touch], Group[Touch]]] = (),
) -> Steps[tuple[Record, ...]]:
    """Every row once. `groups` are told; `silent` change untold; `led`: rows that lead to a part from now on."""
    yield from _save_fragments(tx, [*groups, *silent])
    gone = [(one, group) for group in groups for one in group.absorbed] + list(led)
    for one, root in gone:
        one.absorbed_into = root
    told = [*groups, *(one for one, _ in gone if one.is_born)]
    records: list[Record] = []
    for group in sorted([*groups, *silent, *(one for one, _ in gone)], key=lambda one: one.id):
        group.version += any(group is one for one in told)
        root_id = _find_root(group).id if group.absorbed_into is not None else None
        nodes = encode_nodes(list(group.nodes.values()))
        row = Profile(group.founding, group.founded, group.version, nodes, frozenset(group.nodes), root_id)
        yield from tx.write(("profile", group.id), row)
        if any(group is one for one in told) and (world.rules.tell_absorbed or root_id is None):
            applied = tuple((one.touchpoint.id, one.fragment) for one in group.applied)
            records.append(_describe(tx, group.id, row, applied))
    return tuple(records)


def _find_root(group: Group[Touch]) -> Group[Touch]:
    while group.absorbed_into is not None:
        group = group.absorbed_into
    return group


def _save_fragments(tx: Transaction, groups: Iterable[Group[Touch]]) -> Steps[None]:
    rows: dict[UUID, Fragment] = {}
    for group in groups:
        for fragment in group.nodes:
            rows[fragment] = replace(tx.read(("fragment", fragment)) or Fragment(group.id), profile=group.id)
        for one in group.applied:
            row = rows[one.fragment]
            rows[one.fragment] = replace(row, folded=row.folded | {one.touchpoint.id}, times_folded=row.times_folded + 1)
    for fragment in sorted(rows):
        if tx.read(("fragment", fragment)) != rows[fragment]:
            yield from tx.write(("fragment", fragment), rows[fragment])


def _describe(tx: Transaction, profile_id: UUID, row: Profile, applied: tuple[tuple[UUID, UUID], ...]) -> Record:
    members = {node.fragment: node.membership for node in decode_nodes(row.nodes)}
    snapshot = frozenset[UUID]().union(*(tx.read(("fragment", one)).folded for one in members))
    return Record(profile_id, row.version, row.founding, members, applied, snapshot, row.absorbed_into)


# Publishing


def _current(world: World, record: Record) -> Record:
    """The record as the database would tell it now, with the touchpoints of the old one."""
    row: Profile = world.database.rows["profile", record.profile]
    return _describe(Transaction(world.database), record.profile, row, record.applied)


def _publish(world: World, staged: int, records: Sequence[Record] | None) -> Steps[None]:
    """Publish one outbox row: own records as committed; after a crash (`records` None) what is current now."""
    return (yield from in_transaction(world.database, lambda tx: _publish_row(world, tx, staged, records)))


def _publish_row(world: World, tx: Transaction, staged: int, records: Sequence[Record] | None) -> Steps[None]:
    row = ("outbox", staged)
    if world.rules.hold_while_publishing and not tx.try_lock(row):
        return
    stored: tuple[Record, ...] | None = tx.read(row)
    if stored is None:
        return
    pending = list(records if records is not None else map(lambda record: _rebuild(world, record), stored))  # noqa: C417
    yield
    while pending:
        yield from _append(world, pending)
        if not world.rules.compare_after_publish:
            break
        pending = [_current(world, one) for one in pending if world.database.rows["profile", one.profile].version > one.version]
        yield
    yield from tx.write(row, None)
    tx.commit()


def _rebuild(world: World, record: Record) -> Record:
    current = _current(world, record)
    return current if world.rules.number_fits_content else replace(current, version=record.version)


def _append(world: World, records: Sequence[Record]) -> Steps[None]:
    for record in records:
        yield  # sent, not yet in the log: a kill here loses it
        world.changes.records.append(record)
        yield  # in the log, not yet acknowledged


def _sweep(world: World) -> Steps[None]:
    """What every worker does at its start and every few seconds: look for rows that somebody left."""
    for _, staged in sorted(world.database.committed("outbox")):
        yield from _publish(world, staged, None)  # type: ignore[arg-type]
