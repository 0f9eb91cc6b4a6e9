"""What must stand at the end of a crash run, worked out plainly and in sequence from what was told, in the journalled order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from libs.events.touchpoints import TouchpointRecorded
from tests.fakes.profile_store import FakeProfileStore
from tests.support.plain_profiles import PlainProfiles
from tests.support.profile_lives import Merge, Split, Told, replay
from tests.support.profile_orders import settle_order
from tests.support.profile_reference import label_of
from tests.unit.profile.plain_identity import Named, PlainIdentity, Touch

REWARDED = {"EUR", "USD", "GBP"}
Touchpoints = list[TouchpointRecorded]
Node = tuple[str, int]
_analyzer = SentimentIntensityAnalyzer()


def score(text: str) -> Fraction:
    return Fraction(str(_analyzer.polarity_scores(text)["compound"]))


def _did(told: Touchpoints, name: str) -> int:
    return sum(touchpoint.name == name for touchpoint in told)


# Rule as a marketer writes it, and the same said plainly of a profile's touchpoints and view.
SEGMENTS: dict[str, tuple[dict[str, Any], Callable[[Touchpoints, dict[str, Any]], bool]]] = {
    "subscribers": ({"did": "Subscription Started"}, lambda told, _: _did(told, "Subscription Started") >= 1),
    "regulars": (
        {"view": "aggregates.orders.count", "gte": 2},
        lambda _, view: view["aggregates"]["orders"]["count"] >= 2,
    ),
    "spenders": (
        {"view": "aggregates.orders.net_minor.EUR", "gte": 20000},
        lambda _, view: view["aggregates"]["orders"]["net_minor"].get("EUR", 0) >= 20000,
    ),
    "lookers": (
        {"all": [{"did": "Product Viewed", "times": {"gte": 3}}, {"not": {"did": "Order Completed"}}]},
        lambda told, _: _did(told, "Product Viewed") >= 3 and _did(told, "Order Completed") == 0,
    ),
    "waiting": (
        {"view": "aggregates.support.tickets_open", "gte": 1},
        lambda _, view: view["aggregates"]["support"]["tickets_open"] >= 1,
    ),
    "writable": (
        {"consent": {"purpose": "marketing", "channel": "email"}},
        lambda _, view: any(word["purpose"] == "marketing" and word["status"] == "granted" for word in view["consent"]),
    ),
}


@dataclass
class JournalledIdentity(PlainIdentity):
    """The plain reference where nobody knows when a ban was lifted: just before the first link that the journal accepts.

    `banned`: (touchpoint, value) that the journal refused for a ban; `lifted`: commands whose ban was lifted, and when.
    """

    banned: frozenset[tuple[UUID | None, str]] = frozenset()
    lifted: Mapping[UUID, datetime] = field(default_factory=dict)
    numbers: Mapping[UUID, int] = field(default_factory=dict)
    applying: UUID | None = None

    def apply(self, touch: Touch) -> None:
        self.applying = touch.id
        super().apply(touch)

    def _find_objection(self, own: Node, other: Node, by: Named, named: Named, **how: Any) -> str | None:
        objection = super()._find_objection(own, other, by, named, **how)
        if objection == "banned" and (self.applying, named.value) not in self.banned:
            self._lift_between(self.group_of(own), self.group_of(other))
            objection = super()._find_objection(own, other, by, named, **how)
        return objection

    def join(self, a: Node, b: Node) -> bool:
        if super().join(a, b):
            return True
        self._lift_between(self.group_of(a), self.group_of(b))
        return super().join(a, b)

    def _lift_between(self, mine: frozenset[Node], theirs: frozenset[Node]) -> None:
        for command_id, at in self.lifted.items():
            number = self.numbers.get(command_id)
            if number is not None and any(pair & mine and pair & theirs for pair in self.splits[number]):
                self.lift(number, at)


def follow_journal(
    store: FakeProfileStore, commands: Mapping[UUID, Merge | Split], lifted: Mapping[UUID, datetime]
) -> PlainProfiles:
    values = {id_: row.value for id_, row in store.fragments.items()}
    banned = {(id_, values[one]) for (id_, reason), row in store.refusals.items() if reason == "banned" for one in row.fragments}
    plain = PlainProfiles(score=score)
    plain.identity = JournalledIdentity(banned=frozenset(banned), lifted=lifted, numbers=plain.splits)
    replay(store, Told(commands=dict(commands)), plain)
    for command_id, at in lifted.items():
        plain.lift(command_id, at)
    return plain


def expect_profiles(plain: PlainProfiles) -> dict[str, dict[str, Any]]:
    """By label, of those whom an identifier leads to: identifiers, the folded view, segments and points."""
    expected = {}
    for name, view in plain.show_profiles().items():
        if not view.get("identifiers"):
            continue
        identifiers = sorted((one["kind"], one["value"]) for one in view["identifiers"])
        told = [touchpoint for touchpoint, _ in plain.told_by(name)]
        core = {member: shown for member, shown in view.items() if member not in ("members", "identifiers")}
        expected[label_of(identifiers)] = {
            "identifiers": [{"kind": kind, "value": value} for kind, value in identifiers],
            **core,
            "segments": sorted(name for name, (_, holds) in SEGMENTS.items() if holds(told, view)),
            "balance": count_points(told),
        }
    return expected


def expected_members(expected: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Of the view: what is folded."""
    return {member for profile in expected.values() for member in profile} - {"identifiers", "segments", "balance"}


def read_label(label: str) -> tuple[str, str]:
    """Kind and value of one of its identifiers."""
    kind, _, value = label.split(" ", maxsplit=1)[0].partition(":")
    return kind, value


def expect_timeline(plain: PlainProfiles, value: str) -> list[str]:
    node = plain.identity.find(value)
    assert node is not None
    told = [touchpoint for touchpoint, _ in plain.told_by(plain.profile_of(node))]
    return [str(one.id) for one in sorted(told, key=lambda one: (one.occurred_at, one.id), reverse=True)]


def count_points(told: Touchpoints) -> int:
    """Whole units of each order's amount less its refunds, at least 0."""
    said = sorted(
        ((touchpoint, touchpoint.order) for touchpoint in told if touchpoint.order is not None),
        key=lambda one: (one[0].occurred_at, one[0].id),
    )
    latest: dict[str, Any] = {}
    for touchpoint, order in said:
        if order.step == "refunded":
            latest[order.refund_id or str(touchpoint.id)] = (touchpoint, order)
    points = 0
    for order_id in {order.order_id for _, order in said if order.step != "refunded"}:
        refunds = [one for one in latest.values() if one[1].order_id == order_id]
        settled = settle_order([one for one in said if one[1].order_id == order_id and one[1].step != "refunded"], refunds)
        if settled["counts"] and settled["currency"] in REWARDED:
            returned = sum(money for _, currency, money in settled["refunds"] if currency == settled["currency"])
            points += max(0, settled["amount"] - returned) // 100
    return points
