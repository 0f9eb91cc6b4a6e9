"""Profile's part of the protocol: the batch transaction, and publishing through the outbox."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from tests.model.engine import Database, Group, Scheduler, Steps, Transaction, Weather, in_transaction

PARTITIONS = 4


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


@dataclass(frozen=True)
class Touchpoint:
    """An id and the identifiers named, strongest first."""

    id: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Fragment:
    profile: int
    membership: int = 1
    folded: frozenset[int] = frozenset()
    times_folded: int = 0


@dataclass(frozen=True)
class Profile:
    version: int = 0
    members: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Record:
    """A profile change as published: every member with its membership, what was applied, and the whole content."""

    profile: int
    version: int
    members: Mapping[str, int]
    applied: tuple[tuple[int, str], ...]
    snapshot: frozenset[int]


@dataclass
class Changes:
    """The changes topic, in the order of its offsets, and which profile ids exist."""

    records: list[Record] = field(default_factory=list)

    def compacted(self) -> list[Record]:
        """What a compacted topic keeps: the last offset of each key."""
        return list({record.profile: record for record in self.records}.values())


@dataclass
class World:
    rules: Rules
    rng: Random
    partitions: list[list[Touchpoint]]
    at_most_one_user: bool
    database: Database = field(default_factory=Database)
    changes: Changes = field(default_factory=Changes)
    ids: Iterable[int] = field(default_factory=lambda: count(1))

    def next_id(self) -> int:
        return next(iter(self.ids))


def users_among(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("user")]


def run_profile(world: World, weather: Weather) -> None:
    """Workers over all partitions until every touchpoint is applied and every outbox row published."""
    group = Group(
        lambda group, partition, generation: _work(world, group, partition, generation), [len(p) for p in world.partitions]
    )
    Scheduler(group, world.rng, weather, lambda: _sweep(world)).run(lambda: not world.database.committed("outbox"))


def _work(world: World, group: Group, partition: int, generation: int) -> Steps[None]:
    """Poll, one transaction a poll, publish, commit the offset."""
    log, position = world.partitions[partition], group.offsets[partition]
    while position < len(log) and group.owns(partition, generation):
        batch = log[position : position + world.rng.choice([1, 2, 3])]
        yield  # polled: a process that stands still here comes back as a zombie with old records in hand
        staged, records = yield from in_transaction(world.database, lambda tx, batch=batch: _apply(world, tx, batch))  # type: ignore[misc]
        yield
        if world.rules.outbox:
            yield from _publish(world, staged, records)
        else:
            yield from _append(world, records)
        position += len(batch)
        group.commit_offset(partition, generation, position)
        yield


def _apply(world: World, tx: Transaction, batch: Sequence[Touchpoint]) -> Steps[tuple[int, tuple[Record, ...]]]:
    """The batch transaction, in the protocol's order."""
    rules = world.rules
    if rules.dedupe_first:
        fresh = yield from _insert_ids(tx, batch)
    else:
        fresh = _take_once(batch, [touchpoint.id for touchpoint in batch if tx.read(("id", touchpoint.id)) is None])
    yield
    names = sorted({name for touchpoint in fresh for name in touchpoint.names})
    for name in names:
        profile = world.next_id()
        if (yield from tx.insert(("fragment", name), Fragment(profile))):
            yield from tx.write(("profile", profile), Profile(members=frozenset([name])))
    early = None if rules.load_after_locks else _load(tx, names)
    yield
    if rules.lock_roots:
        yield from _lock_roots(tx, names, reread=rules.reread_roots)
    else:
        for name in names:
            yield from tx.lock(("fragment", name))
    fragments, profiles = _load(tx, names) if early is None else early
    yield
    applied = _fold(fresh, fragments, profiles, at_most_one_user=world.at_most_one_user)
    if not rules.dedupe_first:
        yield from _insert_ids(tx, fresh)
    records = yield from _save(tx, fragments, profiles, applied)
    staged = world.next_id()
    if records and rules.outbox:
        yield from tx.write(("outbox", staged), records)
    tx.commit()
    return staged, records


def _insert_ids(tx: Transaction, batch: Sequence[Touchpoint]) -> Steps[list[Touchpoint]]:
    """In the order of ids, so that two batches never wait in a circle. Returns the new ones as they came, once each."""
    fresh: set[int] = set()
    for number in sorted({touchpoint.id for touchpoint in batch}):
        if (yield from tx.insert(("id", number), "applied")):
            fresh.add(number)
    return _take_once(batch, fresh)


