"""Operators and their values as written in a rule: `{"gte": 3}`."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from libs.kit.times import parse_duration
from services.segmentation.domain.findings import Findings, point, suggest
from services.segmentation.domain.nodes import Comparison
from services.segmentation.domain.values import OPS, ORDER_OPS, RELATIVE_OPS, Json, is_number, read_micros

_MICROSECOND: Final = timedelta(microseconds=1)
LONGEST_WINDOW_US: Final = timedelta(days=36_525) // _MICROSECOND
MOST_VALUES: Final = 1_000
NUMBER_OPS: Final = ("eq", "ne", "in", "not_in", *ORDER_OPS)


def parse_test(body: Mapping[str, Any], pointer: str, findings: Findings, *, besides: tuple[str, ...]) -> Comparison | None:
    """The one operator of a condition; `besides` are the keys that belong to the condition itself."""
    ops = [key for key in body if key not in besides]
    for key in ops:
        if key not in OPS:
            findings.add(point(pointer, key), f"unknown operator `{key}`{suggest(key, OPS)} One of {', '.join(OPS)} is expected.")
            return None
    if len(ops) != 1:
        findings.add(pointer, f"exactly one operator is expected, not {len(ops)}; put several conditions into `all`")
        return None
    op, value = ops[0], body[ops[0]]
    if op in RELATIVE_OPS:
        window_us = parse_window(value, point(pointer, op), findings)
        return Comparison(op, window_us) if window_us else None
    problem = _VALUE_RULES[op](value)
    if problem:
        findings.add(point(pointer, op), problem)
        return None
    return Comparison(op, value)


def parse_number_test(
    body: Any, pointer: str, findings: Findings, *, whole: bool, besides: tuple[str, ...] = ()
) -> Comparison | None:
    """A test of a figure: only operators and values that make sense for numbers (`whole`: counts)."""
    if not isinstance(body, Mapping):
        findings.add(pointer, 'an object with one operator is expected, like {"gte": 3}')
        return None
    test = parse_test(body, pointer, findings, besides=besides)
    if test is None:
        return None
    if test.op not in NUMBER_OPS:
        findings.add(point(pointer, test.op), f"a number is compared with one of {', '.join(NUMBER_OPS)}")
        return None
    values = test.value if isinstance(test.value, list) else [test.value]
    if not all(is_number(value) and (not whole or (value == int(value) and value >= 0)) for value in values):
        findings.add(point(pointer, test.op), "a whole number from 0 is expected" if whole else "a number is expected")
        return None
    return test


def parse_window(value: Json, pointer: str, findings: Findings) -> int | None:
    """A duration in microseconds."""
    try:
        window_us = parse_duration(value) // _MICROSECOND if isinstance(value, str) else 0
    except ValueError:
        window_us = 0
    if 0 < window_us <= LONGEST_WINDOW_US:
        return window_us
    if window_us:
        findings.add(pointer, "a window is at most a hundred years long")
    else:
        findings.add(pointer, "a duration of weeks, days, hours, minutes or seconds is expected, like P30D or PT2H")
    return None


def parse_micros(value: Json, pointer: str, findings: Findings) -> int | None:
    micros = read_micros(value)
    if micros is None:
        findings.add(pointer, "a date or time is expected, like 2026-01-31 or 2026-01-31T12:00:00Z")
    return micros


def _want_something(value: Json) -> str | None:
    return 'null stands for a missing value; ask {"exists": false}' if value is None else None


def _want_list(value: Json) -> str | None:
    if isinstance(value, list) and len(value) > MOST_VALUES:
        return f"at most {MOST_VALUES} values can be listed"  # each is compared with, for each profile
    if isinstance(value, list) and value and not any(item is None for item in value):
        return None
    return "a list of at least one value is expected"


def _want_ordered(value: Json) -> str | None:
    return None if is_number(value) or isinstance(value, str) else "a number or a text is expected: nothing else has an order"


def _want_text(value: Json) -> str | None:
    return None if isinstance(value, str) and value else "a text is expected"


def _want_bool(value: Json) -> str | None:
    return None if isinstance(value, bool) else "true or false is expected"


def _want_instant(value: Json) -> str | None:
    return None if read_micros(value) is not None else "a date or time is expected, like 2026-01-31 or 2026-01-31T12:00:00Z"


_VALUE_RULES: Final[Mapping[str, Callable[[Json], str | None]]] = MappingProxyType(
    {
        "eq": _want_something,
        "ne": _want_something,
        "in": _want_list,
        "not_in": _want_list,
        **dict.fromkeys(ORDER_OPS, _want_ordered),
        "contains": _want_something,
        "starts_with": _want_text,
        "ends_with": _want_text,
        "exists": _want_bool,
        "before": _want_instant,
        "after": _want_instant,
    }
)
