"""The written rules, one by one, with numbers a person can check."""

from typing import Any
from uuid import UUID

import pytest
from iso4217 import Currency

from libs.orders.currencies import exponent_of, from_minor, is_currency, to_minor
from libs.orders.parts import OrderPart, RefundPart, fold_order, fold_refund, merge_orders, refund_key
from libs.orders.settle import SettledOrder, settle, settle_orders
from libs.orders.statements import OrderStatement

Said = tuple[int, OrderStatement]


def say(t: int, step: str, amount: str | None = None, **more: Any) -> Said:
    return t, OrderStatement(step=step, **{"order_id": "o1", "amount": amount, **more})  # type: ignore[arg-type]


def settle_all(*said: Said) -> dict[str | None, SettledOrder]:
    orders: dict[str, OrderPart] = {}
    refunds: dict[str, RefundPart] = {}
    for number, (t, statement) in enumerate(said):
        touchpoint_id = UUID(int=number)
        if statement.step == "refunded":
            key = refund_key(statement, touchpoint_id)
            refunds[key] = fold_refund(refunds.get(key), statement, t, touchpoint_id)
        else:
            order_id = statement.order_id or ""
            orders[order_id] = fold_order(orders.get(order_id), statement, t, touchpoint_id)
    settled = settle_orders({order_id: [part] for order_id, part in orders.items()}, refunds.values())
    return {order.order_id: order for order in settled}


def settle_one(*said: Said) -> SettledOrder:
    return settle_all(*said)["o1"]


def amounts(order: SettledOrder) -> list[tuple[str, int]]:
    return [(refund.currency, refund.amount_minor) for refund in order.refunds]


def test_the_latest_statement_by_time_states_the_amount_and_the_first_its_time() -> None:
    order = settle_one(say(5, "updated", "80"), say(9, "completed", "100"), say(7, "updated", "90"))
    assert (order.gross_minor, order.at_us, order.currency) == (10000, 5, "EUR")


def test_at_equal_times_the_greater_touchpoint_id_is_the_later() -> None:
    assert settle_one(say(5, "completed", "1"), say(5, "updated", "2")).gross_minor == 200


def test_an_update_that_states_nothing_leaves_the_amount_but_its_currency_counts() -> None:
    order = settle_one(say(1, "completed", "100", currency="EUR"), say(2, "updated", currency="JPY"))
    assert (order.gross_minor, order.currency) == (100, "JPY")


def test_a_bare_update_names_no_currency_so_the_sources_default_yields() -> None:
    order = settle_one(say(1, "completed", "100", currency="USD"), say(2, "updated", default_currency="EUR"))
    assert (order.gross_minor, order.currency) == (10000, "USD")
    assert settle_one(say(2, "updated", default_currency="GBP")).currency == "GBP"


def test_an_amount_without_currency_is_in_the_sources_default() -> None:
    order = settle_one(say(1, "completed", "100", currency="USD"), say(2, "updated", "90", default_currency="EUR"))
    assert (order.gross_minor, order.currency) == (9000, "EUR")


def test_a_completed_order_that_states_nothing_is_worth_nothing() -> None:
    assert settle_one(say(1, "updated", "50"), say(2, "completed")).gross_minor == 0


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("19.995", "EUR", 2000),
        ("19.985", "EUR", 1998),
        ("0.005", "EUR", 0),
        ("0.0050000001", "EUR", 1),
        ("2.5", "JPY", 2),
        ("3.5", "JPY", 4),
        ("1.2345", "KWD", 1234),
        ("1.2355", "KWD", 1236),
        ("1.5", "XAU", 150),
        ("123456789012345678901234567890.005", "EUR", 12345678901234567890123456789000),
    ],
)
def test_amounts_are_rounded_once_half_to_even_by_the_currency(amount: str, currency: str, minor: int) -> None:
    assert settle_one(say(1, "completed", amount, currency=currency)).gross_minor == minor


def test_a_cancelled_order_leaves_with_its_refunds_whatever_the_times() -> None:
    order = settle_one(say(1, "cancelled"), say(5, "completed", "100"), say(6, "refunded", "10", currency="USD"))
    assert (order.known, order.cancelled, order.counts) == (True, True, False)
    assert (order.gross_minor, order.refunds, order.net_points_base) == (0, (), 0)
    assert order.currencies == {"EUR", "USD"}


def test_a_cancellation_has_no_effect_while_the_order_is_unknown() -> None:
    order = settle_one(say(1, "cancelled"), say(6, "refunded", "10"), say(7, "refunded"))
    assert (order.known, order.cancelled, order.counts) == (False, False, False)
    assert amounts(order) == [("EUR", 1000), ("EUR", 0)]


def test_a_refund_without_amount_is_what_earlier_ones_left() -> None:
    order = settle_one(say(1, "completed", "100"), say(2, "refunded", "40"), say(3, "refunded"), say(4, "refunded", "10"))
    assert amounts(order) == [("EUR", 4000), ("EUR", 6000), ("EUR", 1000)]
    assert order.over_refunded
    assert order.net_points_base == 0


