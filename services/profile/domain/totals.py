"""A profile's derived figures: what the view shows of the growing parts, kept so that one more touchpoint never recounts them.

Nothing here is a source of truth: from states and rows alone the same totals come out again (`folding` does so after merges).
"""

from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct

from services.profile.domain.sessions import Interval
from services.profile.domain.state import encode_packed
from services.profile.domain.traits import Said
from services.profile.domain.usage import Usage
from services.profile.domain.values import Exact

FORMAT: Final = 3
"""Totals of another format are counted anew from states and rows when the profile is next touched."""
PARTS: Final = 8
"""How many parts of rows there are (`facts.Part`)."""


class Kind(IntEnum):
    """Of tallies. Stored as a number: never renumber."""

    PRODUCT = 1
    CATEGORY = 2
    BRAND = 3
    MONTH = 4
    CART = 5
    STORE = 6


class Money(Struct, array_like=True, gc=False):
    """One currency, in minor units. `orders`: how many that count are in it; `named`: how many orders or refunds are, at all."""

    gross: Exact = 0
    refunds: Exact = 0
    orders: int = 0
    named: int = 0


class Totals(Struct, array_like=True, gc=False):
    """`rows`: distinct keys by part, in the order of `facts.Part`. `session`: a stretch of the latest session, surely its end.
    `rating_sum` is in units of `facts.RATING_SCALE`, `sentiment_sum` in ten-thousandths.
    `tallied`: how many tallies of a `Kind` are shown, or could be; a dictionary of integers and None are nothing to the
    garbage collector, of which one profile in a batch shouldn't make more than it must.
    """

    format: int = FORMAT
    first_us: int | None = None
    last_us: int | None = None
    page_views: int = 0
    sessions: int = 0
    session: Interval | None = None
    rows: list[int] = msgspec.field(default_factory=lambda: [0] * PARTS)
    orders: int = 0
    first_order_us: int | None = None
    last_order_us: int | None = None
    occasions: int = 0
    money: dict[str, Money] = {}
    tickets_open: int = 0
    rated: int = 0
    rating_sum: Exact = 0
    scored: int = 0
    sentiment_sum: int = 0
    messages: dict[str, list[int]] = {}
    surveys: dict[str, Said] = {}
    answers: list[Said] | None = None
    solved: int = 0
    solve_us: Exact = 0
    visits: int = 0
    last_visit_us: int | None = None
    tallied: dict[int, int] = {}
    usage: Usage | None = None


_FORMAT_AT: Final = 3
"""Behind the head of an array of more than 15, which totals of every format are: read for each profile of a batch."""
_decode = msgspec.msgpack.Decoder(Totals).decode


def count_tallied(totals: Totals, kind: int, move: int) -> None:
    if move:
        totals.tallied[kind] = totals.tallied.get(kind, 0) + move


def decode_totals(packed: bytes) -> Totals:
    """Totals to be changed in place; empty bytes are a new profile's."""
    return _decode(packed) if packed else Totals()


def is_current(packed: bytes) -> bool:
    """Whether totals are of this format; a new profile's are."""
    return not packed or packed[_FORMAT_AT] == FORMAT


def encode_totals(totals: Totals) -> bytes:
    return encode_packed(totals)
