"""Commands of identity in one transaction each: merge, split, lift a ban."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from libs.kit.times import to_micros
from services.profile.domain.graph import Group, Node, compute_profile_id
from services.profile.domain.regrouping import (
    Refused,
    find_live,
    is_only_identifier,
    join_profiles,
    lift_bans,
    part_profile,
)
from services.profile.store.graph import encode_nodes
from tests.model.engine import Steps, Transaction
from tests.model.rows import find_live_fragment, find_owner, load_groups, save_groups
from tests.model.world import KINDS, Command, Groups, Record, World
from tests.unit.profile.plain_identity import START, Touch, fragment_of


def carry_out(world: World, tx: Transaction, command: Command) -> Steps[tuple[Record, ...] | None]:
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
            return load_groups(tx, before[1])
        tx.release_since(mark)
        yield


def _find(tx: Transaction, targets: Sequence[str], *, with_founded: bool) -> tuple[list[UUID], set[UUID]] | None:
    fragments = [find_live_fragment(tx, fragment_of(KINDS[name[0]], name)) for name in targets]
    if any(tx.read(("fragment", fragment)) is None for fragment in fragments):
        return None
    rows = {find_owner(tx, fragment) for fragment in fragments}
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
    return (yield from save_groups(world, tx, [joined.survivor]))


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
    return (yield from save_groups(world, tx, told, silent, parted.led))


def _lift(world: World, tx: Transaction, command: Command) -> Steps[tuple[Record, ...] | None]:
    ban = tx.read(("ban", command.of))
    yield
    if ban is None:
        tx.rollback()
        return None
    fragment, against = ban
    while True:
        mark = tx.savepoint()
        owner = find_owner(tx, fragment)
        yield
        if world.rules.lock_commands:
            yield from tx.lock(("profile", owner))
        if not world.rules.reread_commands or find_owner(tx, fragment) == owner:
            break
        tx.release_since(mark)
        yield
    [group] = load_groups(tx, [owner]).values()
    yield
    lift_bans(group.nodes[fragment], against, to_micros(START + timedelta(minutes=command.at)))
    yield from tx.write(("profile", owner), replace(tx.read(("profile", owner)), nodes=encode_nodes(list(group.nodes.values()))))
    yield from tx.write(("ban", command.of), None)
    return ()