def test_what_is_left_goes_by_the_final_amount_and_is_never_negative() -> None:
    order = settle_one(say(1, "completed", "100"), say(2, "refunded"), say(9, "updated", "70"))
    assert amounts(order) == [("EUR", 7000)]
    assert amounts(settle_one(say(1, "completed", "10"), say(2, "refunded", "40"), say(3, "refunded")))[-1] == ("EUR", 0)


def test_a_refund_is_never_capped() -> None:
    order = settle_one(say(1, "completed", "10"), say(2, "refunded", "40"))
    assert amounts(order) == [("EUR", 4000)]
    assert order.over_refunded


def test_a_refund_takes_its_own_currency_else_its_orders_else_the_sources() -> None:
    order = settle_one(
        say(1, "completed", "100", currency="USD"), say(2, "refunded", "10"), say(3, "refunded", "5", currency="GBP")
    )
    assert amounts(order) == [("USD", 1000), ("GBP", 500)]
    assert amounts(settle_one(say(2, "refunded", "10", default_currency="SEK"))) == [("SEK", 1000)]


def test_a_refund_in_another_currency_lowers_neither_points_nor_what_is_left() -> None:
    order = settle_one(
        say(1, "completed", "100"), say(2, "refunded", "10", currency="USD"), say(3, "refunded", "1"), say(4, "refunded")
    )
    assert amounts(order) == [("USD", 1000), ("EUR", 100), ("EUR", 9900)]
    assert [refund.same_currency for refund in order.refunds] == [False, True, True]
    two = settle_one(say(1, "completed", "100"), say(2, "refunded", "10", currency="USD"), say(3, "refunded", "1"))
    assert two.net_points_base == 9900


def test_what_is_left_under_another_currency_is_the_same_number_there() -> None:
    order = settle_one(say(1, "completed", "100.5"), say(2, "refunded", currency="JPY"))
    assert amounts(order) == [("JPY", 100)]


def test_a_refund_id_counts_once_and_its_last_word_may_name_another_order() -> None:
    orders = settle_all(
        say(1, "completed", "100"),
        say(1, "completed", "50", order_id="o2"),
        say(5, "refunded", "10", refund_id="r", order_id="o2"),
        say(4, "refunded", "30", refund_id="r"),
    )
    assert amounts(orders["o1"]) == []
    assert amounts(orders["o2"]) == [("EUR", 1000)]


def test_only_the_winner_counts_towards_what_is_left() -> None:
    order = settle_one(
        say(1, "completed", "100"),
        say(2, "refunded", "30", refund_id="r"),
        say(3, "refunded", "20", refund_id="r"),
        say(4, "refunded"),
    )
    assert amounts(order) == [("EUR", 2000), ("EUR", 8000)]


def test_refunds_of_no_order_count_by_themselves() -> None:
    orders = settle_all(
        say(1, "completed", "1"), say(2, "refunded", "10", order_id=None), say(3, "refunded", None, order_id=None)
    )
    assert amounts(orders[None]) == [("EUR", 1000), ("EUR", 0)]
    assert list(orders) == ["o1", None]


def test_an_order_nothing_is_said_of_is_empty() -> None:
    nothing = settle(None, ())
    assert (nothing.order_id, nothing.known, nothing.refunds, nothing.currencies) == (None, False, (), frozenset())


def test_a_refund_id_never_collides_with_a_touchpoint_id() -> None:
    touchpoint_id = UUID(int=7)
    by_touchpoint = refund_key(OrderStatement(step="refunded"), touchpoint_id)
    assert by_touchpoint != refund_key(OrderStatement(step="refunded", refund_id=str(touchpoint_id)), touchpoint_id)


def test_misuse_is_refused() -> None:
    _, order = say(1, "completed", "1")
    _, refund = say(1, "refunded", "1")
    with pytest.raises(ValueError, match="about an order"):
        fold_order(None, refund, 1, UUID(int=1))
    with pytest.raises(ValueError, match="about an order"):
        fold_order(None, OrderStatement(step="completed"), 1, UUID(int=1))
    with pytest.raises(ValueError, match="about a refund"):
        fold_refund(None, order, 1, UUID(int=1))
    with pytest.raises(ValueError, match="two orders"):
        merge_orders(OrderPart("a"), OrderPart("b"))


def test_currencies_are_those_of_iso_4217() -> None:
    assert all(is_currency(currency.code) for currency in Currency)
    assert not is_currency("eur")
    assert not is_currency("HRK")
    assert (exponent_of("EUR"), exponent_of("JPY"), exponent_of("KWD"), exponent_of("CLF"), exponent_of("HRK")) == (2, 0, 3, 4, 2)
    assert all(to_minor(from_minor(12345, currency.code), currency.code) == 12345 for currency in Currency)
