"""Reading values of payloads that promise nothing: whatever is missing or of a wrong type is None."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from html import unescape
from typing import Final, TypeVar

from libs.identity import to_text
from libs.kit.times import format_utc
from services.ingest.domain.amounts import is_finite
from services.ingest.domain.times import read_instant

T = TypeVar("T")
Object = Mapping[str, object]

_MILLISECONDS: Final = 10**11
"""Epoch numbers from here on are milliseconds: in seconds they would be in the year 5138."""
_NUMBER: Final = re.compile(r"\d{1,14}(\.\d{1,9})?")
_TAG: Final = re.compile(r"<[^<>]*>")
_BREAK: Final = re.compile(r"<br\s*/?>|</p>", re.IGNORECASE)
LONG_TEXT: Final = 4000
"""Characters kept of what people wrote: enough to judge it, and an event stays within its limit."""


def pick(value: object, *path: str | int) -> object:
    """The value at the end of a path of names and list indexes."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def as_object(value: object) -> Object:
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """A text or number as text; None for anything else and for the empty text."""
    return to_text(value) or None


def as_long_text(value: object) -> str | None:
    text = as_text(value)
    return None if text is None else text[:LONG_TEXT]


def as_plain_text(value: object) -> str | None:
    """What HTML says to a reader."""
    text = as_text(value)
    if text is None:
        return None
    return unescape(_TAG.sub("", _BREAK.sub("\n", text[: 4 * LONG_TEXT]))).strip()[:LONG_TEXT] or None


def as_amount(value: object) -> object:
    """An exact decimal of the literal sent. What is no number stays as it is: whether that can stand is judged later."""
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return value or None
        return number if is_finite(number) else value
    return value


def negate(value: object) -> object:
    """An amount without its sign, for providers that state what goes back as negative."""
    amount = as_amount(value)
    return abs(amount) if isinstance(amount, int | Decimal) and not isinstance(amount, bool) else amount


def as_instant(value: object) -> datetime | None:
    """RFC 3339 with or without a zone (then UTC), or seconds or milliseconds since 1970."""
    match value:
        case bool():
            return None
        case int() | Decimal():
            return _from_epoch(Decimal(value))
        case str():
            text = value.strip()
            if _NUMBER.fullmatch(text):
                return _from_epoch(Decimal(text))
            return read_instant(text)
        case _:
            return None


def _from_epoch(number: Decimal) -> datetime | None:
    if not number.is_finite() or number.adjusted() > len(str(_MILLISECONDS)) + 2:
        return None
    micros = int(number * 1000 if abs(number) >= _MILLISECONDS else number * 1_000_000)
    try:
        return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)
    except (ValueError, OverflowError, OSError):
        return None


def format_instant(value: object) -> str | None:
    instant = as_instant(value)
    return None if instant is None else format_utc(instant)


def compact(members: Mapping[str, T | None]) -> dict[str, T]:
    """Without the members that are None, empty texts, and empty objects and lists."""
    return {name: value for name, value in members.items() if value is not None and value != "" and value not in ({}, [])}


def first(*values: T | None) -> T | None:
    """The first that is said."""
    return next((value for value in values if value is not None and value != ""), None)


def join_name(given: object, family: object) -> str | None:
    words: Sequence[str | None] = (as_text(given), as_text(family))
    return " ".join(word for word in words if word) or None
