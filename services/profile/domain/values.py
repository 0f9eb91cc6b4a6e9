"""Values as customers send them and as the view shows them: JSON scalars read leniently, exact numbers, half-even averages.

What is unreadable counts as not stated; nothing here raises for what a sender wrote.
"""

import re
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from libs.identity import to_text

Exact: TypeAlias = int | str
"""An integer of any size as it is stored: MessagePack ends at 64 bits, so a larger one is its digits."""

ABSENT: Final = Raw(b"null")
NULL: Final = b"null"

KEY_CHARS: Final = 128
"""What is a key of the view is cut to so many characters."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_DAY_US: Final = 86_400_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_SMALLEST_EXPONENT: Final = -18
_LARGEST_DIGIT: Final = 12

_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)

_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()
encode_json = msgspec.json.Encoder().encode


def to_micros(instant: datetime) -> int:
    """As `libs.kit.times.to_micros`, in three quarters of its time: this runs for every touchpoint."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def read_id(raw: Raw, fallback: str) -> str:
    """An id that counts (`ticket_id`, ...): a text or a number. Where it is missing, blank or anything else: the fallback."""
    text = read_text(raw)
    return fallback if text is None or not text.strip() else text


def read_text(raw: Raw) -> str | None:
    """A text, or a number as text (`5` and `5.0` are one); None for all else."""
    data = bytes(raw)
    if data[:1] == b'"':
        return _text.decode(data)
    if data in (b"null", b"true", b"false") or data[:1] in (b"{", b"["):
        return None
    try:
        return to_text(_any.decode(data))
    except msgspec.DecodeError:  # 1e400: JSON, but no number that has a text
        return None


def read_number(raw: Raw) -> Decimal | None:
    """A finite number, or a text that is one, exactly as written. None beyond 12 digits before the point or 18 after it."""
    data = bytes(raw)
    text = _text.decode(data).strip() if data[:1] == b'"' else data.decode()
    if _NUMBER.fullmatch(text) is None:
        return None
    number = Decimal(text)
    if number and number.adjusted() >= _LARGEST_DIGIT:
        return None
    exponent = number.as_tuple().exponent
    return number if isinstance(exponent, int) and exponent >= _SMALLEST_EXPONENT else None


def render_number(number: Decimal) -> bytes:
    """The one JSON form of a number: no exponent, no trailing zeros, no minus zero (`4`, `4.5`)."""
    if number == number.to_integral_value():
        return str(int(number)).encode()
    return format(number, "f").rstrip("0").encode()


def pack_exact(number: int) -> Exact:
    return number if _INT64_MIN <= number <= _INT64_MAX else str(number)


def to_thousandths(number: Decimal) -> int:
    """Rounded once, half to even."""
    return int(number.scaleb(3, _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def render_thousandths(number: Exact) -> bytes:
    return render_number(Decimal(int(number)).scaleb(-3, _EXACT))


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient as an integer, rounded half to even. The denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient & 1))


def average_to_cents(total: int, count: int, scale: int) -> float | None:
    """The mean of `count` numbers that sum to `total / scale`, at 2 decimals, half to even; None without any."""
    return divide_half_even(total * 100, count * scale) / 100 if count else None


def day_of(t_us: int) -> int:
    """The UTC day, counted from 1970-01-01."""
    return t_us // _DAY_US


@lru_cache(maxsize=8192)
def _format_minute(minute: int) -> bytes:
    """Up to the seconds; most touchpoints of a moment share it."""
    day, rest = divmod(minute, 1440)
    hour, minute = divmod(rest, 60)
    return f'"{date.fromordinal(_EPOCH_ORDINAL + day).isoformat()}T{hour:02}:{minute:02}:'.encode()


def render_time(t_us: int | None) -> bytes:
    """RFC 3339 in milliseconds (cut, not rounded) with `Z`, as JSON; `null` where there is none."""
    if t_us is None:
        return NULL
    minute, rest_us = divmod(t_us, 60_000_000)
    second, micros = divmod(rest_us, 1_000_000)
    return b'%b%02d.%03dZ"' % (_format_minute(minute), second, micros // 1000)
