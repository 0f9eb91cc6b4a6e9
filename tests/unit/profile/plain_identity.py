"""Identity as the documents say it, done plainly: every link kept, every group found again from scratch by walking along them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from msgspec import Raw

from libs.identity import strength_key, strength_of

SPACE = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)
PERSON_KINDS = ("user_id", "loyalty_card", "email")


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
    """`groups` of (value, epoch), as the rules give them touchpoint by touchpoint.

    `links`: of each node those linked with it, and whether an alias did it. `limits`: kinds not named have none.
    """

    links: dict[tuple[str, int], dict[tuple[str, int], bool]] = field(default_factory=dict)
    nodes: dict[tuple[str, int], str] = field(default_factory=dict)
    verified: set[tuple[str, int]] = field(default_factory=set)
    carried: set[tuple[str, int]] = field(default_factory=set)
    epoch: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[UUID, str, str]] = field(default_factory=list)
    owner: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    joined: dict[tuple[str, int], datetime] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=lambda: {"user_id": 1})
    windows: dict[str, timedelta] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    proof_wanted: frozenset[str] = frozenset()
    bans: dict[frozenset[tuple[str, int]], datetime | None] = field(default_factory=dict)
    splits: list[list[frozenset[tuple[str, int]]]] = field(default_factory=list)

    def live(self, named: Named) -> tuple[str, int]:
        node = (named.value, self.epoch.get(named.value, 0))
        self.nodes.setdefault(node, named.kind)
        return node

    def group_of(self, node: tuple[str, int], *, alias_only: bool = False) -> frozenset[tuple[str, int]]:
        found = {node}
        waiting = [node]
        while waiting:
            one = waiting.pop()
            for other, by_alias in self.links.get(one, {}).items():
                if other not in found and (not alias_only or (by_alias and self.nodes[one] == self.nodes[other])):
                    found.add(other)
                    waiting.append(other)
        return frozenset(found)

    def _tie(self, a: tuple[str, int], b: tuple[str, int], *, by_alias: bool) -> None:
        for one, other in ((a, b), (b, a)):
            near = self.links.setdefault(one, {})
            near[other] = near.get(other, False) or by_alias

    def _unlink(self, a: tuple[str, int], b: tuple[str, int]) -> None:
        del self.links[a][b], self.links[b][a]

    def groups(self) -> set[frozenset[tuple[str, int]]]:
        return {self.group_of(node) for node in self.nodes}

    def _count(self, kind: str, group: frozenset[tuple[str, int]], at: datetime) -> int:
        """Persons of a kind: those joined by alias are one, and count if any of them joined in the window (alone: now)."""
        begin = at - self.windows[kind] if kind in self.windows else None
        return len(
            {
                self.group_of(node, alias_only=True)
                for node in group
                if self.nodes[node] == kind and self.epoch.get(node[0], 0) == node[1]
                if begin is None or node not in self.joined or self.joined[node] > begin
            }
        )

    def _find_limit(self, one: tuple[str, int], other: tuple[str, int], at: datetime, *, by_alias: bool) -> str | None:
        """The strongest kind of which the two groups, linked with each other, would have too many."""
        mine, theirs = self.group_of(one), self.group_of(other)
        alone = [next(iter(group)) for group in (mine, theirs) if len(group) == 1]
        stood = {node: self.joined.pop(node) for node in alone if node in self.joined}
        both = [kind for kind in self.limits if self._count(kind, mine, at) and self._count(kind, theirs, at)]
        self._tie(one, other, by_alias=by_alias)
        over = [kind for kind in both if self._count(kind, mine | theirs, at) > self.limits[kind]]
        self._unlink(one, other)
        self.joined.update(stood)
        return min(over, key=strength_of) if over else None

    def _link(self, one: tuple[str, int], other: tuple[str, int], at: datetime, *, by_alias: bool = False) -> None:
        for group in (self.group_of(one), self.group_of(other)):
            if len(group) == 1:
                self.joined.update(dict.fromkeys(group, at))
        self._tie(one, other, by_alias=by_alias)

    def _is_known(self, group: frozenset[tuple[str, int]]) -> bool:
        return any(node in self.verified and self.nodes[node] in PERSON_KINDS for node in group)

    def apply(self, touch: Touch) -> None:
        dropped = [named for named in (*touch.identifiers, *touch.previous) if named.value in self.blocked]
        self.refused += [(touch.id, named.value, "blocked") for named in dropped]
        identifiers = [named for named in touch.identifiers if named not in dropped]
        if not identifiers:
            return
        first = identifiers[0]
        own = self.live(first)
        self.owner[touch.id] = own
        self._see(own, first)
        carried = {self.live(named) for named in identifiers}
        previous = [named for named in touch.previous if named not in dropped]
        pending = [(named, True) for named in previous if self.live(named) not in carried]
        pending += [(named, False) for named in identifiers[1:]]
        shared = []
        taken = {own}
        for named, by_alias in pending:
            other = self.live(named)
            if other in taken or own[1] > 0 or other[1] > 0:
                continue
            taken.add(other)
            objection = self._find_objection(own, other, first, named, by_alias=by_alias, at=touch.received_at)
            if objection is None:
                self._link(own, other, touch.received_at, by_alias=by_alias)
                if not by_alias:
                    self._see(other, named)
            else:
                device = objection == "user_id_limit" and named.kind == "anonymous_id" and self.nodes[own] == "user_id"
                if device and not by_alias:
                    objection = "shared_device"
                    shared.append(named.value)
                self.refused.append((touch.id, named.value, objection))
        for value in shared:
            self.epoch[value] = self.epoch.get(value, 0) + 1
            self.nodes[(value, self.epoch[value])] = "anonymous_id"

    def _find_objection(
        self, own: tuple[str, int], other: tuple[str, int], by: Named, named: Named, *, by_alias: bool, at: datetime
    ) -> str | None:
        mine, theirs = self.group_of(own), self.group_of(other)
        if other in mine:
            return None
        over = self._find_limit(own, other, at, by_alias=by_alias)
        if over is not None:
            return f"{over}_limit"
        lifted = self.bans.get(frozenset((own, other)))
        if self._are_kept_apart(mine, theirs) or (lifted is not None and at <= lifted):
            return "banned"
        if self._is_known(mine) and self._is_known(theirs) and not (by.verified and named.verified):
            return "unverified_claim"
        claims = {one.kind for one in (by, named) if not one.verified}
        return "unverified_claim" if claims & self.proof_wanted else None

    def _are_kept_apart(self, mine: frozenset[tuple[str, int]], theirs: frozenset[tuple[str, int]]) -> bool:
        return any(self.bans.get(frozenset((a, b)), START) is None for a in mine for b in theirs)

    def is_live(self, node: tuple[str, int]) -> bool:
        return node in self.carried and self.epoch.get(node[0], 0) == node[1]

    def find(self, value: str) -> tuple[str, int] | None:
        node = (value, self.epoch.get(value, 0))
        return node if self.is_live(node) else None

    def merge(self, one: str, other: str, at: datetime = START) -> bool:
        """Whether it was done."""
        a, b = self.find(one), self.find(other)
        return a is not None and b is not None and self.join(a, b, at)

    def join(self, a: tuple[str, int], b: tuple[str, int], at: datetime = START) -> bool:
        """Whether it was done."""
        if a[1] > 0 or b[1] > 0:
            return False
        mine, theirs = self.group_of(a), self.group_of(b)
        if mine == theirs or self._are_kept_apart(mine, theirs) or self._find_limit(a, b, at, by_alias=False):
            return False
        self._link(a, b, at)
        return True

    def split(self, value: str) -> bool:
        """All links are cut and what stays is tied together anew, as is who counted as one person."""
        node = self.find(value)
        rest = sorted(self.group_of(node) - {node}) if node is not None else []
        if node is None or not any(map(self.is_live, rest)):
            return False
        persons = sorted(self.group_of(node, alias_only=True) - {node})
        for other in list(self.links[node]):
            self._unlink(node, other)
        for one in persons[1:]:
            self._tie(persons[0], one, by_alias=True)
        for one in rest[1:]:
            self._tie(rest[0], one, by_alias=False)
        self.splits.append([frozenset((node, one)) for one in rest])
        self.bans.update(dict.fromkeys(self.splits[-1]))
        return True

    def lift(self, number: int, at: datetime) -> None:
        """Lift the ban of one split, the first being number 0. Once lifted, it stays so until the pair is split again."""
        self.bans.update({pair: at for pair in self.splits[number] if self.bans[pair] is None})
        self.splits[number] = []

    def _see(self, node: tuple[str, int], named: Named) -> None:
        self.carried.add(node)
        if named.verified:
            self.verified.add(node)
