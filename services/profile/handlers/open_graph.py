"""Lock what a batch touches, and only then load it: the order that makes effects exact with several workers (DESIGN 4.2).

1. Missing fragments are inserted, sorted: two workers that meet at one wait here, and only one of them makes it.
2. The profile rows of all fragments named are locked, sorted, in a statement of its own.
3. Fragment -> profile is read again. Where a merge has moved one meanwhile, the locks are given back and taken anew.
4. Only now profiles are loaded, in a later statement: what is read beside a lock wait may be old.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.kit.db import Tx
from services.profile.domain.graph import Graph, Group
from services.profile.domain.nodes import Node, compute_profile_id
from services.profile.domain.rules import Rules
from services.profile.ports import FragmentIds, GraphStore, Located, NewFragment, ProfileGraph

POSITIONS_PER_BATCH_BITS = 20
POSITIONS_PER_TOUCHPOINT = 16


class _MovedError(Exception):
    """A fragment changed its profile before the lock was had: leaves the savepoint, so that the locks are given back."""

    def __init__(self, located: dict[UUID, Located]) -> None:
        self.located = located


@dataclass(slots=True)
class OpenedGraph:
    """The graph under its locks. `base`: the batch's first place in the order of application.

    `pointers`: fragment -> the profile its row names now; `missing`: fragments that are new with this batch.
    """

    graph: ProfileGraph
    base: int
    pointers: dict[UUID, UUID]
    missing: set[UUID]


class _First(NamedTuple):
    """The first naming of an address in the batch: its place and the touchpoint's strongest identifier."""

    place: int
    identifier: Identifier
    strongest: UUID


async def open_graph(
    tx: Tx, touchpoints: Sequence[TouchpointRecorded], store: GraphStore, rules: Rules, fragment_id: FragmentIds
) -> OpenedGraph:
    named = _first_namings(touchpoints)
    located = await store.locate(tx, named)
    missing: dict[UUID, UUID] = {}
    if len(located) < len(named):
        missing = await _insert_missing(tx, named, located, store)
    located = await _lock_profiles(tx, located, store)
    groups = await store.load_groups(tx, {place.profile_id for place in located.values()}) if located else []
    base = await store.next_application(tx) << POSITIONS_PER_BATCH_BITS
    graph: ProfileGraph = Graph(rules, fragment_id)
    pointers = dict(missing)
    for group in groups:
        graph.add_group(group)
        for fragment in group.nodes:
            pointers[fragment] = group.id
    for address in missing:
        identifier = named[address].identifier
        node = Node(address, identifier.kind, identifier.value, address)
        graph.add_group(Group(compute_profile_id(address), address, base + named[address].place, {address: node}))
    return OpenedGraph(graph, base, pointers, set(missing))


def _first_namings(touchpoints: Sequence[TouchpointRecorded]) -> dict[UUID, _First]:
    named: dict[UUID, _First] = {}
    for index, touchpoint in enumerate(touchpoints):
        strongest = touchpoint.identifiers[0].fragment
        for rank, identifier in enumerate((*touchpoint.identifiers, *touchpoint.previous)):
            if identifier.fragment not in named:
                place = index * POSITIONS_PER_TOUCHPOINT + min(rank, POSITIONS_PER_TOUCHPOINT - 1)
                named[identifier.fragment] = _First(place, identifier, strongest)
    return named


async def _insert_missing(
    tx: Tx, named: Mapping[UUID, _First], located: dict[UUID, Located], store: GraphStore
) -> dict[UUID, UUID]:
    """Insert the fragments that aren't there, each with the profile it will probably belong to; which were ours to make.

    Those that another worker made meanwhile are added to `located`.
    """
    new = []
    for address in sort_ids(named.keys() - located.keys()):
        first = named[address]
        owner = located.get(first.strongest)
        profile_id = owner.profile_id if owner is not None else compute_profile_id(first.strongest)
        new.append(NewFragment(Node(address, first.identifier.kind, first.identifier.value, address), profile_id))
    inserted = await store.insert_fragments(tx, new)
    missing = {one.node.fragment: one.profile_id for one in new if one.node.fragment in inserted}
    if len(missing) < len(new):
        located.update(await store.locate(tx, [one.node.fragment for one in new if one.node.fragment not in missing]))
    return missing


async def _lock_profiles(tx: Tx, located: dict[UUID, Located], store: GraphStore) -> dict[UUID, Located]:
    """Lock the profiles of all that was there before this batch; where everything is, under the locks."""
    while located:
        try:
            async with tx.transaction():
                await store.lock_profiles(tx, sort_ids({place.profile_id for place in located.values()}))
                _check_unmoved(located, await store.locate(tx, located))
                return located
        except _MovedError as moved:
            located = moved.located
    return located


def _check_unmoved(before: dict[UUID, Located], now: dict[UUID, Located]) -> None:
    if now != before:
        raise _MovedError(now)


def sort_ids(ids: Iterable[UUID]) -> list[UUID]:
    """The order in which rows are locked everywhere; PostgreSQL sorts uuid the same way."""
    return sorted(ids, key=_as_int)


def _as_int(id_: UUID) -> int:
    return id_.int
