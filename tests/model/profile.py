"""Profile's workers: polls of touchpoints and commands, each one transaction, and what they publish.

What is decided under the locks is decided by the service's own pure functions; everything around them is the model's.
"""

from collections.abc import Container, Sequence
from uuid import UUID

from services.profile.domain.graph import Graph, Group, Node, compute_profile_id
from tests.model import engine
from tests.model.commands import carry_out
from tests.model.engine import Scheduler, Steps, Transaction, Weather, in_transaction
from tests.model.publishing import append, publish, sweep
from tests.model.rows import find_live_fragment, find_owner, load_groups, save_groups
from tests.model.world import COMMANDS, Command, Fragment, Groups, Record, Rules, World
from tests.unit.profile.plain_identity import Touch, fragment_of


def run_profile(world: World, weather: Weather) -> None:
    """Workers over all partitions until every touchpoint is applied, every command done and every outbox row published."""
    ends = [*map(len, world.partitions), len(world.commands)]
    group = engine.Group(lambda group, partition, generation: _work(world, group, partition, generation), ends)
    Scheduler(group, world.rng, weather, lambda: sweep(world)).run(lambda: not world.database.committed("outbox"))


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
            yield from publish(world, staged, records)
        else:
            yield from append(world, records)
        position += len(batch)
        group.commit_offset(partition, generation, position)
        yield


def _change(world: World, tx: Transaction, batch: Sequence[Touch | Command]) -> Steps[tuple[int, tuple[Record, ...]]]:
    first = batch[0]
    if isinstance(first, Command):
        records = yield from carry_out(world, tx, first)
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
    records = yield from save_groups(world, tx, told, [*silent, *graph.dissolved])
    return tuple(fresh), records


def _open(rules: Rules, tx: Transaction, known: Sequence[UUID]) -> Steps[Groups]:
    early = (
        None
        if rules.load_after_locks
        else load_groups(tx, {find_owner(tx, find_live_fragment(tx, address)) for address in known})
    )
    yield
    if rules.lock_roots:
        yield from _lock_roots(tx, known, reread=rules.reread_roots)
    else:
        for address in known:
            yield from tx.lock(("fragment", address))
    return load_groups(tx, {find_owner(tx, find_live_fragment(tx, address)) for address in known}) if early is None else early


def _insert_ids(tx: Transaction, batch: Sequence[Touch]) -> Steps[list[Touch]]:
    """In the order of ids, so that two batches never wait in a circle. Returns the new ones as they came, once each."""
    fresh: set[UUID] = set()
    for id_ in sorted({touch.id for touch in batch}):
        if (yield from tx.insert(("id", id_), "applied")):
            fresh.add(id_)
    return _take_once(batch, fresh)


def _take_once(batch: Sequence[Touch], wanted: Container[UUID]) -> list[Touch]:
    return list({touch.id: touch for touch in batch if touch.id in wanted}.values())


def _lock_roots(tx: Transaction, addresses: Sequence[UUID], *, reread: bool) -> Steps[None]:
    while True:
        mark = tx.savepoint()
        located = {address: find_live_fragment(tx, address) for address in addresses}
        roots = {find_owner(tx, fragment) for fragment in located.values()}
        yield
        for root in sorted(roots):
            yield from tx.lock(("profile", root))
        now = {address: find_live_fragment(tx, address) for address in addresses}
        if not reread or (now == located and roots == {find_owner(tx, fragment) for fragment in now.values()}):
            return
        tx.release_since(mark)
        yield
