"""What a fragment keeps of an order and of a refund: values that merge in any order, any grouping, any number of times.

Every field is a maximum, a minimum or an "ever", so folding the same touchpoint again changes nothing.
"""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from libs.orders.statements import OrderLine, OrderStatement

Stamp: TypeAlias = tuple[int, UUID]
"""(t in microseconds, touchpoint id): the one order of touchpoints; at equal t the greater id is the later."""
StampedAmount: TypeAlias = tuple[int, UUID, str]
StampedCurrency: TypeAlias = tuple[bool, int, UUID, str]
StampedLines: TypeAlias = tuple[int, UUID, tuple[OrderLine, ...]]


class OrderPart(Struct, frozen=True, array_like=True):
    """One order as one fragment, or several merged ones, know it.

    `founder`: the least stamp of a Completed or Updated; None while only a cancellation came, so the order isn't known.
    `amount`: the latest amount stated, as sent. `currency`: the latest (a fact?, t, id, code), where a fact is a currency that
    was named or that an amount was stated in; a source's default beside a bare update is none and yields to any fact.
    `cancelled`: whether a cancellation ever came; it has no effect until the order is known.
    `lines`: the latest lines stated; None where nobody keeps them, or none were stated.
    """

    order_id: str
    founder: Stamp | None = None
    amount: StampedAmount | None = None
    currency: StampedCurrency | None = None
    cancelled: bool = False
    lines: StampedLines | None = None

    @property
    def at_us(self) -> int | None:
        """The order's time: the least t of its Completed and Updated."""
        return None if self.founder is None else self.founder[0]


class RefundPart(Struct, frozen=True, array_like=True):
    """One refund as one touchpoint tells it. Of several with one key the latest stands, even if it names another order.

    `amount` None: what is left of the order. `currency` None: its order's, else `default_currency`.
    """

    stamp: Stamp
    order_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    default_currency: str = "EUR"
    lines: tuple[OrderLine, ...] = ()


def refund_key(statement: OrderStatement, touchpoint_id: UUID) -> str:
    """Which refund of the profile a statement is about: that of its refund id, else one of its own."""
    return f"touchpoint:{touchpoint_id}" if statement.refund_id is None else f"refund:{statement.refund_id}"


def fold_order(
    part: OrderPart | None, statement: OrderStatement, t_us: int, touchpoint_id: UUID, lines: Sequence[OrderLine] | None = None
) -> OrderPart:
    """The part after one more Completed, Updated or Cancelled. Raises ValueError for a refund or a statement without order id.

    `lines`: the touchpoint's, for those who count products; None keeps none.
    """
    told = _read_order(statement, (t_us, touchpoint_id), lines)
    return told if part is None else merge_orders(part, told)


def _read_order(statement: OrderStatement, stamp: Stamp, lines: Sequence[OrderLine] | None) -> OrderPart:
    order_id = statement.order_id
    if order_id is None or statement.step == "refunded":
        raise ValueError("not a statement about an order")
    if statement.step == "cancelled":
        return OrderPart(order_id, cancelled=True)
    amount = statement.amount
    if amount is None and statement.step == "completed":
        amount = "0"  # the sum over no lines; only an update may leave the amounts
    return OrderPart(
        order_id,
        founder=stamp,
        amount=None if amount is None else (*stamp, amount),
        currency=(
            amount is not None or statement.currency is not None,
            *stamp,
            statement.currency or statement.default_currency,
        ),
        # An amount without lines says that there are none; only an update with neither leaves them.
        lines=None if lines is None or (amount is None and not lines) else (*stamp, tuple(lines)),
    )


def merge_orders(a: OrderPart, b: OrderPart) -> OrderPart:
    """Commutative, associative, idempotent. Raises ValueError for two different orders."""
    if a.order_id != b.order_id:
        raise ValueError("parts of two orders don't merge")
    return OrderPart(
        a.order_id,
        a.founder if b.founder is None or (a.founder is not None and a.founder <= b.founder) else b.founder,
        a.amount if b.amount is None or (a.amount is not None and a.amount >= b.amount) else b.amount,
        a.currency if b.currency is None or (a.currency is not None and a.currency >= b.currency) else b.currency,
        a.cancelled or b.cancelled,
        a.lines if b.lines is None or (a.lines is not None and a.lines[:2] >= b.lines[:2]) else b.lines,
    )


def fold_refund(
    part: RefundPart | None, statement: OrderStatement, t_us: int, touchpoint_id: UUID, lines: Sequence[OrderLine] = ()
) -> RefundPart:
    """The refund after one more statement with the same `refund_key`. Raises ValueError for any other step."""
    if statement.step != "refunded":
        raise ValueError("not a statement about a refund")
    told = RefundPart(
        (t_us, touchpoint_id),
        statement.order_id,
        statement.amount,
        statement.currency,
        statement.default_currency,
        tuple(lines),
    )
    return told if part is None else merge_refunds(part, told)


def merge_refunds(a: RefundPart, b: RefundPart) -> RefundPart:
    """The later of two with one key. Commutative, associative, idempotent (a stamp names one touchpoint, hence one content)."""
    return a if a.stamp >= b.stamp else b
