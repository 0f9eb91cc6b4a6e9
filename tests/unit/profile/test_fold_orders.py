"""Orders, sentence by sentence of docs/semantics.md."""

from datetime import UTC, datetime
from typing import Any

from libs.events.touchpoints import TouchpointRecorded
from libs.orders.statements import OrderStatement
from tests.builders.touchpoints import make_touchpoint
from tests.unit.profile.folded import aggregates

DAY = 24 * 60


def said(
    number: int, step: str, order_id: str | None = "o1", *, at: Any = 0, by: str = "user_id:u1", **stated: Any
) -> TouchpointRecorded:
    stated.setdefault("currency", "EUR")
    order = OrderStatement(step=step, order_id=order_id, **stated)
    return make_touchpoint(number, name=f"Order {step.title()}", by=(by,), at=at, order=order)


def orders_of(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = aggregates(*touchpoints)["orders"]
    return found


NOTHING = {
    "count": 0,
    "occasions": 0,
    "first_at": None,
    "last_at": None,
    "gross_minor": {},
    "refunds_minor": {},
    "net_minor": {},
    "average_minor": {},
}


def test_a_customer_without_orders_has_zeros_and_nulls() -> None:
    assert orders_of(make_touchpoint(1)) == NOTHING


def test_the_latest_word_by_time_states_the_amount_whatever_came_last() -> None:
    orders = orders_of(
        said(1, "completed", amount="10", at=0), said(2, "updated", amount="12.50", at=5), said(3, "updated", amount="11", at=3)
    )
    assert (orders["count"], orders["gross_minor"]) == (1, {"EUR": 1250})


def test_an_orders_time_is_the_least_of_its_completed_and_updated() -> None:
    orders = orders_of(said(1, "completed", amount="10", at=60), said(2, "updated", amount="12", at=-60))
    assert orders["first_at"] == orders["last_at"] == "2026-03-01T11:00:00.000Z"


def test_an_update_without_amounts_leaves_them_but_its_currency_counts() -> None:
    orders = orders_of(said(1, "completed", amount="10"), said(2, "updated", currency="USD", at=5))
    assert orders["gross_minor"] == {"USD": 1000}


def test_amounts_are_rounded_once_half_to_even_to_the_currencys_minor_unit() -> None:
    orders = orders_of(
        said(1, "completed", "a", amount="0.005"),
        said(2, "completed", "b", amount="0.015"),
        said(3, "completed", "c", amount="10.5", currency="JPY"),
        said(4, "completed", "d", amount="0.0005", currency="KWD"),
        said(5, "completed", "e", amount="0.0015", currency="KWD"),
    )
    assert orders["gross_minor"] == {"EUR": 2, "JPY": 10, "KWD": 2}


def test_a_cancelled_order_leaves_count_gross_first_last_and_occasions_and_takes_its_refunds_along() -> None:
    orders = orders_of(
        said(1, "completed", "o1", amount="10", at=0),
        said(2, "completed", "o2", amount="20", at=DAY),
        said(3, "refunded", "o2", amount="5", at=DAY + 1),
        said(4, "cancelled", "o2", at=2 * DAY),
    )
    assert orders == NOTHING | {
        "count": 1,
        "occasions": 1,
        "first_at": "2026-03-01T12:00:00.000Z",
        "last_at": "2026-03-01T12:00:00.000Z",
        "gross_minor": {"EUR": 1000},
        "refunds_minor": {"EUR": 0},
        "net_minor": {"EUR": 1000},
        "average_minor": {"EUR": 1000},
    }


def test_cancelled_is_final_whatever_the_times() -> None:
    orders = orders_of(said(1, "cancelled", at=0), said(2, "completed", amount="10", at=5), said(3, "updated", amount="12", at=9))
    assert (orders["count"], orders["gross_minor"], orders["average_minor"]) == (0, {"EUR": 0}, {"EUR": None})


def test_a_cancellation_has_no_effect_while_the_order_is_unknown() -> None:
    orders = orders_of(said(1, "cancelled"), said(2, "refunded", amount="5"))
    assert orders == NOTHING | {
        "gross_minor": {"EUR": 0},
        "refunds_minor": {"EUR": 500},
        "net_minor": {"EUR": -500},
        "average_minor": {"EUR": None},
    }


def test_a_refund_without_amount_is_what_is_left_by_time() -> None:
    orders = orders_of(
        said(1, "completed", amount="100"),
        said(2, "refunded", amount="40", at=1),
        said(3, "refunded", at=2, currency=None),
        said(4, "refunded", amount="10", at=3),
    )
    assert (orders["refunds_minor"], orders["net_minor"]) == ({"EUR": 11000}, {"EUR": -1000})


def test_what_is_left_follows_the_orders_final_amount() -> None:
    orders = orders_of(said(1, "completed", amount="100"), said(2, "refunded", at=2), said(3, "updated", amount="70", at=5))
    assert (orders["gross_minor"], orders["refunds_minor"]) == ({"EUR": 7000}, {"EUR": 7000})


def test_nothing_is_left_of_an_unknown_order() -> None:
    assert orders_of(said(1, "refunded"))["refunds_minor"] == {"EUR": 0}


def test_one_refund_per_refund_id_the_greatest_t_wins_even_if_it_names_another_order() -> None:
    orders = orders_of(
        said(1, "completed", "o1", amount="10"),
        said(2, "completed", "o2", amount="20", currency="USD", at=1),
        said(3, "refunded", "o1", refund_id="r", amount="4", at=2),
        said(4, "refunded", "o2", refund_id="r", amount="7", currency=None, at=3),
    )
    assert orders["refunds_minor"] == {"EUR": 0, "USD": 700}


def test_at_equal_times_the_greater_touchpoint_id_wins() -> None:
    told = [said(number, "refunded", refund_id="r", amount=str(number), at=2) for number in (3, 9, 5)]
    assert orders_of(*told)["refunds_minor"] == {"EUR": 900}


def test_a_refund_id_is_one_refund_over_all_the_profiles_fragments() -> None:
    orders = orders_of(
        said(1, "completed", amount="10"),
        said(2, "refunded", refund_id="r", amount="4", at=2, by="loyalty_card:c"),
        said(3, "refunded", refund_id="r", amount="6", at=1),
    )
    assert orders["refunds_minor"] == {"EUR": 400}


def test_refunds_without_an_id_are_one_a_touchpoint() -> None:
    assert orders_of(*[said(number, "refunded", amount="2") for number in (1, 2, 3)])["refunds_minor"] == {"EUR": 600}


def test_an_order_id_is_one_order_over_all_the_profiles_fragments() -> None:
    orders = orders_of(said(1, "completed", amount="10"), said(2, "updated", amount="11", at=2, by="loyalty_card:c"))
    assert (orders["count"], orders["gross_minor"]) == (1, {"EUR": 1100})


def test_a_refunds_currency_is_its_own_else_its_orders_else_the_sources() -> None:
    orders = orders_of(
        said(1, "completed", "o1", amount="10", currency="USD"),
        said(2, "refunded", "o1", amount="1", currency="GBP"),
        said(3, "refunded", "o1", amount="2", currency=None),
        said(4, "refunded", None, amount="4", currency=None, default_currency="CHF"),
    )
    assert orders["refunds_minor"] == {"CHF": 400, "GBP": 100, "USD": 200}
    assert orders["net_minor"] == {"CHF": -400, "GBP": -100, "USD": 800}
    assert orders["average_minor"] == {"CHF": None, "GBP": None, "USD": 800}


def test_a_refund_takes_its_orders_currency_also_when_it_came_first() -> None:
    orders = orders_of(said(1, "refunded", amount="2", currency=None), said(2, "completed", amount="10", currency="USD", at=5))
    assert orders["refunds_minor"] == {"USD": 200}


def test_refunds_are_never_capped() -> None:
    orders = orders_of(said(1, "completed", amount="10"), said(2, "refunded", amount="25"))
    assert (orders["refunds_minor"], orders["net_minor"], orders["average_minor"]) == (
        {"EUR": 2500},
        {"EUR": -1500},
        {"EUR": -1500},
    )


def test_the_average_is_net_by_orders_half_to_even() -> None:
    assert orders_of(*[said(n, "completed", f"o{n}", amount=a) for n, a in ((1, "0.01"), (2, "0.02"))])["average_minor"] == {
        "EUR": 2
    }
    assert orders_of(*[said(n, "completed", f"o{n}", amount=a) for n, a in ((1, "0.02"), (2, "0.03"))])["average_minor"] == {
        "EUR": 2
    }
    assert orders_of(
        said(1, "completed", "a", amount="0"), said(2, "completed", "b", amount="0"), said(3, "refunded", "a", amount="0.03")
    )["average_minor"] == {"EUR": -2}


def test_occasions_are_utc_days_on_which_orders_less_refunds_of_that_day_are_positive_in_any_currency() -> None:
    orders = orders_of(
        said(1, "completed", "o1", amount="10", at=datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)),
        said(2, "completed", "o2", amount="10", at=datetime(2026, 3, 2, 0, 0, tzinfo=UTC)),
        said(3, "completed", "o3", amount="5", at=datetime(2026, 3, 2, 12, 0, tzinfo=UTC)),
        said(4, "refunded", "o1", amount="15", at=datetime(2026, 3, 2, 13, 0, tzinfo=UTC)),
        said(5, "completed", "o4", amount="1", currency="USD", at=datetime(2026, 3, 3, tzinfo=UTC)),
        said(6, "refunded", "o2", amount="9", at=datetime(2026, 3, 3, tzinfo=UTC)),
        said(7, "completed", "o5", amount="0", at=datetime(2026, 3, 4, tzinfo=UTC)),
    )
    assert (orders["count"], orders["occasions"]) == (5, 2)


