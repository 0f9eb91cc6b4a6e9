"""The identity graph of one batch: nodes, profiles and links as they were loaded, changed touchpoint by touchpoint.

A node is an identifier in an epoch; its fragment holds what was folded there. A profile is a group of nodes. Decisions are
`identity`'s; this module carries them out and remembers what has to be written and told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, Self, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw

from libs.kit.times import to_micros
from services.profile.domain.identity import (
    Claim,
    Link,
    Refuse,
    Resolution,
    choose_later,
    choose_survivor,
    is_verified_person,
    resolve,
)
from services.profile.domain.messages import SENT, choose_last, read_message
from services.profile.domain.nodes import Identifier, Node, compute_profile_id, format_instant
from services.profile.domain.rules import Rules


class Touchpoint(Protocol):
    """What the graph reads of a touchpoint: `identifiers` it carries, strongest first, `previous` ones it names by alias."""

    @property
    def id(self) -> UUID: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def name(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def properties(self) -> Raw: ...
    @property
    def identifiers(self) -> Sequence[Identifier]: ...
    @property
    def previous(self) -> Sequence[Identifier]: ...


T = TypeVar("T", bound=Touchpoint)
_encode = msgspec.json.Encoder().encode


class Applied(msgspec.Struct, Generic[T]):
    """A touchpoint at its place in the order of application, and the fragment it is folded in.

    `refused`: (kind, value) of the identifiers it carries that gave way, so that they are left out of its traits.
    """

    position: int
    fragment: UUID
    touchpoint: T
    refused: tuple[tuple[str, str], ...] = ()


class Group(msgspec.Struct, Generic[T], eq=False):
    """A profile. `stored`: its row exists; `version` 0: nobody has seen it yet.

    `members_before` are its fragments as they were loaded; `totals`, `core` and `facets` the folded bytes of its row.
    """

    id: UUID
    founding: UUID
    founded: int
    nodes: dict[UUID, Node]
    version: int = 0
    stored: bool = False
    totals: bytes = b""
    core: bytes = b""
    facets: bytes = b""
    members_before: tuple[UUID, ...] = ()
    applied: list[Applied[T]] = msgspec.field(default_factory=list)
    absorbed: list[Self] = msgspec.field(default_factory=list)
    absorbed_into: Self | None = None
    parts: set[str] = msgspec.field(default_factory=set)

    @property
    def is_born(self) -> bool:
        return self.version > 0

    @property
    def is_known(self) -> bool:
        return any(is_verified_person(node) for node in self.nodes.values())

    @property
    def is_nobodys(self) -> bool:
        return len(self.nodes) == 1 and next(iter(self.nodes.values())).nobodys

    @property
    def is_told(self) -> bool:
        """Whether this batch makes a version of it. What nobody has seen begins with its first touchpoint."""
        return bool(self.applied or (self.parts and self.is_born))

    @property
    def size(self) -> int:
        return len(self.nodes)

    def weigh(self) -> int:
        return sum(len(_encode(node.value)) for node in self.nodes.values())

    def hold(self) -> dict[str, dict[UUID, str]]:
        nodes = self.nodes.values()
        if len(nodes) == 1:
            [node] = nodes
            return {node.kind: {node.person or node.fragment: ""}} if node.address is not None else {}
        held: dict[str, dict[UUID, str]] = {}
        for node in nodes:
            if node.address is None:
                continue  # a passed epoch is nobody's identifier any more
            persons, person, joined = held.setdefault(node.kind, {}), node.person or node.fragment, node.joined or node.since
            persons[person] = choose_later(persons[person], joined) if person in persons else joined
        return held

    def person_of(self, fragment: UUID) -> UUID:
        return self.nodes[fragment].person or fragment

    def bars(self, other: Self, link: Link) -> bool:
        """While a ban holds, nothing brings the two together; after it, a link between them that was received before is void."""
        return any(
            ban.until_us is None or (link.received_us <= ban.until_us and {node.fragment, ban.fragment} == {link.own, link.other})
            for node in self.nodes.values()
            for ban in node.bans
            if ban.fragment in other.nodes
        )

    def take_in(self, party: Self, at: str) -> None:
        """Make the other's nodes this one's; this moves nodes, never data. `at`: receipt of what brought it about."""
        for group in (self, party):
            if len(group.nodes) == 1:
                next(iter(group.nodes.values())).joined = at
        for fragment, node in party.nodes.items():
            if party.stored:
                node.membership += 1
            self.nodes[fragment] = node
        self.parts |= party.parts
        self.parts.update(("identifiers", "membership"))
        self.applied.extend(party.applied)
        self.absorbed.extend(party.absorbed)
        party.applied, party.absorbed, party.nodes, party.absorbed_into = [], [], {}, self
        if party.is_born:
            self.absorbed.append(party)


class LinkSeen(msgspec.Struct):
    """A link in this batch: the greatest receipt (microseconds), and the touchpoint that named it first.

    `vouched_us`: the greatest receipt of those that tie somebody known by a server's word, not by a browser's claim.
    """

    position: int
    touchpoint_id: UUID
    occurred_at: datetime
    received_us: int
    by_alias: bool
    vouched_us: int | None = None


@dataclass(frozen=True, slots=True)
class MergeSeen:
    """A merge of two profiles that had both been shown, with the link that brought it."""

    position: int
    survivor: UUID
    absorbed: UUID
    touchpoint_id: UUID
    link: tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class RefusalSeen:
    position: int
    touchpoint_id: UUID
    own: UUID
    refused: tuple[Refuse, ...]


@dataclass(frozen=True, slots=True)
class BlockedSeen:
    """Identifiers that identify nobody by the rules. `own`: the fragment that has the touchpoint; None where nothing was left."""

    position: int
    touchpoint_id: UUID
    own: UUID | None
    identifiers: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class EpochOpened:
    position: int
    touchpoint_id: UUID
    address: UUID
    passed: UUID
    node: Node


class _Said(msgspec.Struct):
    """What the touchpoint at hand says of every identifier it carries."""

    position: int
    touchpoint: Touchpoint
    received_us: int
    received_at: str
    occurred_at: str


@dataclass(slots=True)
class Graph(Generic[T]):
    """Everything a batch looks at, under its locks. `live`: address -> fragment it resolves to; `owner`: fragment -> profile."""

    rules: Rules
    next_fragment: Callable[[str, str, int], UUID]
    live: dict[UUID, UUID] = field(default_factory=dict)
    owner: dict[UUID, Group[T]] = field(default_factory=dict)
    links: dict[tuple[UUID, UUID], LinkSeen] = field(default_factory=dict)
    merges: list[MergeSeen] = field(default_factory=list)
    refusals: list[RefusalSeen] = field(default_factory=list)
    blocked: list[BlockedSeen] = field(default_factory=list)
    epochs: list[EpochOpened] = field(default_factory=list)
    dissolved: list[Group[T]] = field(default_factory=list)

    def groups(self) -> list[Group[T]]:
        """The profiles as they are now, each once."""
        return list({id(group): group for group in self.owner.values()}.values())

    def add_group(self, group: Group[T]) -> None:
        for fragment, node in group.nodes.items():
            self.owner[fragment] = group
            if node.address is not None:
                self.live[node.address] = fragment

    def apply(self, position: int, touchpoint: T, blocked: tuple[Identifier, ...] = (), sent: T | None = None) -> None:
        """Take in one touchpoint. Its strongest identifier owns it whatever becomes of the others.

        It comes without its `blocked` identifiers; folded is what was `sent`, which says that they are no traits either.
        """
        received_us, occurred_us = to_micros(touchpoint.received_at), to_micros(touchpoint.occurred_at)
        received = format_instant(received_us)
        occurred = received if occurred_us == received_us else format_instant(occurred_us)
        said = _Said(position, touchpoint, received_us, received, occurred)
        named = touchpoint.identifiers
        fragment = self.live[named[0].fragment]
        refused: tuple[tuple[str, str], ...] = ()
        if len(named) > 1 or touchpoint.previous:
            refused = self._connect(said, touchpoint, fragment)
        if blocked:
            self.blocked.append(BlockedSeen(position, touchpoint.id, fragment, blocked))
            refused += tuple((one.kind, one.value) for one in blocked)
        group = self.owner[fragment]
        self._see(said, group.nodes[fragment], group, verified=named[0].verified)
        group.applied.append(Applied(position, fragment, touchpoint if sent is None else sent, refused))
        if touchpoint.name in SENT:
            node = group.nodes[fragment]
            node.message = choose_last((node.message, read_message(touchpoint)))

    def _connect(self, said: _Said, touchpoint: T, own: UUID) -> tuple[tuple[str, str], ...]:
        if not touchpoint.previous and self._see_known(said, touchpoint, own):
            return ()
        claims = self._build_claims(touchpoint)
        resolution = resolve(claims, self.owner.__getitem__, self.rules, said.received_us)
        group = self._unite(said, own, resolution)
        for claim in resolution.accepted:
            self._link(said, own, claim.fragment, by_alias=claim.by_alias, verified=claim.verified)
            if claim.by_alias:
                _join_persons(group, claims[0], claim)
            else:
                self._see(said, group.nodes[claim.fragment], group, verified=claim.verified)
        if not resolution.refused:
            return ()
        self.refusals.append(RefusalSeen(said.position, said.touchpoint.id, own, resolution.refused))
        gone = {refuse.claim.fragment for refuse in resolution.refused}
        names = tuple((one.kind, one.value) for one in touchpoint.identifiers if self.live[one.fragment] in gone)
        for claim in resolution.shared:
            self._open_epoch(said, claim)
        return names

    def _see_known(self, said: _Said, touchpoint: T, own: UUID) -> bool:
        """A customer whose identifiers are all known to be hers already: nothing is to be decided. False for anybody else."""
        group, live = self.owner[own], self.live
        nodes = group.nodes
        others = [(live[one.fragment], one.verified) for one in touchpoint.identifiers[1:]]
        for fragment, _ in others:
            if fragment not in nodes:
                return False
        for fragment, verified in others:
            if fragment != own:
                self._link(said, own, fragment, by_alias=False, verified=verified)
                self._see(said, nodes[fragment], group, verified=verified)
        return True

    def _build_claims(self, touchpoint: T) -> list[Claim]:
        """Each live fragment once: what the touchpoint carries itself isn't what it only names by alias."""
        live = self.live
        carried = {
            live[named.fragment]: Claim(live[named.fragment], named.kind, named.verified) for named in touchpoint.identifiers
        }
        aliases: dict[UUID, Claim] = {}
        for named in touchpoint.previous:
            fragment = live[named.fragment]
            if fragment not in carried:
                aliases[fragment] = Claim(fragment, named.kind, named.verified, by_alias=True)
        own, *others = carried.values()
        return [own, *aliases.values(), *others]

    def _link(self, said: _Said, own: UUID, other: UUID, *, by_alias: bool, verified: bool) -> None:
        pair = (own, other) if own.int < other.int else (other, own)
        seen = self.links.get(pair)
        if seen is None:
            seen = self.links[pair] = LinkSeen(
                said.position, said.touchpoint.id, said.touchpoint.occurred_at, said.received_us, by_alias
            )
        else:
            seen.received_us = max(seen.received_us, said.received_us)
            seen.by_alias = seen.by_alias or by_alias
        if verified and is_verified_person(said.touchpoint.identifiers[0]):
            seen.vouched_us = max(seen.vouched_us or 0, said.received_us)

    def _unite(self, said: _Said, own: UUID, resolution: Resolution[Group[T]]) -> Group[T]:
        """Make one profile of all that the accepted claims point at; this moves nodes, never data."""
        parties = {id(self.owner[own]): self.owner[own]}
        bringers: dict[int, Claim] = {}
        for claim in resolution.accepted:
            party = self.owner[claim.fragment]
            if id(party) not in parties:
                parties[id(party)] = party
                bringers[id(party)] = claim
        survivor = choose_survivor(list(parties.values()))
        for party in parties.values():
            if party is not survivor:
                # Where the touchpoint's own profile is the one absorbed, the link to the survivor brought it about.
                bringer = bringers.get(id(party)) or bringers[id(survivor)]
                self._absorb(said, survivor, party, (own, bringer.fragment))
        return survivor

    def _absorb(self, said: _Said, survivor: Group[T], party: Group[T], link: tuple[UUID, UUID]) -> None:
        self.owner.update(dict.fromkeys(party.nodes, survivor))
        survivor.take_in(party, said.received_at)
        if party.is_born:
            self.merges.append(MergeSeen(said.position, survivor.id, party.id, said.touchpoint.id, link))
        elif party.stored:
            self.dissolved.append(party)

    @staticmethod
    def _see(said: _Said, node: Node, group: Group[T], *, verified: bool) -> None:
        was_carried = node.carried
        if node.see(verified=verified, received_at=said.received_at, occurred_at=said.occurred_at):
            group.parts.add("identifiers")
            if not was_carried and group.stored:
                node.membership += 1  # it resolves from now on

    def _open_epoch(self, said: _Said, claim: Claim) -> None:
        """The device's past stays where it is, without its address; what comes is nobody's."""
        group = self.owner[claim.fragment]
        passed = group.nodes[claim.fragment]
        address = passed.address
        if address is None:
            return
        passed.address = None
        passed.membership += 1
        group.parts.add("identifiers")
        fragment = self.next_fragment(passed.kind, passed.value, passed.epoch + 1)
        node = Node(fragment, passed.kind, passed.value, address, epoch=passed.epoch + 1, nobodys=True)
        self.add_group(Group(compute_profile_id(fragment), fragment, said.position, {fragment: node}))
        self.epochs.append(EpochOpened(said.position, said.touchpoint.id, address, passed.fragment, node))


def _join_persons(group: Group[T], own: Claim, claim: Claim) -> None:
    """Identifiers of one kind that an alias names together count as one from now on."""
    if claim.kind != own.kind:
        return
    mine, theirs = group.person_of(own.fragment), group.person_of(claim.fragment)
    for node in group.nodes.values():
        if (node.person or node.fragment) in (mine, theirs):
            node.person = min(mine, theirs)
