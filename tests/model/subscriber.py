"""A service that follows the changes: facts by fragment, its own map of who belongs to whom, one judged level per profile.

The level is the number of touchpoints of the profile: a value that is only right if facts, map and merges all are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

from tests.model.engine import Database, Group, Scheduler, Steps, Transaction, Weather, in_transaction
from tests.model.world import PARTITIONS, Record


@dataclass(frozen=True)
class Rules:
    """The subscriber's rules. Each False is a variant somebody might think good enough."""

    lock_fragments: bool = True
    """All fragments of a record are locked, sorted, before anything is applied."""
    lock_profiles: bool = True
    """All profiles to be judged are locked, sorted, before they are judged."""
    judge_before_and_after: bool = True
    """Every profile that the fragments belonged to before and belong to now is judged, not just the record's own."""
    membership_by_version: bool = True
    """A membership is taken only if it is higher than the one known."""
    snapshot_by_version: bool = True
    """A snapshot is taken only if its version is higher than the one known."""
    touchpoints_by_id: bool = True
    """A touchpoint counts once, whichever records bring it."""


def run_subscriber(records: Sequence[Record], rules: Rules, rng: Random, weather: Weather) -> Database:
    """Follow the log to its end, from two partitions by key."""
    database = Database()
    partitions = [[record for record in records if record.profile.int % PARTITIONS == number] for number in range(PARTITIONS)]

    def work(group: Group, partition: int, generation: int) -> Steps[None]:
        log, position = partitions[partition], group.offsets[partition]
        while position < len(log) and group.owns(partition, generation):
            batch = log[position : position + rng.choice([1, 2])]
            yield
            yield from in_transaction(database, lambda tx, batch=batch: _follow(tx, batch, rules))  # type: ignore[misc]
            position += len(batch)
            group.commit_offset(partition, generation, position)
            yield

    Scheduler(Group(work, [len(log) for log in partitions]), rng, weather).run(lambda: True)
    return database


def _follow(tx: Transaction, batch: Sequence[Record], rules: Rules) -> Steps[None]:
    fragments = sorted({name for record in batch for name in (*record.members, *(own for _, own in record.applied))})
    if rules.lock_fragments:
        for name in fragments:
            yield from tx.lock(("map", name))
    before = {name: tx.read(("map", name)) for name in fragments}
    yield
    for record in batch:
        yield from _take_facts(tx, record, rules)
        yield from _take_snapshot(tx, record, rules)
        for name in sorted(record.members):
            known = tx.read(("map", name)) if rules.lock_fragments else before[name]
            if known is None or not rules.membership_by_version or record.members[name] > known[1]:
                yield from tx.write(("map", name), (record.profile, record.members[name]))
    yield
    affected = {record.profile for record in batch}
    if rules.judge_before_and_after:
        affected |= {known[0] for known in before.values() if known is not None}
        affected |= {known[0] for known in map(lambda name: tx.read(("map", name)), fragments) if known is not None}  # noqa: C417
    yield from _judge(tx, sorted(affected), rules)
    tx.commit()


def _take_facts(tx: Transaction, record: Record, rules: Rules) -> Steps[None]:
    for touchpoint, name in record.applied:
        times = tx.read(("fact", touchpoint))
        if times is None:
            if not (yield from tx.insert(("fact", touchpoint), (name, 1))) and not rules.touchpoints_by_id:
                yield from _count_again(tx, touchpoint)
        elif not rules.touchpoints_by_id:
            yield from _count_again(tx, touchpoint)


def _count_again(tx: Transaction, touchpoint: UUID) -> Steps[None]:
    yield from tx.lock(("fact", touchpoint))
    name, times = tx.read(("fact", touchpoint))
    yield from tx.write(("fact", touchpoint), (name, times + 1))


def _take_snapshot(tx: Transaction, record: Record, rules: Rules) -> Steps[None]:
    key = ("snapshot", record.profile)
    yield from tx.lock(key)
    known = tx.read(key)
    if known is None or not rules.snapshot_by_version or record.version > known[0]:
        yield from tx.write(key, (record.version, record.snapshot, record.founding))


def _judge(tx: Transaction, profiles: Sequence[UUID], rules: Rules) -> Steps[None]:
    if rules.lock_profiles:
        for profile in profiles:
            yield from tx.lock(("level", profile))
    for profile in profiles:
        members = {key[1] for key, (owner, _) in tx.read_all("map").items() if owner == profile}
        yield
        level = sum(times for name, times in tx.read_all("fact").values() if name in members)
        yield
        yield from tx.write(("level", profile), level if members else None)
