"""What a touchpoint says of an order: `Order Completed | Updated | Cancelled | Refunded` as one exact statement.

Decides which field states the amount, what is repaired and what is refused; settling orders is libs.orders'.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, cast

from libs.identity import to_text
from libs.orders.currencies import MAX_AMOUNT, is_currency
from libs.orders.statements import OrderStatement
from services.ingest.domain.amounts import ZERO, add, multiply, read_amount, subtract, to_plain
from services.ingest.domain.limits import IDENTIFIER_CHARS
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.vocabulary import OrderStep

Properties = dict[str, object]

_ORDER_AMOUNTS = ("revenue", "total", "subtotal", "tax", "shipping", "discount", "value", "price")
_LINE_AMOUNTS = ("price", "quantity", "discount", "total", "revenue", "subtotal", "tax", "shipping", "value")
_STATED_BY: dict[OrderStep, tuple[str, ...]] = {
    "completed": ("revenue", "total"),
    "updated": ("revenue", "total"),
    "cancelled": (),
    "refunded": ("total", "revenue"),
}
ONE = Decimal(1)


class OrderReading(NamedTuple):
    """The statement; what was repaired; whether `properties` were changed by it (in place) and must be written anew."""

    statement: OrderStatement
    flags: tuple[Flag, ...]
    changed: bool


class _Amounts(NamedTuple):
    order: dict[str, Decimal]
    lines: list[dict[str, Decimal]]
    as_text: bool


def add_standard_names(properties: Properties) -> bool:
    """Go's typed helpers write `orderId`, and `id` and `sky` (sic) in products: the standard names come to stand beside them."""
    changed = _add_name(properties, "orderId", "order_id")
    changed |= _add_name(properties, "refundId", "refund_id")
    for line in read_lines(properties):
        changed |= _add_name(line, "id", "product_id")
        changed |= _add_name(line, "sky", "sku")
    return changed


def _add_name(properties: Properties, alias: str, name: str) -> bool:
    if properties.get(name) is None and properties.get(alias) is not None:
        properties[name] = properties[alias]
        return True
    return False


def read_lines(properties: Properties) -> Sequence[Properties]:
    products = properties.get("products")
    if not isinstance(products, list):
        return ()
    return [cast("Properties", line) for line in products if isinstance(line, dict)]


def read_order(step: OrderStep, properties: Properties, *, touchpoint_id: str, default_currency: str) -> OrderReading | Refusal:
    """Read one statement. `properties` have int and Decimal for numbers and standard names; repairs change them in place.

    Order amount: `revenue`, else `total`, else the lines; refund amount: `total`, else `revenue`, else the lines; else None.
    """
    amounts = _read_amounts(properties)
    if isinstance(amounts, Refusal):
        return amounts
    currency = _read_currency(properties)
    if isinstance(currency, Refusal):
        return currency
    amount = _choose_amount(step, amounts)
    if isinstance(amount, Refusal):
        return amount
    order_id = to_text(properties.get("order_id")) or None
    refund_id = to_text(properties.get("refund_id")) or None
    if max(len(order_id or ""), len(refund_id or "")) > IDENTIFIER_CHARS:
        return Refusal(Reason.IDENTIFIER_TOO_LONG, f"an order's or refund's id of more than {IDENTIFIER_CHARS} characters")
    flags: list[Flag] = []
    changed = amounts.as_text
    if amounts.as_text:
        flags.append(Flag.NUMBER_AS_TEXT)
    if currency is not None and currency != properties["currency"]:
        flags.append(Flag.CURRENCY_CASE)
        properties["currency"], changed = currency, True
    elif currency is None and amount is not None and step != "refunded":
        # A refund without one takes its order's, which may come later.
        flags.append(Flag.CURRENCY_MISSING)
        properties["currency"], changed = default_currency, True
    if order_id is None and step != "refunded":
        flags.append(Flag.ORDER_ID_MISSING)
        order_id = touchpoint_id
    statement = OrderStatement(
        step=step,
        order_id=order_id,
        refund_id=refund_id if step == "refunded" else None,
        amount=None if amount is None else to_plain(amount),
        currency=currency,
        default_currency=default_currency,
    )
    return OrderReading(statement, tuple(flags), changed)


def _read_amounts(properties: Properties) -> _Amounts | Refusal:
    """All amounts of the order and its lines; one that is none refuses the touchpoint. Numbers sent as text become numbers."""
    order = _read_fields(properties, _ORDER_AMOUNTS, "properties.")
    if isinstance(order, Refusal):
        return order
    found, as_text = order
    lines: list[dict[str, Decimal]] = []
    for number, line in enumerate(read_lines(properties)):
        read = _read_fields(line, _LINE_AMOUNTS, f"properties.products[{number}].")
        if isinstance(read, Refusal):
            return read
        lines.append(read[0])
        as_text = as_text or read[1]
    return _Amounts(found, lines, as_text)


def _read_fields(properties: Properties, names: tuple[str, ...], path: str) -> tuple[dict[str, Decimal], bool] | Refusal:
    found: dict[str, Decimal] = {}
    as_text = False
    for name in names:
        if name not in properties:
            continue
        read = read_amount(path + name, properties[name])
        if isinstance(read, Refusal):
            return read
        if read is not None:
            found[name], came_as_text = read
            if came_as_text:
                properties[name], as_text = found[name], True
    return found, as_text


def _read_currency(properties: Properties) -> str | Refusal | None:
    value = properties.get("currency")
    if value is None:
        return None
    code = value.strip().upper() if isinstance(value, str) else "?"
    if not code:
        return None
    return code if is_currency(code) else Refusal(Reason.CURRENCY_UNKNOWN, "properties.currency is not in ISO 4217")


def _choose_amount(step: OrderStep, amounts: _Amounts) -> Decimal | Refusal | None:
    if step == "cancelled":
        return None
    for name in _STATED_BY[step]:
        if name in amounts.order:
            return amounts.order[name]
    if any("price" in line for line in amounts.lines):
        return _sum_lines(amounts.lines)
    # A completed order without amounts and lines comes to nothing; any other statement leaves the amount to others.
    return ZERO if step == "completed" else None


def _sum_lines(lines: Sequence[dict[str, Decimal]]) -> Decimal | Refusal:
    """Sum of price x quantity (1 where missing) minus each line's discount."""
    total = ZERO
    for line in lines:
        gross = multiply(line.get("price", ZERO), line.get("quantity", ONE))
        total = subtract(add(total, gross), line.get("discount", ZERO))
    if total < 0:
        return Refusal(Reason.AMOUNT_NEGATIVE, "the lines come to a negative amount")
    if total >= MAX_AMOUNT:
        return Refusal(Reason.AMOUNT_INVALID, "the lines come to more than money can be")
    return total
