"""How many points an order is worth, by docs/semantics.md (Orders, Points). Pure."""

from libs.orders.settle import SettledOrder
from services.loyalty.domain.programs import Program


def compute_points(order: SettledOrder, program: Program) -> int:
    """Points of one settled order: floor((amount - refunds in its currency, at least 0) / price of a point).

    0 while the order is unknown, once it is cancelled, and in currencies the program doesn't reward.
    """
    if not order.known or order.cancelled or order.currency is None:
        return 0
    minor_per_point = program.currencies.get(order.currency)
    return 0 if minor_per_point is None else order.net_points_base // minor_per_point
