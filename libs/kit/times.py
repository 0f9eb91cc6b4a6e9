"""Instants and durations as they travel: RFC 3339 texts, microseconds since the epoch, ISO 8601 durations. Exact, no floats."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXCESS_FRACTION = re.compile(r"([.,]\d{6})\d+")
_SHORT_OFFSET = re.compile(r"([+-]\d{2})$")
_LEAP_SECOND = re.compile(r"(T\d{2}:\d{2}| \d{2}:\d{2}):60")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?))?)?", re.ASCII)
_USUAL_LENGTH = len("2026-01-02T03:04:05.678Z")
_DURATION = re.compile(
    r"P(?!$)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00Z, exact for every instant."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def format_utc(instant: datetime) -> str:
    """RFC 3339 with milliseconds (cut, not rounded) and `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_utc(text: str) -> datetime:
    """Any RFC 3339 instant, and the ISO 8601 forms clients send: a date alone, a space for the T, offsets without colon.

    Without a zone it is UTC; finer than microseconds is cut; a leap second is the second after it. Raises ValueError, also for
    years that UTC can't hold.
    """
    if len(text) == _USUAL_LENGTH and text[4] == text[7] == "-" and text[10] == "T" and text[-1] == "Z":
        try:
            return datetime.fromisoformat(text)  # 2026-01-02T03:04:05.678Z, as nearly everybody sends it
        except ValueError:
            pass  # a leap second, or nonsense: the careful way tells
    return _parse_carefully(text.strip().upper())


def _parse_carefully(text: str) -> datetime:
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("not an RFC 3339 instant")
    text = _EXCESS_FRACTION.sub(r"\1", text).replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    if len(text) > len("2026-01-01"):
        text = _SHORT_OFFSET.sub(r"\1:00", text)
    text, is_leap = _LEAP_SECOND.subn(r"\1:59", text)
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
        return instant + timedelta(seconds=is_leap)
    except OverflowError as error:
        raise ValueError("the instant lies outside the years 1 to 9999") from error


def parse_duration(text: str) -> timedelta:
    """An ISO 8601 duration of weeks, days, hours, minutes and seconds (`P30D`, `P1W`, `PT2H30M`).

    Years and months have no fixed length and are refused. Raises ValueError.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("not a duration of weeks, days, hours, minutes or seconds like P30D or PT2H")
    whole = {unit: int(found[unit] or 0) for unit in ("weeks", "days", "hours", "minutes")}
    seconds, _, fraction = (found["seconds"] or "0").partition(".")
    try:
        return timedelta(**whole, seconds=int(seconds), microseconds=int(fraction.ljust(6, "0") or 0))
    except OverflowError as error:
        raise ValueError("the duration is too long") from error


def format_duration(duration: timedelta) -> str:
    """The shortest form of whole units that `parse_duration` reads back: `P30D`, `PT2H`, `PT0S`."""
    seconds, micros = duration.days * 86_400 + duration.seconds, duration.microseconds
    if seconds < 0:
        raise ValueError("a duration isn't negative")
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n) + (
        f"{rest}{fraction}S" if rest or micros else ""
    )
    day = f"{days}D" if days else ""
    return f"P{day}{'T' + clock if clock else ''}" if day or clock else "PT0S"
