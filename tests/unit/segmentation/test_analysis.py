"""Figures of a group: exact, rounded once, the same for every order of the customers."""

from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.domain.analysis import KPIS, Tally, View, read_view_figures

EMPTY = {
    "revenue": {"orders": 0, "net_minor": {}},
    "average_order": {"minor": {}, "left_out": 0},
    "repeat_rate": {"buyers": 0, "repeat_buyers": 0, "rate": None},
    "nps": {"answers": 0, "promoters": 0, "passives": 0, "detractors": 0, "score": None},
    "csat": {"answers": 0, "average": None},
}


def make_view(
    orders: dict[str, Any] | None = None, nps: Any = None, csat: Any = None, consent: tuple[tuple[str, str], ...] = ()
) -> View:
    """`orders`: currency -> (orders, net in minor units). `consent`: (channel, status)."""
    money = orders or {}
    body = {
        "id": "x",
        "aggregates": {
            "orders": {
                "count": sum(count for count, _ in money.values()),
                "occasions": sum(count for count, _ in money.values()),
                "net_minor": {currency: net for currency, (_, net) in money.items()},
                "average_minor": {currency: net // count if count else None for currency, (count, net) in money.items()},
            },
            "surveys": {"nps_latest": nps},
            "support": {"csat_latest": csat},
        },
        "consent": [
            {"purpose": "marketing", "channel": channel, "status": status, "at": "2026-01-01T00:00:00.000Z"}
            for channel, status in consent
        ],
    }
    return read_view_figures(msgspec.json.encode(body))


def tally(*views: View, purpose: str = "marketing") -> Tally:
    counted = Tally(purpose)
    for view in views:
        counted.add(view)
    return counted


def test_nobody_has_no_rates() -> None:
    assert {kpi: tally().show(kpi) for kpi in KPIS if kpi != "reach"} == EMPTY


def test_a_customer_of_whom_nothing_is_known_is_one_all_the_same() -> None:
    counted = tally(read_view_figures(b"{}"), read_view_figures(b"nonsense"))
    assert counted.customers == 2
    assert {kpi: counted.show(kpi) for kpi in KPIS if kpi != "reach"} == EMPTY


def test_money_is_summed_by_currency_and_averaged_over_orders_half_to_even() -> None:
    counted = tally(make_view({"EUR": (1, 1000)}), make_view({"EUR": (3, 1002)}), make_view({"USD": (2, -5)}))
    assert counted.show("revenue") == {"orders": 6, "net_minor": {"EUR": 2002, "USD": -5}}
    # 2002 / 4 = 500.5 and -5 / 2 = -2.5: to the even neighbour.
    assert counted.show("average_order") == {"minor": {"EUR": 500, "USD": -2}, "left_out": 0}


def test_who_ordered_in_two_currencies_counts_for_no_average() -> None:
    counted = tally(make_view({"EUR": (1, 1000)}), make_view({"EUR": (1, 9000), "USD": (1, 50)}), make_view({"USD": (0, -700)}))
    assert counted.show("revenue")["net_minor"] == {"EUR": 10000, "USD": -650}
    assert counted.show("average_order") == {"minor": {"EUR": 1000}, "left_out": 1}


def test_the_repeat_rate_is_of_those_who_bought() -> None:
    counted = tally(make_view({"EUR": (1, 1)}), make_view({"EUR": (2, 1)}), make_view({"EUR": (5, 1)}), make_view())
    assert counted.show("repeat_rate") == {"buyers": 3, "repeat_buyers": 2, "rate": 0.6667}


def test_nps_is_promoters_less_detractors() -> None:
    counted = tally(*(make_view(nps=score) for score in (10, 9, 8, 7, 6, 0, None)))
    assert counted.show("nps") == {"answers": 6, "promoters": 2, "passives": 2, "detractors": 2, "score": 0.0}
    assert tally(make_view(nps=0)).show("nps")["score"] == -100.0
    assert tally(make_view(nps=9), make_view(nps=9), make_view(nps=7)).show("nps")["score"] == 66.67


def test_csat_is_the_mean_of_the_last_answers() -> None:
    assert tally(make_view(csat=5), make_view(csat=4), make_view(csat=4), make_view()).show("csat") == {
        "answers": 3,
        "average": 4.33,
    }
    # 0.125 and 0.375, exact in binary and in decimal: half to even at two decimals.
    assert tally(make_view(csat=0.125)).show("csat")["average"] == 0.12
    assert tally(make_view(csat=0.375)).show("csat")["average"] == 0.38


def test_reach_is_the_effective_consent_of_each_channel() -> None:
    counted = tally(
        make_view(consent=(("email", "granted"),)),
        make_view(consent=(("*", "granted"), ("sms", "denied"))),
        make_view(consent=(("email", "denied"),)),
        make_view(),
    )
    assert counted.show("reach") == {
        "purpose": "marketing",
        "channels": {
            "email": {"customers": 2, "share": 0.5},
            "sms": {"customers": 0, "share": 0.0},
            "push": {"customers": 1, "share": 0.25},
        },
    }
    other = tally(make_view(consent=(("email", "granted"),)), purpose="research")
    assert other.show("reach")["channels"]["email"]["customers"] == 0


VIEWS = st.builds(
    make_view,
    st.dictionaries(st.sampled_from(("EUR", "USD")), st.tuples(st.integers(0, 5), st.integers(-(10**6), 10**9))),
    st.none() | st.integers(0, 10),
    st.none() | st.integers(1, 5),
)


@given(st.lists(VIEWS, max_size=30), st.randoms())
def test_the_order_of_customers_changes_nothing_and_sums_are_exact(views: list[View], chance: Any) -> None:
    shuffled = list(views)
    chance.shuffle(shuffled)
    counted = tally(*views)
    assert counted == tally(*shuffled)
    single = [view.aggregates.orders for view in views if set(view.aggregates.orders.average_minor) == {"EUR"}]
    counting = [one for one in single if one.count]
    mean = counted.show("average_order")["minor"].get("EUR")
    if len(counting) == len([view for view in views if view.aggregates.orders.average_minor.get("EUR") is not None]) > 0:
        assert mean == round(Fraction(sum(one.net_minor["EUR"] for one in counting), sum(one.count for one in counting)))
