"""Any order of arrival, any repetition, any spread over fragments: one settlement, equal to the naive reference's."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.orders.closure import Closure, OrderBook, extend_closure, name_statements
from libs.orders.parts import OrderPart, RefundPart, fold_order, fold_refund, merge_orders, merge_refunds, refund_key
from libs.orders.settle import SettledOrder, settle_orders
from tests.unit.orders.histories import histories
from tests.unit.orders.naive_reference import Told, settle_naively


class Fragment:
    """What one fragment stores: rows by key."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderPart] = {}
        self.refunds: dict[str, RefundPart] = {}

    def fold(self, told: Told) -> None:
        if told.says.step == "refunded":
            key = refund_key(told.says, told.id)
            self.refunds[key] = fold_refund(self.refunds.get(key), told.says, told.t_us, told.id)
        else:
            order_id = told.says.order_id or ""
            self.orders[order_id] = fold_order(self.orders.get(order_id), told.says, told.t_us, told.id)


def settle_fragments(fragments: list[Fragment]) -> list[SettledOrder]:
    orders: dict[str, list[OrderPart]] = {}
    refunds: dict[str, RefundPart] = {}
    for fragment in fragments:
        for order_id, order in fragment.orders.items():
            orders.setdefault(order_id, []).append(order)
        for key, refund in fragment.refunds.items():
            refunds[key] = merge_refunds(refunds[key], refund) if key in refunds else refund
    return settle_orders(orders, refunds.values())


def to_plain(settled: SettledOrder) -> dict[str, Any]:
    return {
        "known": settled.known,
        "cancelled": settled.cancelled,
        "at_us": settled.at_us,
        "currency": settled.currency,
        "gross_minor": settled.gross_minor,
        "refunds": [(r.at_us, r.touchpoint_id, r.currency, r.amount_minor, r.same_currency) for r in settled.refunds],
        "currencies": set(settled.currencies),
        "net_points_base": settled.net_points_base,
        "over_refunded": settled.over_refunded,
    }


@given(histories(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_every_arrival_and_every_spread_over_fragments_settles_like_the_reference(
    told: list[Told], rng: random.Random, count: int
) -> None:
    fragments = [Fragment() for _ in range(count)]
    home = {one.id: rng.choice(fragments) for one in told}
    arrivals = told + rng.choices(told, k=min(3, len(told)))
    rng.shuffle(arrivals)
    for one in arrivals:
        home[one.id].fold(one)
    rng.shuffle(fragments)
    settled = settle_fragments(fragments)
    assert {one.order_id: to_plain(one) for one in settled} == settle_naively(told)
    order_ids = [one.order_id for one in settled]
    assert order_ids == sorted(order_ids, key=lambda order_id: (order_id is None, order_id or ""))


def order_parts(told: list[Told]) -> list[OrderPart]:
    parts = [fold_order(None, one.says, one.t_us, one.id) for one in told if one.says.step != "refunded"]
    return [part for part in parts if part.order_id == "o1"]


@given(histories())
def test_order_parts_merge_commutatively_associatively_idempotently(told: list[Told]) -> None:
    parts = order_parts(told)
    parts += [merge_orders(a, b) for a in parts for b in parts][:20]
    for a in parts:
        assert merge_orders(a, a) == a
        for b in parts:
            assert merge_orders(a, b) == merge_orders(b, a)
            for c in parts[:6]:
                assert merge_orders(merge_orders(a, b), c) == merge_orders(a, merge_orders(b, c))


@given(histories())
def test_refund_parts_merge_commutatively_associatively_idempotently(told: list[Told]) -> None:
    parts = [fold_refund(None, one.says, one.t_us, one.id) for one in told if one.says.step == "refunded"]
    for a in parts:
        assert merge_refunds(a, a) == a
        for b in parts:
            assert merge_refunds(a, b) == merge_refunds(b, a)
            for c in parts:
                assert merge_refunds(merge_refunds(a, b), c) == merge_refunds(a, merge_refunds(b, c))


def by_id(settled: list[SettledOrder]) -> dict[str | None, SettledOrder]:
    return {one.order_id: one for one in settled}


@given(histories(12), st.integers(1, 4), st.integers(1, 3))
def test_the_closure_of_a_batch_is_enough_to_know_all_that_it_changes(told: list[Told], size: int, count: int) -> None:
    fragments = [Fragment() for _ in range(count)]
    home = {one.id: fragments[one.id.int % count] for one in told}
    batch, stored = told[:size], told[size:]
    for one in stored:
        home[one.id].fold(one)
    before = by_id(settle_fragments(fragments))
    rows = [(key, part) for fragment in fragments for key, part in fragment.refunds.items()]
    closure = extend_closure(
        name_statements((one.says, one.id) for one in batch),
        orders_of_refunds=lambda keys: {part.order_id for key, part in rows if key in keys},
        refunds_of_orders=lambda orders: {key for key, part in rows if part.order_id in orders},
    )
    book = OrderBook(
        closure,
        [part for fragment in fragments for part in fragment.orders.values() if part.order_id in closure.orders],
        [(key, part) for key, part in rows if key in closure.refunds],
    )
    book_before = dict(book.settle())
    for one in batch:
        book.fold(one.says, one.t_us, one.id)
        home[one.id].fold(one)
    book_after = dict(book.settle())
    after = by_id(settle_fragments(fragments))
    named = closure.orders
    assert {k: v for k, v in book_before.items() if k is not None} == {k: v for k, v in before.items() if k in named}
    assert {k: v for k, v in book_after.items() if k is not None} == {k: v for k, v in after.items() if k in named}
    for order_id in (before.keys() | after.keys()) - named - {None}:
        assert before.get(order_id) == after.get(order_id)
    assert sum_orphans(book_after) - sum_orphans(book_before) == sum_orphans(after) - sum_orphans(before)


def sum_orphans(settled: dict[str | None, SettledOrder]) -> int:
    orphans = settled.get(None)
    return 0 if orphans is None else sum(refund.amount_minor for refund in orphans.refunds)


def test_closures_add_up() -> None:
    left, right = Closure(frozenset("a"), frozenset("x")), Closure(frozenset("b"), frozenset("x"))
    assert left | right == Closure(frozenset("ab"), frozenset("x"))
