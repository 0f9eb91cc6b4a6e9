"""Tests of a date relative to the instant of asking: when each is true, as spans of time that begin with their first instant.

Of a value v and a window W: `within_last` is true in [v, v + W), `within_next` in [v - W, v). `anniversary_within` is true from W
before each yearly return of v's day (29 February returns on the 28th) to the end of that day; the day itself is no return.
Everything is UTC, and a date alone is its midnight.
"""

from collections.abc import Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta
from itertools import count, takewhile
from typing import Final

from libs.kit.times import from_micros, to_micros
from services.segmentation.domain.nodes import Comparison
from services.segmentation.domain.values import Json, holds, read_micros

_DAY_US: Final = timedelta(days=1) // timedelta(microseconds=1)
_LAST_US: Final = to_micros(datetime(MAXYEAR, 12, 31, tzinfo=UTC))
_YEARS_AHEAD: Final = 2
_LEAP_DAY: Final = (2, 29)


def passes(test: Comparison, value: Json, at_us: int) -> bool:
    """Whether a value passes a test at the instant: only relative dates ask for that."""
    return is_near(test.op, value, test.value, at_us) if test.is_relative else holds(test.op, value, test.value)


def is_near(op: str, value: Json, window_us: int, at_us: int) -> bool:
    """Whether the date stands to the instant as the operator says; false for what is no date."""
    date_us = read_micros(value)
    if date_us is None:
        return False
    if op == "within_last":
        return at_us - window_us < date_us <= at_us
    if op == "within_next":
        return at_us < date_us <= at_us + window_us
    coming_us = next((day_us for day_us in _find_anniversaries(date_us, at_us - _DAY_US) if day_us + _DAY_US > at_us), None)
    return coming_us is not None and coming_us - window_us <= at_us


def find_turns(op: str, value: Json, window_us: int, after_us: int, now_us: int) -> Iterator[int]:
    """Instants after the given one at which the answer may become another, in order of their dates.

    A date returns for ever: of anniversaries all turns up to `find_horizon` are among them.
    """
    date_us = read_micros(value)
    if date_us is None:
        return
    if op == "within_last":
        turns = [date_us, date_us + window_us]
    elif op == "within_next":
        turns = [date_us - window_us, date_us]
    else:
        until_us = now_us + _YEARS_AHEAD * 366 * _DAY_US + window_us
        returns = takewhile(lambda day_us: day_us <= until_us, _find_anniversaries(date_us, after_us - _DAY_US))
        turns = [turn for day_us in returns for turn in (day_us - window_us, day_us + _DAY_US)]
    yield from (turn for turn in turns if after_us < turn <= _LAST_US)


def find_horizon(op: str, value: Json, now_us: int) -> int | None:
    """Up to when `find_turns` gives all turns, where it doesn't give all of them."""
    is_endless = op == "anniversary_within" and read_micros(value) is not None
    return now_us + _YEARS_AHEAD * 366 * _DAY_US if is_endless else None


def _find_anniversaries(date_us: int, from_us: int) -> Iterator[int]:
    """Midnights of the returns, from the year of the given instant on."""
    born = from_micros(date_us)
    first = max(from_micros(from_us).year, born.year + 1)
    for year in takewhile(lambda year: year <= MAXYEAR, count(first)):
        day = 28 if (born.month, born.day) == _LEAP_DAY and not _is_leap(year) else born.day
        yield to_micros(datetime(year, born.month, day, tzinfo=UTC))


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
