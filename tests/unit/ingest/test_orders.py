import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.orders.statements import Money, OrderLine, OrderStatement
from services.ingest.domain.amounts import read_amount, read_usual
from services.ingest.domain.reasons import Flag, Reason
from tests.support.intake import SERVER, World, decode_outgoing, make_order, make_track, refuse, take


def state(name: str = "Order Completed", /, **properties: Any) -> OrderStatement:
    statement = take(make_order(name, **properties)).order
    assert statement is not None
    return statement


def send_literal(properties: str, name: str = "Order Completed") -> Any:
    """One order whose properties are exactly these bytes: the recorded touchpoint, or the refusal."""
    body = b'{"batch":[{"type":"track","event":"%s","userId":"u1","properties":%s}]}' % (name.encode(), properties.encode())
    receipt = World().judge(body)
    return receipt.rejected[0] if receipt.rejected else decode_outgoing(receipt)[0]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("Order Completed", "completed"),
        ("Order Updated", "updated"),
        ("Order Cancelled", "cancelled"),
        ("Order Refunded", "refunded"),
    ],
)
def test_four_names_state_something_of_an_order(name: str, step: str) -> None:
    statement = state(name, total=5)
    assert (statement.step, statement.order_id) == (step, "o1")


def test_no_other_name_does() -> None:
    assert take(make_track(event="Checkout Started", properties={"order_id": "o", "revenue": 5})).order is None
    assert take({"type": "page", "userId": "u", "name": "Order Completed", "properties": {"revenue": 5}}).order is None


def test_the_amount_is_the_revenue() -> None:
    assert state(revenue=10, total=12, products=[{"price": 3}]).amount == "10"


def test_else_the_total() -> None:
    assert state(total=12, products=[{"price": 3}]).amount == "12"


def test_else_price_times_quantity_less_each_lines_discount() -> None:
    lines = [{"price": 3, "quantity": 2, "discount": 1}, {"price": 0.5}, {"sku": "free"}]
    assert state(products=lines).amount == "5.5"


def test_a_null_is_as_good_as_absent() -> None:
    assert state(revenue=None, total=None, products=[{"price": 3, "quantity": None, "discount": None}]).amount == "3"


def test_a_completed_order_without_amounts_and_lines_comes_to_nothing() -> None:
    assert state().amount == "0"


@pytest.mark.parametrize("properties", [{}, {"products": []}, {"products": [{"sku": "s"}]}, {"tax": 3, "discount": 1}])
def test_an_update_without_revenue_total_or_priced_lines_leaves_the_amount(properties: dict[str, Any]) -> None:
    statement = state("Order Updated", **properties)
    assert (statement.amount, statement.currency) == (None, "EUR")


def test_a_cancellation_states_no_amount() -> None:
    assert state("Order Cancelled", revenue=10).amount is None


def test_a_refund_is_its_total_else_its_revenue_else_its_lines_else_what_is_left() -> None:
    lines = [{"price": 2, "quantity": 3}]
    assert state("Order Refunded", total=4, revenue=5, products=lines).amount == "4"
    assert state("Order Refunded", revenue=5, products=lines).amount == "5"
    assert state("Order Refunded", products=lines).amount == "6"
    assert state("Order Refunded").amount is None


def test_a_refund_has_its_own_id() -> None:
    assert state("Order Refunded", refund_id=7, total=1).refund_id == "7"
    assert state("Order Refunded", total=1).refund_id is None
    assert state("Order Completed", refund_id=7, total=1).refund_id is None


def test_a_refund_may_name_no_order() -> None:
    statement = take(make_track(event="Order Refunded", properties={"total": 5, "refund_id": "C1"})).order
    assert statement is not None
    assert (statement.order_id, statement.refund_id) == (None, "C1")


