"""The whole profile service done slowly and in sequence: identity as `PlainIdentity` has it, views as `compute_core` has them.

Adds only what neither says: which id a profile has, who was ever shown, and what the journal must hold. A profile is named by
the identifier that founded it. It imports nothing of what it judges.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import count
from typing import Any
from uuid import UUID

from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.identity import strength_key
from tests.support.profile_orders import show
from tests.support.profile_reference import Refused, Score, compute_core, snake
from tests.unit.profile.plain_identity import PlainIdentity

Node = tuple[str, int]
"""An identifier's value and its epoch."""
Named = UUID | str
"""Whom a command names: a touchpoint's identifier by value, or a profile by what founded it."""


def score_nothing(_text: str) -> Fraction:
    return Fraction(0)


@dataclass
class PlainProfiles:
    """`rows`: who ever was a profile at the end of a batch; `shown`: of those, who had a view.

    `is_rule_hit`: a limit, a ban, a claim that isn't enough or a shared device made something of the order.
    """

    identity: PlainIdentity = field(default_factory=PlainIdentity)
    score: Score = score_nothing
    told: dict[UUID, tuple[TouchpointRecorded, Refused]] = field(default_factory=dict)
    owned: dict[Node, list[UUID]] = field(default_factory=dict)
    seen: dict[Node, list[tuple[TouchpointRecorded, bool]]] = field(default_factory=dict)
    linked: dict[frozenset[Node], datetime] = field(default_factory=dict)
    profiles: dict[Node, frozenset[Node]] = field(default_factory=dict)
    names: dict[Node, Node] = field(default_factory=dict)
    rank: dict[Node, int] = field(default_factory=dict)
    ranks: Iterator[int] = field(default_factory=count)
    rows: set[Node] = field(default_factory=set)
    shown: set[Node] = field(default_factory=set)
    regrouped: list[tuple[str, Node, Node]] = field(default_factory=list)
    splits: dict[UUID, int] = field(default_factory=dict)
    is_rule_hit: bool = False

    def apply(self, batch: Sequence[TouchpointRecorded]) -> None:
        """One transaction. Who is shown when it begins wins over who isn't."""
        moved: set[Node] = set()
        for touchpoint in batch:
            if touchpoint.id not in self.told:
                self._apply_one(touchpoint)
                moved.add(self.identity.owner[touchpoint.id])
        self.rows |= self.profiles.keys()
        self.shown |= {self.profile_of(node) for node in moved}

    def _apply_one(self, touchpoint: TouchpointRecorded) -> None:
        identity = self.identity
        live = [(one, identity.live(one)) for one in (*touchpoint.identifiers, *touchpoint.previous)]
        self._found(node for _, node in live)
        before = len(identity.refused)
        identity.apply(touchpoint)  # type: ignore[arg-type]
        refused = {value for _, value, _ in identity.refused[before:]}
        self.is_rule_hit = self.is_rule_hit or bool(refused)
        carried = live[: len(touchpoint.identifiers)]
        self.told[touchpoint.id] = touchpoint, {(one.kind, one.value) for one, _ in carried if one.value in refused}
        own = identity.owner[touchpoint.id]
        self.owned.setdefault(own, []).append(touchpoint.id)
        mine = identity.group_of(own)
        for one, node in carried:
            if node in mine and one.value not in refused:
                self.seen.setdefault(node, []).append((touchpoint, one.verified))
        for one, node in live:
            if node != own and node in mine and one.value not in refused:
                pair = frozenset((own, node))
                self.linked[pair] = max(touchpoint.received_at, self.linked.get(pair, touchpoint.received_at))
        self._unite(mine)
        self._found((value, identity.epoch.get(value, 0)) for value in refused)

    def _found(self, nodes: Iterable[Node]) -> None:
        """Every identifier begins as a profile of its own."""
        for node in nodes:
            if node not in self.rank:
                self.rank[node] = next(self.ranks)
                self._set(node, frozenset([node]))

    def _set(self, name: Node, members: frozenset[Node]) -> None:
        self.profiles[name] = members
        self.names.update(dict.fromkeys(members, name))

    def _unite(self, members: frozenset[Node]) -> None:
        met = {self.names[node] for node in members}
        if len(met) == 1:
            return
        survivor = self._choose(met)
        for name in sorted(met - {survivor}, key=self.rank.__getitem__):
            del self.profiles[name]
            if name in self.shown:
                self.regrouped.append(("merge", survivor, name))
        self._set(survivor, members)

    def _choose(self, names: Iterable[Node]) -> Node:
        return min(names, key=lambda name: (name not in self.shown, self.rank[name]))

    def profile_of(self, node: Node) -> Node:
        return self.names[node]

    def find(self, named: Named | Node) -> Node | None:
        """The profile a command finds: one that was shown, by a live identifier or the id of any row."""
        node = self.identity.find(named) if isinstance(named, str) else named if named in self.rows else None
        found = self.profile_of(node) if node is not None else None  # type: ignore[arg-type]
        return found if found in self.shown else None

    def merge(self, one: Named | Node, other: Named | Node) -> bool:
        """Whether it was done."""
        a, b = self.find(one), self.find(other)
        if a is None or b is None or a == b:
            return False
        if not self.identity.join(a, b):
            self.is_rule_hit = True
            return False
        self._unite(self.identity.group_of(a))
        return True

    def split(self, value: str, command_id: UUID) -> bool:
        """Whether it was done. The part with the founder keeps the id; the other gets back one that it had, or a new one."""
        node = self.identity.find(value)
        name = self.profile_of(node) if node is not None else None
        if node is None or name is None or not self.identity.split(value):
            return False
        self.splits[command_id] = len(self.identity.splits) - 1
        rest = self.profiles[name] - {node}
        moving = rest if node == name else frozenset([node])
        home = self._choose_home(moving)
        self._set(name, self.profiles[name] - moving)
        self._set(home, moving)
        self.rows.add(home)
        self.shown |= {name, home}
        self.regrouped.append(("split", home, name) if node == name else ("split", name, home))
        return True

    def _choose_home(self, moving: frozenset[Node]) -> Node:
        known = self.rows & moving
        if known:
            return self._choose(known)
        home = min(
            moving,
            key=lambda node: (not self.identity.is_live(node), strength_key(self.identity.nodes[node], node[0]), node[1]),
        )
        self.rank[home] = next(self.ranks)
        return home

    def lift(self, command_id: UUID, at: datetime) -> None:
        self.identity.lift(self.splits[command_id], at)

    # What must be read

    def show_profiles(self) -> dict[Node, dict[str, Any]]:
        """By founder: the members, and the view of those that were shown."""
        return {name: {"members": sorted(members), **self._view(name)} for name, members in self.profiles.items()}

    def _view(self, name: Node) -> dict[str, Any]:
        if name not in self.shown:
            return {}
        mine = self.told_by(name)
        live = [node for node in self.profiles[name] if self.identity.is_live(node)]
        live.sort(key=lambda node: strength_key(self.identity.nodes[node], node[0]))
        identifiers = [self._identifier(node) for node in live]
        return {"identifiers": identifiers, **compute_core(mine, self.score), "last_message": find_last_message(mine)}

    def told_by(self, name: Node) -> list[tuple[TouchpointRecorded, Refused]]:
        return [self.told[id_] for node in self.profiles[name] for id_ in self.owned.get(node, ())]

    def _identifier(self, node: Node) -> dict[str, Any]:
        """Who is split off keeps what was ever said of it."""
        said = self.seen[node]
        return {
            "kind": self.identity.nodes[node],
            "value": node[0],
            "verified": any(verified for _, verified in said),
            "since": show(min(touchpoint.received_at for touchpoint, _ in said)),
            "first_seen_at": show(min(touchpoint.occurred_at for touchpoint, _ in said)),
            "last_seen_at": show(max(touchpoint.occurred_at for touchpoint, _ in said)),
        }

    def show_leads(self) -> dict[Node, Node]:
        """Every profile id there ever was, and whose view it answers with."""
        return {row: self.profile_of(row) for row in self.rows}

    def show_bans(self) -> dict[frozenset[Node], datetime | None]:
        return dict(self.identity.bans)

    def show_refusals(self) -> set[tuple[UUID, str, str]]:
        return set(self.identity.refused)

    def show_links(self) -> dict[frozenset[Node], datetime]:
        """What touchpoints ever linked, and the latest receipt of those."""
        return dict(self.linked)

    def show_accounts(self) -> dict[str, dict[str, Any]]:
        """An account is everybody's: what only browsers said fills in where no server has a word."""
        accounts: dict[str, dict[str, Any]] = {}
        for touchpoint, _ in sorted(self.told.values(), key=lambda one: (one[0].occurred_at, one[0].id)):
            if touchpoint.kind == "group" and touchpoint.group_id is not None:
                at = show(touchpoint.occurred_at)
                account = accounts.setdefault(touchpoint.group_id, {"since": at, "members": {}, "said": {}, "claimed": {}})
                account["members"].setdefault(self.identity.owner[touchpoint.id], at)
                by = "said" if _is_vouched(touchpoint.identifiers[0]) else "claimed"
                account[by].update(snake(json.loads(bytes(touchpoint.traits))))
        for account in accounts.values():
            words = account.pop("claimed") | account.pop("said")
            account["traits"] = {name: value for name, value in words.items() if value is not None}
        return accounts


def find_last_message(told: Iterable[tuple[TouchpointRecorded, Refused]]) -> dict[str, Any] | None:
    sent = [touchpoint for touchpoint, _ in told if touchpoint.name in ("Email Sent", "SMS Sent", "Push Sent")]
    if not sent:
        return None
    last = max(sent, key=lambda touchpoint: (touchpoint.occurred_at, touchpoint.id))
    campaign = json.loads(bytes(last.properties)).get("campaign_id")
    return {"name": last.name, "channel": last.channel, "at": show(last.occurred_at), "campaign_id": campaign}


def _is_vouched(identifier: Identifier) -> bool:
    return identifier.verified and identifier.kind not in {"anonymous_id", "device_id"}
