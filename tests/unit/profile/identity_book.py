"""Identity decided touchpoint by touchpoint, with profiles kept in memory the way rows keep them."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from libs.kit.ids import read_id
from libs.kit.times import to_micros
from services.profile.domain.graph import Graph, Group
from services.profile.domain.nodes import Node, compute_profile_id
from services.profile.domain.regrouping import (
    Parted,
    Refused,
    find_live,
    is_only_identifier,
    join_profiles,
    lift_bans,
    part_profile,
)
from services.profile.domain.rules import Rules
from tests.unit.profile.plain_identity import START, Touch, fragment_of

if TYPE_CHECKING:
    from uuid import UUID

KINDS = {"u": "user_id", "e": "email", "d": "anonymous_id", "x": "device_id"}


class Book:
    """Keeps profiles between batches the way rows do: every batch loads what it names and writes it back."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.profiles: dict[object, Group[Touch]] = {}
        self.pointers: dict[object, object] = {}
        self.live: dict[object, object] = {}
        self.position = 0
        self.bans: list[tuple[UUID, set[UUID]]] = []
        self.graph = self._open()

    def _open(self) -> Graph[Touch]:
        return Graph(self.rules, fragment_of)

    def apply(self, *touches: Touch) -> "Book":
        graph = self.graph = self._open()
        sorted_out = [(touch, *self.rules.sort_out(touch.identifiers), *self.rules.sort_out(touch.previous)) for touch in touches]
        self.blocked = sum(len(blocked) + len(given_up) for _, _, blocked, _, given_up in sorted_out)
        touches = tuple(replace(touch, identifiers=own, previous=previous) for touch, own, _, previous, _ in sorted_out if own)
        addresses = {one.fragment: one for touch in touches for one in (*touch.identifiers, *touch.previous)}
        fragments = {self.live.get(address, address) for address in addresses}
        for profile_id in {self.pointers[one] for one in fragments if one in self.pointers}:
            graph.add_group(self._load(profile_id))
        for address, one in addresses.items():
            if self.live.get(address, address) not in self.pointers:
                node = Node(address, one.kind, one.value, address)
                graph.add_group(Group(compute_profile_id(address), address, self.position, {address: node}))
        for touch in touches:
            self.position += 16
            graph.apply(self.position, touch)
        self._write(graph)
        return self

    def _load(self, profile_id: object) -> Group[Touch]:
        stored = self.profiles[profile_id]
        nodes = msgspec.msgpack.decode(msgspec.msgpack.encode(list(stored.nodes.values())), type=list[Node], dec_hook=read_id)
        by_fragment = {node.fragment: node for node in nodes}
        known = Group[Touch](stored.id, stored.founding, stored.founded, by_fragment, version=stored.version, stored=True)
        known.members_before = tuple(by_fragment)
        return known

    def _find(self, value: str) -> Group[Touch] | None:
        address = fragment_of(KINDS[value[0]], value)
        fragment = self.live.get(address, address)
        found = self._load(self.pointers[fragment]) if fragment in self.pointers else None
        return found if found is not None and find_live(found, KINDS[value[0]], value) is not None else None

    def merge(self, one: str, other: str, minutes: int = 0) -> bool:
        """Whether it was done."""
        a, b = self._find(one), self._find(other)
        if a is None or b is None or a.id == b.id:
            return False
        joined = join_profiles(a, b, self.rules, to_micros(START + timedelta(minutes=minutes)))
        if isinstance(joined, Refused):
            return False
        self._keep(joined.survivor, joined.absorbed)
        return True

    def split(self, value: str) -> Parted[Touch] | None:
        group = self._find(value)
        leaving = find_live(group, KINDS[value[0]], value) if group is not None else None
        if group is None or leaving is None or is_only_identifier(group, leaving):
            return None
        founded = {one: compute_profile_id(one) for one in group.nodes}
        rows = {one: self._load(id_) for one, id_ in founded.items() if id_ != group.id and id_ in self.profiles}
        self.position += 16
        parted = part_profile(group, leaving, rows, self.position)
        self.bans.append((leaving.fragment, set(parted.remaining.nodes)))
        self._keep(parted.remaining, parted.departed)
        return parted

    def lift(self, number: int, minutes: int) -> None:
        fragment, against = self.bans[number]
        node = self.profiles[self.pointers[fragment]].nodes[fragment]
        lift_bans(node, against, to_micros(START + timedelta(minutes=minutes)))
        self.bans[number] = (fragment, set())

    def _keep(self, *groups: Group[Touch]) -> None:
        for group in groups:
            group.version += 1
            self.profiles[group.id] = group
            self.pointers.update(dict.fromkeys(group.nodes, group.id))

    def _write(self, graph: Graph[Touch]) -> None:
        for group in graph.groups():
            if group.is_told:
                group.version += 1
            self.profiles[group.id] = group
            for fragment in group.nodes:
                self.pointers[fragment] = group.id
            for gone in (*group.absorbed, *graph.dissolved):
                self.profiles[gone.id] = gone
        self.live.update(graph.live)

    def groups(self) -> set[frozenset[tuple[str, int]]]:
        found: dict[object, set[tuple[str, int]]] = {}
        for fragment, profile_id in self.pointers.items():
            node = self.profiles[profile_id].nodes[fragment]
            found.setdefault(profile_id, set()).add((node.value, node.epoch))
        return {frozenset(members) for members in found.values()}

    def profile_of(self, value: str) -> set[str]:
        """Live identifiers of the profile to which a value resolves."""
        address = fragment_of(KINDS[value[0]], value)
        fragment = self.live.get(address, address)
        if fragment not in self.pointers or not self.profiles[self.pointers[fragment]].nodes[fragment].is_live:
            return set()
        return {node.value for node in self.profiles[self.pointers[fragment]].nodes.values() if node.is_live}

    def reasons(self) -> list[str]:
        return [refuse.reason for refusal in self.graph.refusals for refuse in refusal.refused]
