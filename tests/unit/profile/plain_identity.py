"""Identity as the documents say it, done slowly: every link kept in a list, every group found again from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from msgspec import Raw

from libs.identity import strength_key

SPACE = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)
PERSON_KINDS = ("user_id", "email")


def fragment_of(kind: str, value: str, epoch: int = 0) -> UUID:
    return uuid5(SPACE, f"{epoch}:{kind}:{value}")


@dataclass(frozen=True)
class Named:
    kind: str
    value: str
    verified: bool = True

    @property
    def fragment(self) -> UUID:
        return fragment_of(self.kind, self.value)


@dataclass(frozen=True)
class Touch:
    id: UUID
    identifiers: tuple[Named, ...]
    previous: tuple[Named, ...] = ()
    occurred_at: datetime = START
    received_at: datetime = START
    name: str = "Button Clicked"
    channel: str = "web"
    properties: Raw = field(default_factory=lambda: Raw(b"{}"))


def make_touch(number: int, *names: str, previous: Sequence[str] = (), minutes: int = 0) -> Touch:
    """`u1`, `e1`, `d1`, `x1`: a user, an e-mail, a device's anonymous id, a device id. `?` in front: only claimed."""
    at = START + timedelta(minutes=minutes or number)
    return Touch(uuid5(SPACE, f"touch {number}"), _named(names), _named(previous), occurred_at=at, received_at=at)


def _named(names: Sequence[str]) -> tuple[Named, ...]:
    kinds = {"u": "user_id", "e": "email", "d": "anonymous_id", "x": "device_id"}
    found = [Named(kinds[name.lstrip("?")[0]], name.lstrip("?"), verified=not name.startswith("?")) for name in names]
    return tuple(sorted(found, key=lambda one: strength_key(one.kind, one.value)))


@dataclass
class PlainIdentity:
    """`groups` of (value, epoch), as the rules give them touchpoint by touchpoint."""

    links: list[tuple[tuple[str, int], tuple[str, int], bool]] = field(default_factory=list)
    nodes: dict[tuple[str, int], str] = field(default_factory=dict)
    verified: set[tuple[str, int]] = field(default_factory=set)
    carried: set[tuple[str, int]] = field(default_factory=set)
    epoch: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[UUID, str]] = field(default_factory=list)
    owner: dict[UUID, tuple[str, int]] = field(default_factory=dict)

    def live(self, named: Named) -> tuple[str, int]:
        node = (named.value, self.epoch.get(named.value, 0))
        self.nodes.setdefault(node, named.kind)
        return node

    def group_of(self, node: tuple[str, int], *, alias_only: bool = False) -> frozenset[tuple[str, int]]:
        found = {node}
        while True:
            more = {
                other
                for a, b, by_alias in self.links
                if not alias_only or (by_alias and self.nodes[a] == self.nodes[b])
                for one, other in ((a, b), (b, a))
                if one in found and other not in found
            }
            if not more:
                return frozenset(found)
            found |= more

    def groups(self) -> set[frozenset[tuple[str, int]]]:
        return {self.group_of(node) for node in self.nodes}

    def _users(self, group: frozenset[tuple[str, int]]) -> int:
        users = [node for node in group if self.nodes[node] == "user_id"]
        return len({self.group_of(user, alias_only=True) for user in users})

    def _is_known(self, group: frozenset[tuple[str, int]]) -> bool:
        return any(node in self.verified and self.nodes[node] in PERSON_KINDS for node in group)

    def apply(self, touch: Touch) -> None:
        own = self.live(touch.identifiers[0])
        self.owner[touch.id] = own
        self._see(own, touch.identifiers[0])
        pending = [(named, False) for named in touch.identifiers[1:]] + [(named, True) for named in touch.previous]
        shared = []
        taken = {own}
        for named, by_alias in pending:
            other = self.live(named)
            if other in taken or own[1] > 0 or other[1] > 0:
                continue
            taken.add(other)
            objection = self._find_objection(own, other, touch.identifiers[0], named, by_alias=by_alias)
            if objection is None:
                self.links.append((own, other, by_alias))
                if not by_alias:
                    self._see(other, named)
            else:
                device = objection == "user_id_limit" and named.kind == "anonymous_id" and self.nodes[own] == "user_id"
                if device and not by_alias:
                    shared.append(named.value)
                self.refused.append((touch.id, named.value))
        for value in shared:
            self.epoch[value] = self.epoch.get(value, 0) + 1
            self.nodes[(value, self.epoch[value])] = "anonymous_id"

    def _find_objection(
        self, own: tuple[str, int], other: tuple[str, int], by: Named, named: Named, *, by_alias: bool
    ) -> str | None:
        mine, theirs = self.group_of(own), self.group_of(other)
        if other in mine:
            return None
        self.links.append((own, other, by_alias))
        users = self._users(mine | theirs)
        self.links.pop()
        if users > 1:
            return "user_id_limit"
        if self._is_known(mine) and self._is_known(theirs) and not (by.verified and named.verified):
            return "unverified_claim"
        return None

    def _see(self, node: tuple[str, int], named: Named) -> None:
        self.carried.add(node)
        if named.verified:
            self.verified.add(node)