def test_first_and_last_survive_the_cancellation_of_many_orders() -> None:
    kept = [said(n, "completed", f"o{n}", amount="1", at=n * DAY) for n in range(1, 4)]
    gone = [said(100 + n, "completed", f"g{n}", amount="1", at=(n - 30) * DAY) for n in range(20)]
    gone += [said(200 + n, "completed", f"h{n}", amount="1", at=(n + 10) * DAY) for n in range(20)]
    orders = orders_of(
        *kept, *gone, *[said(1000 + n, "cancelled", one.order.order_id, at=0) for n, one in enumerate(gone) if one.order]
    )
    assert (orders["count"], orders["first_at"], orders["last_at"]) == (3, "2026-03-02T12:00:00.000Z", "2026-03-04T12:00:00.000Z")


def test_the_last_order_is_found_behind_orders_that_another_fragment_knew_earlier() -> None:
    early = [said(n, "completed", f"o{n}", amount="1", at=n) for n in range(1, 21)]
    late_words = [said(100 + n, "updated", f"o{n}", amount="2", at=50 * DAY + n, by="loyalty_card:c") for n in range(1, 21)]
    real_last = said(300, "completed", "last", amount="3", at=30 * DAY)
    cancelled_last = [said(301, "completed", "gone", amount="3", at=60 * DAY), said(302, "cancelled", "gone", at=0)]
    orders = orders_of(*early, *late_words, real_last, *cancelled_last)
    assert (orders["count"], orders["last_at"]) == (21, "2026-03-31T12:00:00.000Z")


def test_orders_without_an_id_are_one_a_touchpoint() -> None:
    told = [said(number, "completed", None, amount="1") for number in (1, 2)]
    told = [
        make_touchpoint(n, name="Order Completed", order=OrderStatement(step="completed", order_id=str(t.id), amount="1"))
        for n, t in enumerate(told, 1)
    ]
    assert orders_of(*told)["count"] == 2


def test_sums_are_exact_beyond_64_bits() -> None:
    orders = orders_of(said(1, "completed", "a", amount="9" * 30), said(2, "completed", "b", amount="0.01"))
    assert orders["gross_minor"] == {"EUR": int("9" * 30 + "00") + 1}


def test_order_ids_of_any_length_are_told_apart() -> None:
    told = [said(n, "completed", "x" * 5000 + tail, amount="1") for n, tail in enumerate(("a", "b", "a"), 1)]
    assert orders_of(*told)["count"] == 2
