"""Orders told again from the written rules, with none of libs.orders' code: sorts everything, keeps nothing, uses fractions."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from libs.orders.statements import OrderStatement

DECIMALS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class Told:
    """A statement with the time and id of its touchpoint."""

    t_us: int
    id: Any
    says: OrderStatement


def half_even(value: Fraction) -> int:
    return round(value)  # Python rounds a Fraction half to even, exactly


def settle_naively(told: list[Told]) -> dict[str | None, dict[str, Any]]:
    told = sorted(set(told), key=lambda one: (one.t_us, one.id))
    winners: dict[Any, Told] = {}
    for one in told:
        if one.says.step == "refunded":
            winners[("own", one.id) if one.says.refund_id is None else ("named", one.says.refund_id)] = one
    order_ids = {one.says.order_id for one in told if one.says.step != "refunded"}
    order_ids |= {one.says.order_id for one in winners.values()}
    return {order_id: settle_one(order_id, told, list(winners.values())) for order_id in order_ids}


def settle_one(order_id: str | None, told: list[Told], winners: list[Told]) -> dict[str, Any]:
    mine = [one for one in told if order_id is not None and one.says.order_id == order_id]
    facts = [one for one in mine if one.says.step in ("completed", "updated")]
    known = bool(facts)
    currency = None
    amount = Fraction(0)
    for one in facts:  # oldest first: the last word stays
        bare = one.says.amount is None and one.says.step == "updated"
        if not bare:
            amount = Fraction(one.says.amount or 0)
        if one.says.currency is not None or not bare:
            currency = one.says.currency or one.says.default_currency
    if known and currency is None:
        currency = facts[-1].says.default_currency
    amount_minor = half_even(amount * 10 ** DECIMALS[currency]) if currency else 0
    refunds = []
    taken = 0
    for one in sorted((one for one in winners if one.says.order_id == order_id), key=lambda one: (one.t_us, one.id)):
        its = one.says.currency or currency or one.says.default_currency
        if one.says.amount is not None:
            value = Fraction(one.says.amount)
        else:
            value = Fraction(max(0, amount_minor - taken), 10 ** DECIMALS[currency]) if currency else Fraction(0)
        minor = half_even(value * 10 ** DECIMALS[its])
        refunds.append((one.t_us, one.id, its, minor, its == currency))
        if its == currency:
            taken += minor
    cancelled = known and any(one.says.step == "cancelled" for one in mine)
    return {
        "known": known,
        "cancelled": cancelled,
        "at_us": facts[0].t_us if known else None,
        "currency": currency,
        "gross_minor": 0 if cancelled else amount_minor,
        "refunds": [] if cancelled else refunds,
        "currencies": {currency, *(refund[2] for refund in refunds)} - {None},
        "net_points_base": 0 if cancelled or not known else max(0, amount_minor - taken),
        "over_refunded": known and not cancelled and taken > amount_minor,
    }