@pytest.mark.parametrize(
    ("literal", "plain"),
    [
        ("19.90", "19.90"),
        ("0.1", "0.1"),
        ("1e2", "100"),
        ("1.5E-3", "0.0015"),
        ("123456789012.123456789", "123456789012.123456789"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("-0.0", "0"),
        ("0E+999999", "0"),
    ],
)
def test_the_amount_is_the_literal_that_was_sent_never_a_float(literal: str, plain: str) -> None:
    assert send_literal(f'{{"order_id":"o","currency":"EUR","revenue":{literal}}}').order.amount == plain


@given(
    st.lists(
        st.tuples(
            st.decimals(min_value=0, max_value=99_999, places=4, allow_nan=False),
            st.integers(min_value=1, max_value=99),
            st.decimals(min_value=0, max_value=0, places=2),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_sums_of_lines_are_exact(lines: list[tuple[Decimal, int, Decimal]]) -> None:
    products = ",".join(f'{{"price":{price:f},"quantity":{quantity},"discount":{off:f}}}' for price, quantity, off in lines)
    expected = sum((price * quantity - off for price, quantity, off in lines), Decimal(0))
    touchpoint = send_literal(f'{{"order_id":"o","currency":"EUR","products":[{products}]}}')
    assert Decimal(touchpoint.order.amount) == expected


@pytest.mark.parametrize("field", ["revenue", "total", "subtotal", "tax", "shipping", "discount", "value"])
@pytest.mark.parametrize(
    "value", ['"abc"', "1e400", "-1e400", "NaN", "Infinity", '"NaN"', '"1_000"', '"12,50"', '""', "true", "{}", "[]"]
)
def test_an_amount_that_is_no_finite_number_is_refused_whichever_field_states_it(field: str, value: str) -> None:
    rejected = send_literal(f'{{"order_id":"o","currency":"EUR","revenue":1,"{field}":{value}}}')
    assert rejected.reason is Reason.AMOUNT_INVALID


@pytest.mark.parametrize("field", ["revenue", "total", "subtotal", "tax", "shipping", "discount", "value"])
@pytest.mark.parametrize("name", ["Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"])
def test_a_negative_amount_on_an_order_is_refused_whichever_field_states_it(name: str, field: str) -> None:
    assert refuse(make_order(name, **{"total": 5, field: -0.01})).reason is Reason.AMOUNT_NEGATIVE


@pytest.mark.parametrize("field", ["price", "quantity", "discount"])
def test_lines_are_held_to_the_same_rules(field: str) -> None:
    line = {"price": 5, "quantity": 1}
    assert refuse(make_order(revenue=5, products=[line, {**line, field: -1}])).reason is Reason.AMOUNT_NEGATIVE
    assert refuse(make_order(revenue=5, products=[line, {**line, field: "abc"}])).reason is Reason.AMOUNT_INVALID


def test_lines_that_come_to_a_negative_amount_are_refused() -> None:
    assert refuse(make_order(products=[{"price": 5, "discount": 6}])).reason is Reason.AMOUNT_NEGATIVE


@pytest.mark.parametrize("literal", ["1e13", "1e308", "9" * 300, "1e-401", "1E-999999999999999999999"])
def test_an_amount_beyond_what_money_can_be_is_refused(literal: str) -> None:
    assert send_literal(f'{{"order_id":"o","currency":"EUR","revenue":{literal}}}').reason is Reason.AMOUNT_INVALID


def test_lines_that_come_to_more_than_money_can_be_are_refused() -> None:
    assert refuse(make_order(products=[{"price": 9e12}, {"price": 9e12}])).reason is Reason.AMOUNT_INVALID


def test_other_touchpoints_may_say_what_they_like() -> None:
    touchpoint = take(make_track(event="Form Sent", properties={"value": "abc", "price": -5, "currency": "gold"}))
    assert touchpoint.order is None


def test_a_number_that_no_double_can_hold_refuses_any_touchpoint() -> None:
    call = b'{"type":"track","event":"Scored","userId":"u1","properties":{"score":1e400}}'
    assert refuse(call).reason is Reason.NUMBER_NOT_FINITE


class TestRepairs:
    def test_lower_case_currency_is_repaired_and_flagged(self) -> None:
        touchpoint = take(make_order(revenue=5, currency=" eur "))
        assert touchpoint.order is not None
        assert touchpoint.order.currency == "EUR"
        assert touchpoint.flags == (Flag.CURRENCY_CASE,)
        assert msgspec.json.decode(touchpoint.properties)["currency"] == "EUR"

    def test_a_number_sent_as_text_is_repaired_and_flagged(self) -> None:
        touchpoint = take(make_order(revenue=" 19.90 ", products=[{"price": "9.95", "quantity": "2"}]))
        assert touchpoint.order is not None
        assert touchpoint.order.amount == "19.90"
        assert touchpoint.flags == (Flag.NUMBER_AS_TEXT,)
        assert b'"revenue":19.90' in bytes(touchpoint.properties)
        assert b'"price":9.95,"quantity":2' in bytes(touchpoint.properties)

    def test_a_missing_currency_is_the_sources_default_and_flagged(self) -> None:
        touchpoint = take(make_order(revenue=5, currency=None), source=replace(SERVER, default_currency="USD"))
        assert touchpoint.order is not None
        assert (touchpoint.order.currency, touchpoint.order.default_currency) == (None, "USD")
        assert touchpoint.flags == (Flag.CURRENCY_MISSING,)
        assert msgspec.json.decode(touchpoint.properties)["currency"] == "USD"

    @pytest.mark.parametrize(("name", "properties"), [("Order Refunded", {"total": 5}), ("Order Updated", {"tax": 1})])
    def test_a_refund_takes_its_orders_currency_and_a_bare_update_leaves_it(self, name: str, properties: Any) -> None:
        touchpoint = take(make_order(name, currency=None, **properties))
        assert touchpoint.order is not None
        assert (touchpoint.order.currency, touchpoint.order.default_currency) == (None, "EUR")
        assert touchpoint.flags == ()

    def test_a_missing_order_id_is_the_touchpoints(self) -> None:
        touchpoint = take(make_track(event="Order Completed", properties={"revenue": 5, "currency": "EUR"}))
        assert touchpoint.order is not None
        assert touchpoint.order.order_id == str(touchpoint.id)
        assert touchpoint.flags == (Flag.ORDER_ID_MISSING,)

    @pytest.mark.parametrize("order_id", [17, "17", 17.0])
    def test_an_order_id_may_be_a_number(self, order_id: object) -> None:
        assert state(order_id=order_id, revenue=1).order_id == "17"

    @pytest.mark.parametrize("currency", ["ZZZ", "EURO", "E", 978, ["EUR"]])
    def test_a_currency_unknown_to_iso_4217_is_refused(self, currency: object) -> None:
        assert refuse(make_order(revenue=5, currency=currency)).reason is Reason.CURRENCY_UNKNOWN

    def test_go_writes_order_id_product_id_and_sku_its_own_way(self) -> None:
        call = make_track(
            event="Order Completed",
            properties={"orderId": "o7", "currency": "EUR", "products": [{"id": "p1", "sky": "s1", "price": 2, "quantity": 2}]},
        )
        touchpoint = take(call)
        assert touchpoint.order is not None
        assert (touchpoint.order.order_id, touchpoint.order.amount) == ("o7", "4")
        properties = msgspec.json.decode(touchpoint.properties)
        assert (properties["order_id"], properties["products"][0]["product_id"], properties["products"][0]["sku"]) == (
            "o7",
            "p1",
            "s1",
        )
        assert touchpoint.flags == (Flag.ALIASES,)

    def test_the_standard_names_win_over_the_aliases(self) -> None:
        assert state(order_id="right", orderId="wrong", revenue=1).order_id == "right"

    def test_aliases_mean_nothing_outside_commerce(self) -> None:
        properties = {"orderId": "o", "products": [{"id": "p"}]}
        assert msgspec.json.decode(take(make_track(event="Form Sent", properties=properties)).properties) == properties

    def test_an_order_with_nothing_to_repair_passes_as_its_very_bytes(self) -> None:
        literal = '{ "order_id": "o",  "revenue": 19.90, "currency":"EUR", "note": "\\u00fc" }'
        assert bytes(send_literal(literal).properties) == literal.encode()

    @pytest.mark.parametrize("products", [5, "x", {"price": 1}, [5, None, "x"]])
    def test_products_of_odd_shape_are_no_lines(self, products: object) -> None:
        assert state(products=products).amount == "0"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["revenue", "total", "products", "price", "quantity", "discount", "currency", "order_id", "orderId", "x"]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_an_order_says_it_is_taken_or_refused_by_name(properties: object) -> None:
    outcome = send_literal(json.dumps(properties))
    if hasattr(outcome, "reason"):
        assert outcome.reason in {
            Reason.AMOUNT_INVALID,
            Reason.AMOUNT_NEGATIVE,
            Reason.CURRENCY_UNKNOWN,
            Reason.IDENTIFIER_TOO_LONG,
        }
    else:
        assert outcome.order.amount is None or Decimal(outcome.order.amount) >= 0


class TestMoneyAndLines:
    def money(self, name: str = "Order Completed", /, **properties: Any) -> Money | None:
        return take(make_order(name, **properties)).money

    @pytest.mark.parametrize(
        ("properties", "money"),
        [
            ('{"revenue":119.95,"currency":"EUR"}', Money(11995, "EUR")),
            ('{"revenue":"119.95","currency":"eur"}', Money(11995, "EUR")),
            ('{"total":5400,"currency":"JPY"}', Money(5400, "JPY")),
            ('{"total":1.2345,"currency":"KWD"}', Money(1234, "KWD")),
            ('{"total":0.005,"currency":"EUR"}', Money(0, "EUR")),
            ('{"total":0.015,"currency":"EUR"}', Money(2, "EUR")),
            ('{"total":0.005000000000000000001,"currency":"EUR"}', Money(1, "EUR")),
            ('{"total":1.005}', Money(100, "EUR")),
            ('{"total":10.035}', Money(1004, "EUR")),
            ('{"products":[{"price":3,"quantity":2,"discount":1},{"price":0.5}],"currency":"USD"}', Money(550, "USD")),
            ("{}", Money(0, "EUR")),
        ],
    )
    def test_money_is_the_literals_exact_amount_in_minor_units_rounded_once_half_even(
        self, properties: str, money: Money
    ) -> None:
        assert send_literal(properties).money == money

    def test_without_a_currency_it_is_the_sources(self) -> None:
        assert take(
            make_track(event="Order Completed", properties={"total": 5}), source=replace(SERVER, default_currency="JPY")
        ).money == (Money(5, "JPY"))

    @pytest.mark.parametrize(
        ("name", "properties"),
        [
            ("Order Refunded", {"total": 5, "currency": None}),
            ("Order Refunded", {}),
            ("Order Updated", {}),
            ("Order Cancelled", {"total": 5}),
        ],
    )
    def test_there_is_none_where_the_amount_or_its_currency_is_anothers_to_say(self, name: str, properties: Any) -> None:
        assert self.money(name, **properties) is None

    def test_a_refund_in_a_currency_of_its_own_has_money(self) -> None:
        assert self.money("Order Refunded", total=5) == Money(500, "EUR")

    def test_lines_are_told_in_short(self) -> None:
        shoe = {
            "product_id": "p1",
            "sku": 7,
            "name": "Shoe",
            "category": "shoes",
            "brand": "A",
            "price": 44.995,
            "quantity": 2,
            "discount": 0.5,
        }
        touchpoint = take(make_order(revenue=80, products=[shoe, {"sku": "gift"}, "nonsense", {"price": 1, "quantity": 0.5}]))
        assert touchpoint.lines == (
            OrderLine("p1", "7", "Shoe", "shoes", "2", 8949, "A"),
            OrderLine(sku="gift"),
            OrderLine(quantity="0.5", amount_minor=50),
        )

    def test_a_line_of_another_spelling_is_told_by_its_standard_names(self) -> None:
        assert take(make_order(products=[{"id": "p1", "sky": "s1", "price": 2}])).lines == (
            OrderLine("p1", "s1", amount_minor=200),
        )

    def test_lines_whose_currency_nobody_said_have_no_amount(self) -> None:
        refund = take(make_order("Order Refunded", currency=None, products=[{"sku": "s", "price": 5}]))
        assert (refund.money, refund.lines) == (None, (OrderLine(sku="s"),))

    def test_a_line_beyond_what_money_can_be_has_no_amount(self) -> None:
        order = take(make_order(revenue=1, products=[{"price": 9e12, "quantity": 9e12}, {"price": 1, "discount": 3}]))
        assert [line.amount_minor for line in order.lines] == [None, -200]

    def test_touchpoints_that_are_no_orders_have_neither(self) -> None:
        touchpoint = take(
            make_track(event="Checkout Started", properties={"revenue": 5, "currency": "EUR", "products": [{"price": 5}]})
        )
        assert (touchpoint.money, touchpoint.lines) == (None, ())

    @given(
        st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False, places=4),
        st.sampled_from(["EUR", "JPY", "KWD"]),
    )
    def test_money_is_what_fractions_say(self, amount: Decimal, currency: str) -> None:
        sent = send_literal(f'{{"revenue":{amount:f},"currency":"{currency}"}}').money
        scaled = Fraction(amount) * {"EUR": 100, "JPY": 1, "KWD": 1000}[currency]
        assert sent == Money(round(scaled), currency)


@given(
    st.integers()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.sampled_from([Decimal(10) ** 13, Decimal("1E-400"), Decimal("0E+99"), Decimal("-0")])
)
def test_the_short_way_to_an_amount_says_what_the_long_one_says(number: int | Decimal) -> None:
    usual = read_usual(number)
    if usual is not None:
        assert read_amount("x", number) == usual


@pytest.mark.parametrize("value", ["5", None, True, 5.5, [], {}])
def test_the_short_way_takes_numbers_alone(value: object) -> None:
    assert read_usual(value) is None
