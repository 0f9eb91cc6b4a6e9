"""What a touchpoint says of an order: `Order Completed | Updated | Cancelled | Refunded` as one exact statement, and its lines.

Decides which field states the amount, what is repaired and what is refused; settling orders is libs.orders'.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from libs.identity import to_text
from libs.orders.currencies import MAX_AMOUNT, is_currency, to_minor
from libs.orders.statements import Money, OrderLine, OrderStatement
from services.ingest.domain.amounts import ZERO, add, multiply, read_amount, read_usual, subtract, to_plain
from services.ingest.domain.limits import IDENTIFIER_CHARS
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.vocabulary import OrderStep

Properties = dict[str, object]

_ORDER_AMOUNTS = frozenset({"revenue", "total", "subtotal", "tax", "shipping", "discount", "value", "price"})
_LINE_AMOUNTS = _ORDER_AMOUNTS | {"quantity"}
_LINE_TEXTS = ("product_id", "sku", "name", "category", "brand")
ONE = Decimal(1)
_STATED_BY: dict[OrderStep, tuple[str, ...]] = {
    "completed": ("revenue", "total"),
    "updated": ("revenue", "total"),
    "cancelled": (),
    "refunded": ("total", "revenue"),
}


class OrderReading(NamedTuple):
    """The statement, in exact decimals; what it comes to in minor units, where the currency is known; the lines in short; what
    was repaired; whether `properties` were changed by it (in place) and must be written anew.
    """

    statement: OrderStatement
    money: Money | None
    lines: tuple[OrderLine, ...]
    flags: tuple[Flag, ...]
    changed: bool


class _Amounts(NamedTuple):
    order: dict[str, Decimal]
    lines: list[dict[str, Decimal]]
    as_text: bool


def read_lines(properties: Properties) -> Sequence[Properties]:
    products = properties.get("products")
    if not isinstance(products, list):
        return ()
    return [line for line in products if isinstance(line, dict)]


def read_order(step: OrderStep, properties: Properties, *, touchpoint_id: str, default_currency: str) -> OrderReading | Refusal:
    """Read one statement. `properties` have int and Decimal for numbers and standard names; repairs change them in place.

    Order amount: `revenue`, else `total`, else the lines; refund amount: `total`, else `revenue`, else the lines; else None.
    """
    sent = read_lines(properties)
    amounts = _read_amounts(properties, sent)
    if isinstance(amounts, Refusal):
        return amounts
    currency = _read_currency(properties)
    if isinstance(currency, Refusal):
        return currency
    amount = _choose_amount(step, amounts)
    if isinstance(amount, Refusal):
        return amount
    order_id = _find_text(properties, "order_id")
    refund_id = _find_text(properties, "refund_id")
    if len(order_id or "") > IDENTIFIER_CHARS or len(refund_id or "") > IDENTIFIER_CHARS:
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
    stated_in = currency or (None if step == "refunded" else default_currency)
    money = None if amount is None or stated_in is None else Money(to_minor(amount, stated_in), stated_in)
    lines = _tell_lines(sent, amounts.lines, None if money is None else money.currency)
    return OrderReading(statement, money, lines, tuple(flags), changed)


def _read_amounts(properties: Properties, sent: Sequence[Properties]) -> _Amounts | Refusal:
    """All amounts of the order and its lines; one that is none refuses the touchpoint. Numbers sent as text become numbers."""
    mended: list[str] = []
    order = _read_fields(properties, _ORDER_AMOUNTS, None, mended)
    if isinstance(order, Refusal):
        return order
    lines: list[dict[str, Decimal]] = []
    for number, line in enumerate(sent):
        read = _read_fields(line, _LINE_AMOUNTS, number, mended)
        if isinstance(read, Refusal):
            return read
        lines.append(read)
    return _Amounts(order, lines, bool(mended))


def _read_fields(
    properties: Properties, names: frozenset[str], line: int | None, mended: list[str]
) -> dict[str, Decimal] | Refusal:
    found: dict[str, Decimal] = {}
    for name, value in properties.items():
        if name not in names:
            continue
        number = read_usual(value)
        if number is None:
            place = ("properties." if line is None else f"properties.products[{line}].") + name
            read = read_amount(place, value)
            if isinstance(read, Refusal):
                return read
            if isinstance(value, str) and read is not None:
                properties[name] = read
                mended.append(place)
            number = read
        if number is not None:
            found[name] = number
    return found


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
    total = ZERO
    for line in lines:
        total = add(total, _compute_line(line))
    if total < 0:
        return Refusal(Reason.AMOUNT_NEGATIVE, "the lines come to a negative amount")
    if total >= MAX_AMOUNT:
        return Refusal(Reason.AMOUNT_INVALID, "the lines come to more than money can be")
    return total


def _compute_line(line: dict[str, Decimal]) -> Decimal:
    """Price x quantity (1 where missing) minus the line's discount."""
    amount = line.get("price", ZERO)
    quantity = line.get("quantity", ONE)
    if quantity != ONE:
        amount = multiply(amount, quantity)
    return subtract(amount, line["discount"]) if "discount" in line else amount


def _tell_lines(sent: Sequence[Properties], amounts: Sequence[dict[str, Decimal]], currency: str | None) -> tuple[OrderLine, ...]:
    return tuple([_tell_line(line, found, currency) for line, found in zip(sent, amounts, strict=True)]) if sent else ()


def _tell_line(line: Properties, amounts: dict[str, Decimal], currency: str | None) -> OrderLine:
    amount_minor = None
    if currency is not None and "price" in amounts:
        amount = _compute_line(amounts)
        amount_minor = to_minor(amount, currency) if -MAX_AMOUNT < amount < MAX_AMOUNT else None
    quantity = amounts.get("quantity", ONE)
    product_id, sku, name, category, brand = [_find_text(line, field) for field in _LINE_TEXTS]
    return OrderLine(product_id, sku, name, category, "1" if quantity == ONE else to_plain(quantity), amount_minor, brand)


def _find_text(line: Properties, field: str) -> str | None:
    value = line.get(field)
    return (value if type(value) is str else to_text(value)) or None