def _take_once(batch: Sequence[Touchpoint], wanted: Container[int]) -> list[Touchpoint]:
    return list({touchpoint.id: touchpoint for touchpoint in batch if touchpoint.id in wanted}.values())


def _lock_roots(tx: Transaction, names: Sequence[str], *, reread: bool) -> Steps[None]:
    while True:
        mark = tx.savepoint()
        roots = {tx.read(("fragment", name)).profile for name in names}
        yield
        for root in sorted(roots):
            yield from tx.lock(("profile", root))
        if not reread or roots == {tx.read(("fragment", name)).profile for name in names}:
            return
        tx.release_since(mark)
        yield


Fragments = dict[str, Fragment]
Profiles = dict[int, Profile]


def _load(tx: Transaction, names: Sequence[str]) -> tuple[Fragments, Profiles]:
    """The profiles of the fragments named, with all their fragments, as one statement sees them."""
    fragments: Fragments = {name: tx.read(("fragment", name)) for name in names}
    profiles: Profiles = {fragment.profile: tx.read(("profile", fragment.profile)) for fragment in fragments.values()}
    for profile in profiles.values():
        for member in profile.members:
            fragments.setdefault(member, tx.read(("fragment", member)))
    return fragments, profiles


def _fold(
    fresh: Sequence[Touchpoint], fragments: Fragments, profiles: Profiles, *, at_most_one_user: bool
) -> dict[int, list[tuple[int, str]]]:
    """Pure: links and folds in place. Returns every profile touched with what was applied to it."""
    applied: dict[int, list[tuple[int, str]]] = {}
    for touchpoint in fresh:
        strongest, *others = touchpoint.names
        for other in others:
            keep, drop = sorted((fragments[strongest].profile, fragments[other].profile))
            united = profiles[keep].members | profiles[drop].members
            if keep == drop or (at_most_one_user and len(users_among(united)) > 1):
                continue
            for member in profiles[drop].members:
                fragments[member] = replace(fragments[member], profile=keep, membership=fragments[member].membership + 1)
            profiles[keep] = replace(profiles[keep], members=united)
            profiles[drop] = replace(profiles[drop], members=frozenset())
            applied.setdefault(keep, []).extend(applied.get(drop, []))
            applied[drop] = []
        own = fragments[strongest]
        fragments[strongest] = replace(own, folded=own.folded | {touchpoint.id}, times_folded=own.times_folded + 1)
        applied.setdefault(own.profile, []).append((touchpoint.id, strongest))
    for profile_id, profile in profiles.items():
        if profile.version == 0:
            applied.setdefault(profile_id, [])  # an identifier's first mention is a change even if it was only refused
    return applied


def _save(
    tx: Transaction, fragments: Fragments, profiles: Profiles, applied: Mapping[int, Sequence[tuple[int, str]]]
) -> Steps[tuple[Record, ...]]:
    for name in sorted(fragments):
        if tx.read(("fragment", name)) != fragments[name]:
            yield from tx.write(("fragment", name), fragments[name])
    records: list[Record] = []
    for profile_id in sorted(applied):
        yield from tx.lock(("profile", profile_id))
        version = tx.read(("profile", profile_id)).version + 1  # SET version = version + 1, on the locked row
        profile = replace(profiles[profile_id], version=version)
        yield from tx.write(("profile", profile_id), profile)
        records.append(_describe(profile_id, profile, fragments, tuple(applied[profile_id])))
    return tuple(records)


def _describe(
    profile_id: int, profile: Profile, fragments: Mapping[str, Fragment], applied: tuple[tuple[int, str], ...]
) -> Record:
    members = {name: fragments[name].membership for name in profile.members}
    snapshot = frozenset[int]().union(*(fragments[name].folded for name in profile.members))
    return Record(profile_id, profile.version, members, applied, snapshot)


def _current(world: World, record: Record) -> Record:
    """The record as the database would tell it now, with the touchpoints of the old one."""
    rows = world.database.rows
    profile: Profile = rows["profile", record.profile]
    fragments = {name: rows["fragment", name] for name in profile.members}
    return _describe(record.profile, profile, fragments, record.applied)


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
