"""Amounts as sent: exact decimals out of JSON literals, and which of them are no amounts."""

import math
import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from typing import Final

from libs.orders.currencies import MAX_AMOUNT
from services.ingest.domain.reasons import Reason, Refusal

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
_LEAST_EXPONENT: Final = -400
"""Below the smallest double: digits that only noise could have."""
_MAX_DIGITS: Final = 1000
_USUAL_CHARS: Final = 32
_LEAST_PLAIN: Final = -6
"""Decimals from here on are written without an exponent."""
_TOO_LARGE_DIGITS: Final = MAX_AMOUNT.adjusted()
_LEAST_TOO_LARGE: Final = int(MAX_AMOUNT)
# Wide enough for every product and sum within the bounds, so nothing is ever rounded here; it would raise.
_EXACT: Final = Context(prec=4000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
ZERO: Final = Decimal(0)


def read_usual(value: object) -> Decimal | None:
    """A short way to nearly all amounts: a number, not negative, below the greatest, of few decimals. None: read it in full."""
    if type(value) is int:
        return Decimal(value) if 0 <= value < _LEAST_TOO_LARGE else None
    if type(value) is not Decimal or not value.is_finite() or value.is_signed():
        return None
    is_plain = _LEAST_PLAIN <= value.adjusted() < _TOO_LARGE_DIGITS and len(str(value)) <= _USUAL_CHARS
    return value if is_plain else None


def read_amount(field: str, value: object) -> Decimal | Refusal | None:
    """The decimal in a field, text or number; None where the field states nothing (absent or null).

    Numbers must have been decoded to int or Decimal, never to float, so that what was sent is what counts.
    """
    if value is None:
        return None
    match value:
        case bool():
            number = None
        case int():
            number = Decimal(value) if value.bit_length() <= _MAX_DIGITS * 3 else None
        case Decimal():
            number = value
        case str():
            text = value.strip()
            number = Decimal(text) if len(text) <= _MAX_DIGITS and _NUMBER.fullmatch(text) else None
        case _:
            number = None
    if number is None or not is_finite(number):
        return Refusal(Reason.AMOUNT_INVALID, f"{field} is not a finite number")
    if number < 0:
        return Refusal(Reason.AMOUNT_NEGATIVE, f"{field} is negative")
    if number >= MAX_AMOUNT or _digits_below_one(number) > -_LEAST_EXPONENT:
        return Refusal(Reason.AMOUNT_INVALID, f"{field} is beyond what money can be")
    return number


def is_finite(number: Decimal) -> bool:
    """Whether a double could hold it: what every other reader of the JSON will make of it. `1e400` is infinite."""
    return number.is_finite() and (number.adjusted() < 308 or math.isfinite(float(number)))  # noqa: PLR2004 - largest double


def _digits_below_one(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def add(a: Decimal, b: Decimal) -> Decimal:
    return _EXACT.add(a, b)


def subtract(a: Decimal, b: Decimal) -> Decimal:
    return _EXACT.subtract(a, b)


def multiply(a: Decimal, b: Decimal) -> Decimal:
    return _EXACT.multiply(a, b)


def to_plain(number: Decimal) -> str:
    """Plain notation, without exponent; zero without sign."""
    return format(number, "f") if number else "0"
