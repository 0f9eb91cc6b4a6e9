"""What orders and refunds come to in money, once all a profile's fragments know of them is together.

Decides amounts, currencies, what is left and what points are based on; counting and summing them up is the callers'.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from uuid import UUID

from msgspec import Struct

from libs.orders.currencies import from_minor, to_minor
from libs.orders.parts import OrderPart, RefundPart, merge_orders
from libs.orders.statements import OrderLine


class SettledRefund(Struct, frozen=True):
    """A refund that counts, under `currency`, from `at_us` on. `same_currency`: it is in its known order's currency."""

    at_us: int
    touchpoint_id: UUID
    currency: str
    amount_minor: int
    same_currency: bool
    lines: tuple[OrderLine, ...] = ()


class SettledOrder(Struct, frozen=True):
    """One order and what was given back for it.

    An order that isn't known (no Completed or Updated came, or `order_id` None: refunds that name none) has no amount, but its
    refunds count. A cancelled one has neither: `gross_minor` is 0 and `refunds` empty. `currencies` are all that the order and
    its refunds are in, also of a cancelled one: each stays a key of the view. `net_points_base` is what points are for: the
    amount less the refunds in its own currency, at least 0. `over_refunded`: those refunds exceed the amount. `lines`: what was
    bought, where they are kept; empty while the order isn't known or once it is cancelled.
    """

    order_id: str | None
    known: bool
    cancelled: bool
    at_us: int | None
    currency: str | None
    gross_minor: int
    refunds: tuple[SettledRefund, ...]
    currencies: frozenset[str]
    net_points_base: int
    over_refunded: bool
    lines: tuple[OrderLine, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is one of the orders counted: known and not cancelled."""
        return self.known and not self.cancelled


def settle(order: OrderPart | None, refunds: Sequence[RefundPart]) -> SettledOrder:
    """Settle one order. `order` is merged over all fragments; `refunds` are the winners of their keys that name this order.

    Refunds without an amount are what is left by (t, touchpoint id): the amount less the earlier refunds of the order in its
    own currency, at least 0. One that names another currency than its order's keeps that number under its own currency.
    """
    if order is None or order.founder is None or order.currency is None:
        return _settle_unknown(order, refunds)
    currency = order.currency[-1]
    amount_minor = 0 if order.amount is None else to_minor(Decimal(order.amount[-1]), currency)
    settled: list[SettledRefund] = []
    refunded_minor = 0
    for refund in sorted(refunds, key=_stamp_of):
        left_minor = max(0, amount_minor - refunded_minor)
        own = _settle_refund(refund, order_currency=currency, left=from_minor(left_minor, currency))
        settled.append(own)
        if own.same_currency:
            refunded_minor += own.amount_minor
    return SettledOrder(
        order_id=order.order_id,
        known=True,
        cancelled=order.cancelled,
        at_us=order.at_us,
        currency=currency,
        gross_minor=0 if order.cancelled else amount_minor,
        refunds=() if order.cancelled else tuple(settled),
        currencies=frozenset([currency, *(refund.currency for refund in settled)]),
        net_points_base=0 if order.cancelled else max(0, amount_minor - refunded_minor),
        over_refunded=not order.cancelled and refunded_minor > amount_minor,
        lines=() if order.cancelled or order.lines is None else order.lines[2],
    )


def _settle_unknown(order: OrderPart | None, refunds: Sequence[RefundPart]) -> SettledOrder:
    """Nothing is left of an order nobody knows, and it can't be cancelled yet."""
    settled = tuple(_settle_refund(refund, order_currency=None, left=Decimal(0)) for refund in sorted(refunds, key=_stamp_of))
    order_id = order.order_id if order is not None else next((refund.order_id for refund in refunds), None)
    return SettledOrder(
        order_id=order_id,
        known=False,
        cancelled=False,
        at_us=None,
        currency=None,
        gross_minor=0,
        refunds=settled,
        currencies=frozenset(refund.currency for refund in settled),
        net_points_base=0,
        over_refunded=False,
    )


def _settle_refund(refund: RefundPart, *, order_currency: str | None, left: Decimal) -> SettledRefund:
    currency = refund.currency or order_currency or refund.default_currency
    amount = left if refund.amount is None else Decimal(refund.amount)
    at_us, touchpoint_id = refund.stamp
    return SettledRefund(at_us, touchpoint_id, currency, to_minor(amount, currency), currency == order_currency, refund.lines)


def _stamp_of(refund: RefundPart) -> tuple[int, UUID]:
    return refund.stamp


def settle_orders(order_parts: Mapping[str, Iterable[OrderPart]], refunds: Iterable[RefundPart]) -> list[SettledOrder]:
    """Settle everything a profile has: the parts of all its fragments by order id, and the winner of each refund key.

    Sorted by order id; refunds that name no order come last, under `order_id` None. The reference for whoever settles less.
    """
    by_order: dict[str | None, list[RefundPart]] = {}
    for refund in refunds:
        by_order.setdefault(refund.order_id, []).append(refund)
    merged = {order_id: reduce(merge_orders, parts) for order_id, parts in order_parts.items()}
    order_ids = sorted({*merged, *(order_id for order_id in by_order if order_id is not None)})
    settled = [settle(merged.get(order_id), by_order.get(order_id, ())) for order_id in order_ids]
    return [*settled, settle(None, by_order[None])] if None in by_order else settled
