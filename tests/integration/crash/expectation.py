"""What must stand at the end of a crash run, worked out plainly and in sequence from what was told."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from libs.events.touchpoints import TouchpointRecorded
from tests.support.profile_orders import settle_order
from tests.support.profile_reference import ProfileReference, label_of

REWARDED = {"EUR", "USD", "GBP"}
Told = list[TouchpointRecorded]
_analyzer = SentimentIntensityAnalyzer()


def score(text: str) -> Fraction:
    return Fraction(str(_analyzer.polarity_scores(text)["compound"]))


def _did(told: Told, name: str) -> int:
    return sum(touchpoint.name == name for touchpoint in told)


# Rule as a marketer writes it, and the same said plainly of a profile's touchpoints and view.
SEGMENTS: dict[str, tuple[dict[str, Any], Callable[[Told, dict[str, Any]], bool]]] = {
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


def expect_profiles(touchpoints: Iterable[TouchpointRecorded]) -> dict[str, dict[str, Any]]:
    """By label: identifiers, the folded view, segments and points."""
    reference = ProfileReference(score)
    by_own: dict[tuple[str, str], Told] = {}
    for touchpoint in touchpoints:
        reference.feed(touchpoint)
        own = touchpoint.identifiers[0]
        by_own.setdefault((own.kind, own.value), []).append(touchpoint)
    views = reference.views()
    expected = {}
    for group in reference.groups():
        label = label_of(group)
        told = [touchpoint for node in group for touchpoint in by_own.get(node, [])]
        view = views[label]
        expected[label] = {
            **view,
            "segments": sorted(name for name, (_, holds) in SEGMENTS.items() if holds(told, view)),
            "balance": count_points(told),
        }
    return expected


def count_points(told: Told) -> int:
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
