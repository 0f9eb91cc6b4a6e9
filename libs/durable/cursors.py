"""Pages that stay stable while rows are added: a cursor holds the sort values of the last item; the next page begins after.

Opaque to clients: base64url of a JSON array. Nothing secret goes in, nothing that comes back is trusted beyond its types.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from libs.kit.errors import FieldError, Invalid
from libs.kit.times import format_utc

T = TypeVar("T")
SortValue = str | int | float | bool | None

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
_MAX_CURSOR_LENGTH: Final = 2000
_LEAST_INTEGER: Final = -(1 << 63)
_MOST_INTEGER: Final = (1 << 63) - 1
"""What PostgreSQL's bigint holds: no list is sorted by more."""
_decode = msgspec.json.Decoder(list[SortValue]).decode


class InvalidCursor(Invalid):
    code = "invalid_cursor"
    title = "The cursor isn't one of ours"

    def __init__(self) -> None:
        detail = "isn't a cursor of this list"
        super().__init__(f"`cursor` {detail}.", errors=[FieldError("#/query/cursor", detail)])


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list, as every list of the API answers."""

    items: Sequence[T]
    next_cursor: str | None = None


def encode_cursor(values: Sequence[SortValue | UUID | datetime]) -> str:
    """Sort values of the last item. Give instants as microseconds where the order is finer than milliseconds."""
    plain = [
        format_utc(value) if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value for value in values
    ]
    return base64.urlsafe_b64encode(msgspec.json.encode(plain)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *types: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The values back; with `types` (`UUID`, `int`, `str`, `parse_utc`) exactly so many, each through its type.

    Raises InvalidCursor (422) for everything that can't be one of ours.
    """
    if not 0 < len(cursor) <= _MAX_CURSOR_LENGTH:
        raise InvalidCursor
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = _decode(base64.b64decode(padded, altchars=b"-_", validate=True))
        found = tuple(convert(value) for convert, value in zip(types, values, strict=True)) if types else tuple(values)
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidCursor from error
    if any(isinstance(value, int) and not _LEAST_INTEGER <= value <= _MOST_INTEGER for value in found):
        raise InvalidCursor
    return found


def cut_page(rows: Sequence[T], limit: int, to_values: Callable[[T], Sequence[SortValue | UUID | datetime]]) -> Page[T]:
    """The page of `limit` items from rows fetched with LIMIT limit + 1: the extra row only tells that there is more."""
    items = rows[:limit]
    more = len(rows) > limit
    return Page(items, encode_cursor(to_values(items[-1])) if more and items else None)
