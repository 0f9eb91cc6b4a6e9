"""Figures of a group of customers, exact over their stored views; docs/semantics.md says what each means.

A Fraction is rounded half to even, once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from services.segmentation.domain.evaluation import read_consent
from services.segmentation.domain.nodes import Consent

Kpi: TypeAlias = Literal["revenue", "average_order", "repeat_rate", "nps", "csat", "reach"]
KPIS: Final[tuple[Kpi, ...]] = get_args(Kpi)
REACH_CHANNELS: Final = ("email", "sms", "push")
_PROMOTER: Final = 9
_DETRACTOR: Final = 6
_REPEAT: Final = 2
_PERCENT: Final = 100


class _Orders(msgspec.Struct):
    count: int = 0
    occasions: int = 0
    net_minor: dict[str, int] = {}
    average_minor: dict[str, int | None] = {}


class _Support(msgspec.Struct):
    csat_latest: Decimal | None = None


class _Surveys(msgspec.Struct):
    nps_latest: Decimal | None = None


class _Aggregates(msgspec.Struct):
    orders: _Orders = msgspec.field(default_factory=_Orders)
    support: _Support = msgspec.field(default_factory=_Support)
    surveys: _Surveys = msgspec.field(default_factory=_Surveys)


class View(msgspec.Struct):
    """The part of a profile's view that figures are made of."""

    aggregates: _Aggregates = msgspec.field(default_factory=_Aggregates)
    consent: list[dict[str, Any]] = []


_decode: Final = msgspec.json.Decoder(View).decode


def read_view_figures(raw: bytes) -> View:
    """What can't be read says nothing; it is a customer all the same."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return View()


@dataclass(slots=True)
class Money:
    """Of one currency: net of everybody, and net and orders of those who have ordered in no other."""

    net: int = 0
    single_net: int = 0
    single_orders: int = 0


@dataclass(slots=True)
class Tally:
    """Adds up views, one a customer, in any order."""

    purpose: str = "marketing"
    customers: int = 0
    orders: int = 0
    buyers: int = 0
    repeat_buyers: int = 0
    mixed: int = 0
    money: dict[str, Money] = field(default_factory=dict)
    promoters: int = 0
    detractors: int = 0
    nps_answers: int = 0
    csat_sum: Decimal = Decimal(0)
    csat_answers: int = 0
    reached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REACH_CHANNELS, 0))

    def add(self, view: View) -> None:
        self.customers += 1
        self._add_orders(view.aggregates.orders)
        nps, csat = view.aggregates.surveys.nps_latest, view.aggregates.support.csat_latest
        if nps is not None:
            self.nps_answers += 1
            self.promoters += nps >= _PROMOTER
            self.detractors += nps <= _DETRACTOR
        if csat is not None:
            self.csat_answers += 1
            self.csat_sum += csat
        if view.consent:
            told = {"consent": view.consent}
            for channel in REACH_CHANNELS:
                self.reached[channel] += read_consent(Consent(self.purpose, channel), told) == "granted"

    def _add_orders(self, orders: _Orders) -> None:
        self.orders += orders.count
        self.buyers += orders.occasions > 0
        self.repeat_buyers += orders.occasions >= _REPEAT
        for currency, net in orders.net_minor.items():
            self.money.setdefault(currency, Money()).net += net
        # A view tells how many orders there are, not how many of each currency: who has several counts for no average.
        ordered = [currency for currency, average in orders.average_minor.items() if average is not None]
        if len(ordered) > 1:
            self.mixed += 1
        elif ordered:
            money = self.money.setdefault(ordered[0], Money())
            money.single_net += orders.net_minor.get(ordered[0], 0)
            money.single_orders += orders.count

    def show(self, kpi: Kpi) -> Any:
        """One figure as the API shows it; what nobody has said anything of is null."""
        return _SHOWN[kpi](self)


def _show_average_order(tally: Tally) -> Mapping[str, Any]:
    averages = {
        currency: round(Fraction(one.single_net, one.single_orders))
        for currency, one in sorted(tally.money.items())
        if one.single_orders
    }
    return {"minor": averages, "left_out": tally.mixed}


def _show_repeat_rate(tally: Tally) -> Mapping[str, Any]:
    return {
        "buyers": tally.buyers,
        "repeat_buyers": tally.repeat_buyers,
        "rate": _share(tally.repeat_buyers, tally.buyers),
    }


def _show_nps(tally: Tally) -> Mapping[str, Any]:
    net = _PERCENT * (tally.promoters - tally.detractors)
    score = float(round(Fraction(net, tally.nps_answers), 2)) if tally.nps_answers else None
    passives = tally.nps_answers - tally.promoters - tally.detractors
    return {
        "answers": tally.nps_answers,
        "promoters": tally.promoters,
        "passives": passives,
        "detractors": tally.detractors,
        "score": score,
    }


def _show_csat(tally: Tally) -> Mapping[str, Any]:
    average = float(round(Fraction(tally.csat_sum) / tally.csat_answers, 2)) if tally.csat_answers else None
    return {"answers": tally.csat_answers, "average": average}


def _show_reach(tally: Tally) -> Mapping[str, Any]:
    channels = {name: {"customers": count, "share": _share(count, tally.customers)} for name, count in tally.reached.items()}
    return {"purpose": tally.purpose, "channels": channels}


_SHOWN: Final[Mapping[Kpi, Any]] = {
    "revenue": lambda tally: {
        "orders": tally.orders,
        "net_minor": {currency: one.net for currency, one in sorted(tally.money.items())},
    },
    "average_order": _show_average_order,
    "repeat_rate": _show_repeat_rate,
    "nps": _show_nps,
    "csat": _show_csat,
    "reach": _show_reach,
}


def _share(part: int, whole: int) -> float | None:
    """Four decimals; null of nobody."""
    return float(round(Fraction(part, whole), 4)) if whole else None
