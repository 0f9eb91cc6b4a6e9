"""Orders, products, carts and stores of the plain reference (`profile_reference`): everything anew, in fractions."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from iso4217 import Currency

from libs.events.touchpoints import TouchpointRecorded
from libs.orders.statements import OrderLine


def show(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def properties_of(touchpoint: TouchpointRecorded) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(bytes(touchpoint.properties))
    return properties


def tracked(touchpoints: Iterable[TouchpointRecorded], *names: str) -> list[TouchpointRecorded]:
    return [touchpoint for touchpoint in touchpoints if touchpoint.kind == "track" and touchpoint.name in names]


def number_of(stated: object) -> Fraction | None:
    if isinstance(stated, bool) or not isinstance(stated, str | int | float):
        return None
    try:
        return Fraction(str(stated))
    except ValueError:
        return None


# Orders


def settle_all(touchpoints: list[TouchpointRecorded]) -> list[dict[str, Any]]:
    said = [(touchpoint, touchpoint.order) for touchpoint in touchpoints if touchpoint.order is not None]
    refunds: dict[str, tuple[TouchpointRecorded, Any]] = {}
    for touchpoint, order in said:
        if order.step == "refunded":
            refunds[f"id {order.refund_id}" if order.refund_id is not None else f"touchpoint {touchpoint.id}"] = touchpoint, order
    order_ids = {order.order_id for _, order in said if order.step != "refunded"}
    order_ids |= {order.order_id for _, order in refunds.values() if order.order_id is not None}
    groups = [[one for one in refunds.values() if one[1].order_id == order_id] for order_id in order_ids]
    settled = [settle_order([one for one in said if one[1].order_id == o], r) for o, r in zip(order_ids, groups, strict=True)]
    settled += [settle_order([], [one]) for one in refunds.values() if one[1].order_id is None]
    return settled


def count_orders(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    settled = settle_all(touchpoints)
    counted = [one for one in settled if one["counts"]]
    keys = sorted({currency for one in settled for currency in one["currencies"]})
    gross = {key: sum(one["amount"] for one in counted if one["currency"] == key) for key in keys}
    back = {key: sum(money for one in settled for _, currency, money in one["refunds"] if currency == key) for key in keys}
    orders = {key: sum(one["currency"] == key for one in counted) for key in keys}
    return {
        "count": len(counted),
        "occasions": len(list_occasions(settled)),
        "first_at": show(min(one["at"] for one in counted)) if counted else None,
        "last_at": show(max(one["at"] for one in counted)) if counted else None,
        "gross_minor": gross,
        "refunds_minor": back,
        "net_minor": {key: gross[key] - back[key] for key in keys},
        "average_minor": {key: round(Fraction(gross[key] - back[key], orders[key])) if orders[key] else None for key in keys},
    }


def settle_order(said: list[tuple[TouchpointRecorded, Any]], refunds: list[tuple[TouchpointRecorded, Any]]) -> dict[str, Any]:
    """One order and the refunds that name it, both oldest first."""
    stating = [(touchpoint, order) for touchpoint, order in said if order.step in ("completed", "updated")]
    known = bool(stating)
    cancelled = known and any(order.step == "cancelled" for _, order in said)
    amount, currency = Fraction(0), None
    lines: Sequence[OrderLine] = ()
    for touchpoint, order in stating:
        if touchpoint.lines or order.amount is not None or order.step == "completed":
            lines = touchpoint.lines
        if order.amount is not None or order.step == "completed":
            amount = Fraction(order.amount or 0)
            currency = order.currency or order.default_currency
        elif order.currency is not None:
            currency = order.currency
    if known and currency is None:
        currency = stating[-1][1].default_currency
    minor = to_minor(amount, currency) if currency else 0
    given_back, settled = 0, []
    for touchpoint, refund in sorted(refunds, key=lambda one: (one[0].occurred_at, one[0].id)):
        its = refund.currency or currency or refund.default_currency
        if refund.amount is not None:
            money = to_minor(Fraction(refund.amount), its)
        else:
            left = max(0, minor - given_back)
            money = to_minor(Fraction(left, 10 ** decimals(currency)), its) if currency else 0
        if its == currency:
            given_back += money
        settled.append((touchpoint.occurred_at, its, money))
    return {
        "counts": known and not cancelled,
        "at": stating[0][0].occurred_at if known else None,
        "currency": currency,
        "amount": minor,
        "refunds": [] if cancelled else settled,
        "lines": lines,
        "given_back": [] if cancelled else [touchpoint.lines for touchpoint, _ in refunds],
        "currencies": {money[1] for money in settled} | ({currency} if currency else set()),
    }


def to_minor(amount: Fraction, currency: str) -> int:
    return round(amount * 10 ** decimals(currency))


def decimals(currency: str) -> int:
    exponent = Currency(currency).exponent
    return 2 if exponent is None else int(exponent)


def list_occasions(settled: list[dict[str, Any]]) -> set[Any]:
    nets: dict[tuple[Any, str], int] = {}
    for one in settled:
        moves = [(at, currency, -money) for at, currency, money in one["refunds"]]
        if one["counts"]:
            moves.append((one["at"], one["currency"], one["amount"]))
        for at, currency, money in moves:
            nets[at.astimezone(UTC).date(), currency] = nets.get((at.astimezone(UTC).date(), currency), 0) + money
    return {day for (day, _), net in nets.items() if net > 0}


# Products and carts


def count_purchases(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    settled = settle_all(touchpoints)
    months: dict[str, int] = {}
    for day in list_occasions(settled):
        month = f"{day.year:04}-{day.month:02}"
        months[month] = months.get(month, 0) + 1
    shown: dict[str, Any] = {"by_month": {month: months[month] for month in sorted(months, reverse=True)[:24]}}
    bought = [(one["lines"], +1) for one in settled if one["counts"]]
    bought += [(lines, -1) for one in settled for lines in one["given_back"]]
    for plural, name in (
        ("products", product_of),
        ("categories", lambda line: line.category),
        ("brands", lambda line: line.brand),
    ):
        orders: dict[str, int] = {}
        units: dict[str, int] = {}
        for lines, sign in bought:
            told = [((name(line) or "").strip()[:128], round(Fraction(line.quantity) * 1000)) for line in lines]
            for key, quantity in told:
                units[key] = units.get(key, 0) + sign * quantity
            for key in {key for key, _ in told}:
                orders[key] = orders.get(key, 0) + (sign > 0)
        left = sorted((-count, key.encode(), key) for key, count in units.items() if key and count > 0)
        top = [{"id": key, "orders": orders[key], "quantity": in_units(units[key])} for _, _, key in left[:10]]
        shown[plural] = {"distinct": len(left), "top": top}
    return shown


def product_of(line: OrderLine) -> str | None:
    return line.product_id or line.sku or line.name


def in_units(thousandths: int) -> float | int:
    return thousandths // 1000 if thousandths % 1000 == 0 else thousandths / 1000


def count_carts(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    carts: dict[str, dict[str, Any]] = {}
    completed: dict[str, datetime] = {}
    for touchpoint in touchpoints:
        if touchpoint.order is not None:
            if touchpoint.order.step == "completed" and cart_of(touchpoint) is not None:
                completed[f"cart {cart_of(touchpoint)}"] = touchpoint.occurred_at
        elif tracked([touchpoint], "Product Added", "Wishlist Product Added to Cart", "Product Removed"):
            cart_id = cart_of(touchpoint)
            key = f"day {touchpoint.occurred_at.astimezone(UTC).date()}" if cart_id is None else f"cart {cart_id}"
            cart = carts.setdefault(key, {"id": cart_id, "added": 0, "removed": 0})
            quantity = number_of(properties_of(touchpoint).get("quantity"))
            units = 1000 if quantity is None or quantity <= 0 else round(quantity * 1000)
            cart["removed" if touchpoint.name == "Product Removed" else "added"] += units
            cart["at"] = touchpoint.occurred_at
    ordered = [one["at"] for one in settle_all(touchpoints) if one["counts"]]
    left = [
        (cart["at"], cart)
        for key, cart in carts.items()
        if cart["added"] > cart["removed"]
        and (key not in completed or completed[key] < cart["at"])
        and (not ordered or max(ordered) < cart["at"])
    ]
    if not left:
        return {"open": 0, "last_at": None, "last": None}
    at = max(at for at, _ in left)
    last = min((cart for when, cart in left if when == at), key=lambda cart: (cart["id"] is not None, cart["id"]))
    shown = {"id": last["id"], "at": show(at), "added": in_units(last["added"]), "removed": in_units(last["removed"])}
    return {"open": min(100, len(left)), "last_at": show(at), "last": shown}


def count_stores(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    visits = tracked(touchpoints, "Store Visited")
    stores: dict[str, list[TouchpointRecorded]] = {}
    for visit in visits:
        store_id = key_in(visit, "store_id")
        if store_id is not None:
            stores.setdefault(store_id, []).append(visit)
    top = sorted(stores, key=lambda store_id: (-len(stores[store_id]), store_id.encode()))[:10]
    return {
        "visits": len(visits),
        "last_at": show(visits[-1].occurred_at) if visits else None,
        "distinct": len(stores),
        "top": [{"id": one, "visits": len(stores[one]), "last_at": show(stores[one][-1].occurred_at)} for one in top],
    }


def cart_of(touchpoint: TouchpointRecorded) -> str | None:
    return key_in(touchpoint, "cart_id")


def key_in(touchpoint: TouchpointRecorded, name: str) -> str | None:
    stated = properties_of(touchpoint).get(name)
    if isinstance(stated, bool) or not isinstance(stated, str | int):
        return None
    return str(stated).strip()[:128] or None
