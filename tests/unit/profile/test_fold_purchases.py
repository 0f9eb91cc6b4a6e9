"""What was bought, when, and what was left in the cart, sentence by sentence of docs/semantics.md."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from libs.events.touchpoints import TouchpointRecorded
from libs.orders.parts import OrderPart, RefundPart
from libs.orders.statements import OrderLine, OrderStatement
from services.profile.domain.state import encode_packed
from services.profile.domain.totals import FORMAT, Totals, encode_totals
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook
from tests.unit.profile.folded import aggregates, fold

DAY = 24 * 60
ME = make_fragment("user_id", "u1")
SHOE = OrderLine("shoe", category="shoes", brand="Acme")
HAT = OrderLine(sku="hat", category="hats")
NOTHING = {"distinct": 0, "top": []}


def said(
    number: int, step: Any, order_id: str | None = "o1", *lines: OrderLine, at: Any = 0, by: str = "user_id:u1", **stated: Any
) -> TouchpointRecorded:
    stated.setdefault("amount", None if step in ("cancelled", "refunded") else "10")
    cart = {"cart_id": stated.pop("cart_id")} if "cart_id" in stated else {}
    order = OrderStatement(step=step, order_id=order_id, currency="EUR", **stated)
    return make_touchpoint(number, name=f"Order {step.title()}", by=(by,), at=at, order=order, lines=lines, properties=cart)


def purchases_of(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = aggregates(*touchpoints)["purchases"]
    return found


def bought(*touchpoints: TouchpointRecorded) -> dict[str, tuple[int, float]]:
    return {one["id"]: (one["orders"], one["quantity"]) for one in purchases_of(*touchpoints)["products"]["top"]}


def test_who_bought_nothing_has_zeros() -> None:
    found = aggregates(make_touchpoint(1))
    assert found["purchases"] == {"by_month": {}, "products": NOTHING, "categories": NOTHING, "brands": NOTHING}
    assert found["carts"] == {"open": 0, "last_at": None, "last": None}
    assert found["stores"] == {"visits": 0, "last_at": None, "distinct": 0, "top": []}


def test_occasions_are_counted_by_utc_month() -> None:
    told = [
        said(1, "completed", "a", at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
        said(2, "completed", "b", at=datetime(2026, 2, 1, tzinfo=UTC)),
        said(3, "completed", "c", at=datetime(2026, 2, 1, 20, tzinfo=UTC)),
        said(4, "completed", "d", at=datetime(2026, 2, 28, tzinfo=UTC)),
        said(5, "completed", "e", at=datetime(2026, 3, 1, tzinfo=UTC)),
        said(6, "cancelled", "e"),
    ]
    assert purchases_of(*told)["by_month"] == {"2026-02": 2, "2026-01": 1}


def test_the_last_twenty_four_months_with_purchases_are_shown_and_older_ones_come_back_when_a_later_order_goes() -> None:
    told = [said(n, "completed", f"o{n}", at=datetime(2020 + n // 12, n % 12 + 1, 5, tzinfo=UTC)) for n in range(26)]
    months = list(purchases_of(*told)["by_month"])
    assert (months[0], months[-1], len(months)) == ("2022-02", "2020-03", 24)
    assert list(purchases_of(*told, said(99, "cancelled", "o25"))["by_month"])[-1] == "2020-02"


def test_a_product_is_its_product_id_else_its_sku_else_its_name() -> None:
    lines = OrderLine("p", sku="s", name="n"), OrderLine(sku="s", name="n"), OrderLine(name=" n "), OrderLine(category="c")
    assert bought(said(1, "completed", "a", *lines)) == {"n": (1, 1), "p": (1, 1), "s": (1, 1)}


def test_an_order_counts_once_for_a_product_however_many_lines_name_it() -> None:
    shoes = msgspec.structs.replace(SHOE, quantity="2")
    found = purchases_of(said(1, "completed", "a", SHOE, shoes, HAT), said(2, "completed", "b", SHOE))
    assert found["products"] == {
        "distinct": 2,
        "top": [{"id": "shoe", "orders": 2, "quantity": 4}, {"id": "hat", "orders": 1, "quantity": 1}],
    }
    assert found["categories"]["top"][0] == {"id": "shoes", "orders": 2, "quantity": 4}
    assert found["brands"] == {"distinct": 1, "top": [{"id": "Acme", "orders": 2, "quantity": 4}]}


def test_a_cancelled_orders_lines_leave_and_its_refunds_with_them() -> None:
    told = [said(1, "completed", "a", SHOE), said(2, "refunded", "a", SHOE, at=1), said(3, "completed", "b", SHOE, at=2)]
    assert bought(*told) == {"shoe": (2, 1)}
    assert bought(*told, said(4, "cancelled", "a", at=3)) == {"shoe": (1, 1)}


def test_the_latest_statement_of_lines_replaces_the_ones_before() -> None:
    told = [said(1, "completed", "a", SHOE), said(2, "updated", "a", HAT, at=5), said(3, "updated", "a", SHOE, at=3)]
    assert bought(*told) == {"hat": (1, 1)}


def test_an_update_with_neither_amount_nor_lines_leaves_them_and_one_with_an_amount_alone_says_there_are_none() -> None:
    told = [said(1, "completed", "a", SHOE), said(2, "updated", "a", at=5, amount=None)]
    assert bought(*told) == {"shoe": (1, 1)}
    assert bought(*told, said(3, "updated", "a", at=6, amount="5")) == {}
    assert bought(*told, said(3, "updated", "a", HAT, at=6, amount=None)) == {"hat": (1, 1)}


def test_a_refund_takes_back_the_products_that_its_lines_name() -> None:
    two = msgspec.structs.replace(SHOE, quantity="2")
    told = [said(1, "refunded", "a", SHOE, at=9, refund_id="r"), said(2, "completed", "a", two, HAT)]
    assert bought(*told) == {"hat": (1, 1), "shoe": (1, 1)}
    assert bought(*told, said(3, "refunded", "a", HAT, at=10, refund_id="r")) == {"shoe": (1, 2)}
    assert bought(*told, said(4, "refunded", "a", two, at=10)) == {"hat": (1, 1)}


def test_quantities_are_rounded_line_by_line_to_thousandths_half_to_even() -> None:
    lines = [OrderLine("p", quantity=quantity) for quantity in ("0.0005", "0.0015", "1.25")]
    assert bought(said(1, "completed", "a", *lines)) == {"p": (1, 1.252)}


def test_ten_are_shown_by_units_then_name_and_all_are_counted() -> None:
    told = [said(n, "completed", f"o{n}", OrderLine(f"p{n:02}", quantity="3" if n == 77 else "1")) for n in range(100)]
    found = purchases_of(*told)["products"]
    assert (found["distinct"], [one["id"] for one in found["top"]]) == (100, ["p77", *[f"p0{n}" for n in range(9)]])


def test_long_names_are_cut() -> None:
    assert bought(said(1, "completed", "a", OrderLine("x" * 5000), OrderLine("x" * 6000))) == {"x" * 128: (1, 2)}


# Carts


def put(number: int, cart_id: str | None = "c1", *, at: Any = 0, out: bool = False, **properties: Any) -> TouchpointRecorded:
    name = "Product Removed" if out else "Product Added"
    return make_touchpoint(number, name=name, at=at, properties={"cart_id": cart_id, **properties})


def carts_of(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = aggregates(*touchpoints)["carts"]
    return found


def test_a_cart_is_left_behind_while_something_is_in_it() -> None:
    told = [put(1, quantity=2), put(2, at=5, out=True), put(3, "c2", at=3, quantity="1.5")]
    last = {"id": "c1", "at": "2026-03-01T12:05:00.000Z", "added": 2, "removed": 1}
    assert carts_of(*told) == {"open": 2, "last_at": "2026-03-01T12:05:00.000Z", "last": last}
    assert carts_of(*told, put(4, at=6, out=True))["last"]["id"] == "c2"


def test_an_order_at_or_after_the_last_activity_closes_the_cart_and_its_cancellation_opens_it_again() -> None:
    told = [put(1, at=1), put(2, "c2", at=9), said(3, "completed", at=1)]
    assert (carts_of(*told)["open"], carts_of(*told)["last"]["id"]) == (1, "c2")
    assert carts_of(*told, said(4, "cancelled"))["open"] == 2


def test_a_completed_order_that_names_the_cart_closes_it_even_when_it_is_cancelled() -> None:
    told = [put(1, at=1), said(2, "completed", at=5, cart_id="c1"), said(3, "cancelled")]
    assert carts_of(*told)["open"] == 0
    assert carts_of(*told, put(4, at=7))["open"] == 1


def test_what_names_no_cart_is_one_cart_a_day() -> None:
    found = carts_of(put(1, None), put(2, None, at=5), put(3, None, at=DAY))
    assert (found["open"], found["last"]["id"], found["last"]["added"]) == (2, None, 1)


def test_open_carts_are_counted_up_to_a_hundred() -> None:
    async def run() -> Any:
        book = FoldingBook(FakeFactRows())
        await book.apply([(ME, put(n, f"c{n}", at=n)) for n in range(130)])
        return book.view(ME)["aggregates"]["carts"]

    found = asyncio.run(run())
    assert (found["open"], found["last"]["id"]) == (100, "c129")


# Stores


def visit(number: int, store_id: Any = None, *, at: Any = 0, by: str = "user_id:u1") -> TouchpointRecorded:
    return make_touchpoint(number, name="Store Visited", at=at, by=(by,), properties={"store_id": store_id})


def test_visits_are_counted_in_all_and_by_store() -> None:
    told = [
        visit(1, "ulm", at=3),
        visit(2, "ulm", at=1, by="loyalty_card:c"),
        visit(3, 7, at=2),
        visit(4, at=9),
        visit(5, "bonn"),
    ]
    assert aggregates(*told)["stores"] == {
        "visits": 5,
        "last_at": "2026-03-01T12:09:00.000Z",
        "distinct": 3,
        "top": [
            {"id": "ulm", "visits": 2, "last_at": "2026-03-01T12:03:00.000Z"},
            {"id": "7", "visits": 1, "last_at": "2026-03-01T12:02:00.000Z"},
            {"id": "bonn", "visits": 1, "last_at": "2026-03-01T12:00:00.000Z"},
        ],
    }


def test_ten_stores_are_shown_and_all_are_counted() -> None:
    told = [visit(n, f"s{n:02}", at=n) for n in range(20)]
    found = aggregates(*told, visit(99, "s19"))["stores"]
    assert (found["distinct"], [one["id"] for one in found["top"]]) == (20, ["s19", *[f"s0{n}" for n in range(9)]])


# What was folded before


def test_a_profile_folded_before_there_were_products_and_carts_is_counted_again_once() -> None:
    before = [said(1, "completed", "a", at=0), said(2, "refunded", "a", at=1, amount="1"), make_touchpoint(3, at=2)]
    after = said(4, "completed", "b", SHOE, at=2 * DAY)

    async def run() -> dict[str, Any]:
        rows = FakeFactRows()
        book = FoldingBook(rows)
        await book.apply([(ME, one) for one in before])
        _make_old(book, rows)
        await book.apply([(ME, after)])
        return book.view(ME)

    assert asyncio.run(run()) == fold(*before, after)


def _make_old(book: FoldingBook, rows: FakeFactRows) -> None:
    """As the release before wrote it: no tallies, orders and refunds without lines, totals of format 1, a core without them."""
    rows.tallies.clear()
    for (fragment, part, key), (ref, body) in list(rows.facts.items()):
        kept = len(OrderPart.__struct_fields__) - 1 if part == 1 else len(RefundPart.__struct_fields__) - 1
        rows.facts[fragment, part, key] = ref, encode_packed(msgspec.msgpack.decode(body)[:kept])
    (stored,) = book.profiles.values()
    totals = msgspec.msgpack.decode(stored.totals)[: Totals.__struct_fields__.index("answers")]
    stored.totals = encode_packed([1, *totals[1:]])
    core = json.loads(b"{" + stored.core + b"}")
    for name in ("purchases", "carts", "stores"):
        del core["aggregates"][name]
    stored.core = json.dumps(core).encode()[1:-1]


def test_totals_of_this_format_are_kept() -> None:
    async def run() -> int:
        rows = FakeFactRows()
        book = FoldingBook(rows)
        await book.apply([(ME, said(n, "completed", f"o{n}", SHOE, at=n)) for n in range(50)])
        rows.reads = 0
        await book.apply([(ME, said(99, "completed", "new", SHOE, at=99))])
        return rows.reads

    assert asyncio.run(run()) <= 8
    assert encode_totals(Totals())[3] == FORMAT
