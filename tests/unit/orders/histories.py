"""Hypothesis strategies: histories of orders, small enough that ids, times and refund ids collide all the time."""

from uuid import UUID

from hypothesis import strategies as st

from libs.orders.statements import OrderStatement
from tests.unit.orders.naive_reference import Told

CURRENCIES = st.sampled_from([None, "EUR", "EUR", "USD", "JPY", "KWD"])
AMOUNTS = st.sampled_from([None, "0", "10", "9.995", "0.005", "0.0149999", "100.5", "33.335", "1234567.891"])


@st.composite
def statements(draw: st.DrawFn) -> OrderStatement:
    step = draw(st.sampled_from(["completed", "updated", "cancelled", "refunded", "refunded", "refunded"]))
    order_id = draw(st.sampled_from(["o1", "o2", "o3"]))
    default = draw(st.sampled_from(["EUR", "EUR", "USD"]))
    if step == "cancelled":
        return OrderStatement(step=step, order_id=order_id, default_currency=default)
    return OrderStatement(
        step=step,
        order_id=None if step == "refunded" and draw(st.integers(0, 4)) == 0 else order_id,
        refund_id=draw(st.sampled_from([None, "r1", "r2"])) if step == "refunded" else None,
        amount=draw(AMOUNTS),
        currency=draw(CURRENCIES),
        default_currency=default,
    )


@st.composite
def histories(draw: st.DrawFn, max_size: int = 9) -> list[Told]:
    """Touchpoints with distinct ids, at few different times."""
    said = draw(st.lists(statements(), min_size=1, max_size=max_size))
    ids = draw(st.permutations([UUID(int=n) for n in range(len(said))]))
    return [Told(draw(st.integers(0, 4)) * 1_000_000, ids[index], one) for index, one in enumerate(said)]
