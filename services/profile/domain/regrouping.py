"""Merge and split by command: what becomes of the profiles named, and of the bans that a split leaves.

Pure decisions on groups under their locks. A command moves nodes between groups, never data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from msgspec.structs import replace

from libs.identity import strength_key
from services.profile.domain.graph import Group, Touchpoint
from services.profile.domain.identity import Claim, choose_survivor, find_objection
from services.profile.domain.nodes import Ban, Node, compute_profile_id, format_instant
from services.profile.domain.rules import Rules

T = TypeVar("T", bound=Touchpoint)


class Together(NamedTuple):
    """Two fragments that a command says belong together."""

    a: UUID
    b: UUID
    by_alias: bool = False


@dataclass(frozen=True, slots=True)
class Joined(Generic[T]):
    survivor: Group[T]
    absorbed: Group[T]
    link: Together


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason` as a touchpoint's refusal has it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Parted(Generic[T]):
    """`links` hold together what only the identifier that left had linked. `led`: each absorbed row and the part it leads to."""

    remaining: Group[T]
    departed: Group[T]
    links: tuple[Together, ...]
    led: tuple[tuple[Group[T], Group[T]], ...]


def join_profiles(one: Group[T], other: Group[T], rules: Rules, received_us: int) -> Joined[T] | Refused:
    """One profile of two, linked by their founding identifiers. The word of the business is verified; limits and bans hold."""
    claims = [Claim(group.founding, group.nodes[group.founding].kind) for group in (one, other)]
    reason = find_objection(claims[0], one, claims[1], other, rules, received_us)
    if reason is not None:
        return Refused(reason)
    survivor = choose_survivor([one, other])
    absorbed = other if survivor is one else one
    survivor.take_in(absorbed, format_instant(received_us))
    return Joined(survivor, absorbed, Together(one.founding, other.founding))


def find_live(group: Group[T], kind: str, value: str) -> Node | None:
    return next((node for node in group.nodes.values() if node.is_live and (node.kind, node.value) == (kind, value)), None)


def is_only_identifier(group: Group[T], leaving: Node) -> bool:
    return not any(node.is_live for node in group.nodes.values() if node is not leaving)


def part_profile(group: Group[T], leaving: Node, rows: Mapping[UUID, Group[T]], position: int) -> Parted[T]:
    """The identifier leaves with what it owns, banned from all that stays; what stays is one profile, as before.

    The part with the founding fragment keeps the id. `rows`: profiles that other fragments of the group founded once; the
    part without gets such a one's id back, else a new one. The rest of them lead to the part that has the fragment.
    """
    staying = {fragment: node for fragment, node in group.nodes.items() if node is not leaving}
    leaves_id = leaving.fragment != group.founding
    moving = {leaving.fragment: leaving} if leaves_id else staying
    other = _choose_home(moving.values(), rows, position)
    group.nodes = staying if leaves_id else {leaving.fragment: leaving}
    other.nodes = moving
    other.absorbed_into = None
    led = tuple((row, other if founding in moving else group) for founding, row in rows.items() if row is not other)
    for row, part in led:
        row.absorbed_into = part
    for node in moving.values():
        node.membership += 1
    leaving.bans = (*(ban for ban in leaving.bans if ban.fragment not in staying), *map(Ban, sorted(staying)))
    for part in (group, other):
        part.parts |= {"identifiers", "membership"}
    remaining, departed = (group, other) if leaves_id else (other, group)
    links = _hold_together(remaining, leaving.person)
    leaving.person = None
    return Parted(remaining, departed, links, led)


def lift_bans(node: Node, fragments: Iterable[UUID], now_us: int) -> None:
    """Links of the pairs count again from now on; those received before stay void."""
    lifted = set(fragments)
    node.bans = tuple(
        replace(ban, until_us=now_us) if ban.until_us is None and ban.fragment in lifted else ban for ban in node.bans
    )


def _choose_home(nodes: Iterable[Node], rows: Mapping[UUID, Group[T]], position: int) -> Group[T]:
    named = sorted(nodes, key=lambda node: (not node.is_live, strength_key(node.kind, node.value), node.epoch))
    known = [rows[node.fragment] for node in named if node.fragment in rows]
    if known:
        return choose_survivor(known)
    founding = named[0].fragment
    return Group(compute_profile_id(founding), founding, position, {})


def _hold_together(group: Group[T], person: UUID | None) -> tuple[Together, ...]:
    """All are linked with the founding identifier; those whom an alias of the one that left joined stay one person."""
    joined = sorted(fragment for fragment, node in group.nodes.items() if person is not None and node.person == person)
    for fragment in joined:
        group.nodes[fragment].person = joined[0] if len(joined) > 1 else None
    links = {frozenset((joined[0], fragment)): Together(joined[0], fragment, by_alias=True) for fragment in joined[1:]}
    for fragment in sorted(group.nodes):
        if fragment != group.founding:
            links.setdefault(frozenset((group.founding, fragment)), Together(group.founding, fragment))
    return tuple(links.values())
