"""Single cells: numbers and times as people write them, and values of any file as JSON can carry them."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

DecimalMark = Literal[".", ","]

_PLAIN: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SPACES: Final = " \u00a0\u2009\u202f"
_MARKS: Final = f"'\u2019{_SPACES}"
_GROUPED: Final = {
    ".": re.compile(rf"[+-]?(?:\d+|\d{{1,3}}(?:[,{_MARKS}]\d{{3}})+)(?:\.\d+)?", re.ASCII),
    ",": re.compile(rf"[+-]?(?:\d+|\d{{1,3}}(?:[.{_MARKS}]\d{{3}})+)(?:,\d+)?", re.ASCII),
}
_GROUPS: Final = re.compile(rf"[{_MARKS}]")
_SECONDS_FORMATS: Final = {"unix": timedelta(seconds=1), "unix_ms": timedelta(milliseconds=1)}
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside the zones: whatever the machine is set to."""
_EXAMPLE: Final = datetime(2024, 12, 24, 18, 30, 15, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_number(text: str, mark: DecimalMark | None) -> Decimal:
    """Exactly what was written. Digits may be grouped where the decimal mark is stated: only then is `1,234` no riddle.

    Raises ValueError.
    """
    text = text.strip(_SPACES + "\t")
    if (_PLAIN if mark is None else _GROUPED[mark]).fullmatch(text) is None:
        raise ValueError("not a number")
    if mark is not None:
        text = _GROUPS.sub("", text).replace("," if mark == "." else ".", "").replace(",", ".")
    return Decimal(text)


@lru_cache(maxsize=64)
def find_zone(name: str) -> tzinfo:
    """Raises ValueError for what is no name of the IANA database."""
    if name not in _list_zones():
        raise ValueError(f"there is no time zone `{name}`")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _list_zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)


@lru_cache(maxsize=64)
def check_time_format(form: str) -> None:
    """Raises ValueError for one by which no time could be read, not even one written by it."""
    if form in _SECONDS_FORMATS:
        return
    try:
        datetime.strptime(_EXAMPLE.strftime(form), form)  # noqa: DTZ007 - only whether it can be read
        is_readable = "%" in form
    except (ValueError, re.error):
        is_readable = False
    if not is_readable:
        raise ValueError("`format` is neither one of strptime's (`%d.%m.%Y`) nor `unix` or `unix_ms`")


def read_time(value: object, form: str | None, zone: tzinfo) -> str:
    """A text by its form (strptime's, `unix` or `unix_ms`; ISO 8601 without one), or an instant of a typed file.

    What says no zone of its own is of the given one. Raises ValueError.
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        return format_time(value, zone)
    text = str(value).strip()
    unit = _SECONDS_FORMATS.get(form or "")
    try:
        if unit is not None:
            micros = read_number(text, None) * (unit // timedelta(microseconds=1))
            return format_time(_EPOCH + timedelta(microseconds=int(micros)))
        at = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - the zone comes now
        return format_time(at, zone)
    except OverflowError as error:
        raise ValueError("not a time of the years 1 to 9999") from error


def format_time(at: datetime, zone: tzinfo = UTC) -> str:
    """RFC 3339 in UTC; a time without a zone is of the given one."""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=zone)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_plain(value: object) -> object:  # noqa: PLR0911 - a table of types
    """A value of a typed file as JSON can carry it: doubles by their shortest decimal, structures with all that is in them."""
    match value:
        case float():
            return Decimal(repr(value)) if value == value else None  # noqa: PLR0124 - NaN is the absent cell of Parquet
        case datetime():
            return format_time(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return Decimal(value // timedelta(microseconds=1)) / 1_000_000
        case bytes():
            return _to_text(value)
        case Mapping():
            return {str(name): to_plain(item) for name, item in value.items()}
        case list() | tuple():
            return [to_plain(item) for item in value]
        case _:
            return value


def _to_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
