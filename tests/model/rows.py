"""Profiles and fragments between rows and groups: what batches and commands both load and write."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from services.profile.domain.graph import Group
from services.profile.store.graph import decode_nodes, encode_nodes
from tests.model.engine import Steps, Transaction
from tests.model.world import Fragment, Groups, Profile, Record, World
from tests.unit.profile.plain_identity import Touch


def find_live_fragment(tx: Transaction, address: UUID) -> UUID:
    live: UUID = tx.read(("epoch", address)) or address
    return live


def find_owner(tx: Transaction, fragment: UUID) -> UUID:
    owner: UUID = tx.read(("fragment", fragment)).profile
    return owner


def load_groups(tx: Transaction, profiles: Iterable[UUID]) -> Groups:
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


def save_groups(
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
            records.append(describe(tx, group.id, row, applied))
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


def describe(tx: Transaction, profile_id: UUID, row: Profile, applied: tuple[tuple[UUID, UUID], ...]) -> Record:
    members = {node.fragment: node.membership for node in decode_nodes(row.nodes)}
    snapshot = frozenset[UUID]().union(*(tx.read(("fragment", one)).folded for one in members))
    return Record(profile_id, row.version, row.founding, members, applied, snapshot, row.absorbed_into)
