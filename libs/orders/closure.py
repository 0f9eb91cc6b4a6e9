"""What must be loaded to know exactly which orders a batch changes, and their worth before and after it.

A statement changes more than the order it names: a refund id told again may leave one order for another, and of an order all
refunds count, each only if its key's latest word still names the order. So for one profile the closure is

1. the orders and refund keys that the statements name (`name_statements`);
2. every order that a stored part of a named refund key names: one of them is about to lose or keep it;
3. every refund key of which a stored part names an order of 1 or 2.

Rows to load: the order parts of the orders, and all refund parts of the keys, whatever order they name. It ends there:
a refund of step 3 may turn out to be another order's, but nothing about that one changes. In SQL, over many profiles at once
(`named_orders` and `named_refunds` are unnested (profile, text) pairs; `members` is (profile, fragment)):

    WITH o AS (SELECT profile, order_id FROM named_orders
               UNION SELECT m.profile, r.order_id FROM named_refunds n JOIN members m USING (profile)
                     JOIN refunds r ON r.fragment = m.fragment AND r.refund_key = n.refund_key WHERE r.order_id IS NOT NULL),
         k AS (SELECT profile, refund_key FROM named_refunds
               UNION SELECT m.profile, r.refund_key FROM o JOIN members m USING (profile)
                     JOIN refunds r ON r.fragment = m.fragment AND r.order_id = o.order_id)
    SELECT ... FROM k JOIN members USING (profile) JOIN refunds USING (fragment, refund_key)   -- and likewise o with orders

A merge or split of profiles names everything that the smaller side holds, and settles it in both.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from uuid import UUID

from msgspec import Struct

from libs.orders.parts import OrderPart, RefundPart, fold_order, fold_refund, merge_orders, merge_refunds, refund_key
from libs.orders.settle import SettledOrder, settle
from libs.orders.statements import OrderStatement


class Closure(Struct, frozen=True):
    """Order ids and refund keys of one profile."""

    orders: frozenset[str] = frozenset()
    refunds: frozenset[str] = frozenset()

    def __or__(self, other: "Closure") -> "Closure":
        return Closure(self.orders | other.orders, self.refunds | other.refunds)


def name_statements(statements: Iterable[tuple[OrderStatement, UUID]]) -> Closure:
    """Step 1: what the statements, each with its touchpoint's id, name themselves."""
    orders: set[str] = set()
    refunds: set[str] = set()
    for statement, touchpoint_id in statements:
        if statement.order_id is not None:
            orders.add(statement.order_id)
        if statement.step == "refunded":
            refunds.add(refund_key(statement, touchpoint_id))
    return Closure(frozenset(orders), frozenset(refunds))


def extend_closure(
    named: Closure,
    *,
    orders_of_refunds: Callable[[Collection[str]], Iterable[str | None]],
    refunds_of_orders: Callable[[Collection[str]], Iterable[str]],
) -> Closure:
    """Steps 2 and 3, with two look-ups over the profile's stored refund parts. Stores do the same in one statement."""
    orders = named.orders.union(order_id for order_id in orders_of_refunds(named.refunds) if order_id is not None)
    return Closure(orders, named.refunds.union(refunds_of_orders(orders)))


class OrderBook:
    """The loaded closure of one profile: settle it, fold the batch's statements, settle it again; the difference is exact.

    Parts may come in any order and from any number of fragments.
    """

    __slots__ = ("_closure", "_orders", "_refunds")

    def __init__(
        self, closure: Closure, orders: Iterable[OrderPart] = (), refunds: Iterable[tuple[str, RefundPart]] = ()
    ) -> None:
        self._closure = closure
        self._orders: dict[str, OrderPart] = {}
        self._refunds: dict[str, RefundPart] = {}
        for order in orders:
            self.add_order(order)
        for key, refund in refunds:
            self.add_refund(key, refund)

    def add_order(self, part: OrderPart) -> None:
        known = self._orders.get(part.order_id)
        self._orders[part.order_id] = part if known is None else merge_orders(known, part)

    def add_refund(self, key: str, part: RefundPart) -> None:
        known = self._refunds.get(key)
        self._refunds[key] = part if known is None else merge_refunds(known, part)

    def fold(self, statement: OrderStatement, t_us: int, touchpoint_id: UUID) -> None:
        """Take in a statement of the batch that the closure was made for."""
        if statement.step == "refunded":
            self.add_refund(refund_key(statement, touchpoint_id), fold_refund(None, statement, t_us, touchpoint_id))
        else:
            self.add_order(fold_order(None, statement, t_us, touchpoint_id))

    def settle(self) -> Mapping[str | None, SettledOrder]:
        """Every order of the closure that has anything to it. Under None: the loaded refunds that name no order, of which there
        may be others that the batch doesn't touch.
        """
        by_order: dict[str | None, list[RefundPart]] = {}
        for refund in self._refunds.values():
            if refund.order_id is None or refund.order_id in self._closure.orders:
                by_order.setdefault(refund.order_id, []).append(refund)
        wanted = {*by_order, *(self._closure.orders & self._orders.keys())}
        return {
            order_id: settle(None if order_id is None else self._orders.get(order_id), by_order.get(order_id, ()))
            for order_id in wanted
        }
