"""Values as rules compare them: JSON without coercion, numbers exact. Decides every operator; knows no rule tree."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from libs.kit.times import parse_utc, to_micros

Json: TypeAlias = Any
"""What JSON holds. Numbers are int or Decimal, never float: 0.1 is 0.1. null counts as missing everywhere."""

Op: TypeAlias = Literal[
    "eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "contains", "starts_with", "ends_with", "exists", "before", "after"
]  # fmt: skip

_GREATEST_EXPONENT: Final = 400
"""Beyond what a double can hold: no number that anybody means, and arithmetic stays bounded."""


def _read_decimal(text: str) -> Decimal | None:
    return bound_number(Decimal(text))


_decoder: Final = msgspec.json.Decoder(float_hook=_read_decimal)


def decode_json(raw: bytes) -> Json:
    """JSON with exact numbers. Raises msgspec.DecodeError, or RecursionError for what is nested absurdly deep."""
    return _decoder.decode(raw)


def decode_sent(raw: bytes | None) -> Json:
    """JSON as customers' systems sent it: what can't be read says nothing, rather than stopping everybody's judgement."""
    try:
        return decode_json(raw) if raw else {}
    except (msgspec.DecodeError, RecursionError):
        return {}


def bound_number(number: Decimal) -> Decimal | None:
    """None for what is no finite number of a sensible size; the very smallest are 0."""
    if not number.is_finite() or number.adjusted() > _GREATEST_EXPONENT:
        return None
    return number if number.adjusted() >= -_GREATEST_EXPONENT else Decimal(0)


def make_exact(value: Json) -> Json:
    """The same JSON with floats (as web frameworks decode them) as the decimals that were written; what is no number is null."""
    if isinstance(value, float):
        return Decimal(repr(value)) if isfinite(value) else None
    if isinstance(value, list):
        return [make_exact(item) for item in value]
    if isinstance(value, dict):
        return {key: make_exact(item) for key, item in value.items()}
    return value


def is_number(value: Json) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def is_equal(left: Json, right: Json) -> bool:
    """JSON equality: 1 equals 1.0, never "1" nor true; lists by place, objects by name. Nothing equals null."""
    if is_number(left):
        return is_number(right) and bool(left == right)
    if type(left) is not type(right) or left is None:
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(is_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(is_equal(item, right[key]) for key, item in left.items())
    return bool(left == right)


def is_comparable(left: Json, right: Json) -> bool:
    """Order exists between two numbers and between two texts (by code point), and nowhere else."""
    return (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))


def read_micros(value: Json) -> int | None:
    """The instant a text names, in microseconds; a date is its midnight in UTC. None: it names none."""
    if not isinstance(value, str):
        return None
    try:
        return to_micros(parse_utc(value))
    except ValueError:
        return None


def read_path(value: Json, path: Sequence[str]) -> Json:
    """What lies at the path through objects and, by number, lists; None where it leads nowhere."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _is_contained(actual: Json, wanted: Json) -> bool:
    if isinstance(actual, list):
        return any(is_equal(item, wanted) for item in actual)
    return isinstance(actual, str) and isinstance(wanted, str) and wanted in actual


def _is_before(actual: Json, wanted: Json) -> bool:
    left, right = read_micros(actual), read_micros(wanted)
    return left is not None and right is not None and left < right


_TESTS: Final[Mapping[str, Callable[[Json, Json], bool]]] = MappingProxyType(
    {
        "eq": is_equal,
        "ne": lambda actual, wanted: not is_equal(actual, wanted),
        "in": lambda actual, wanted: any(is_equal(actual, item) for item in wanted),
        "not_in": lambda actual, wanted: not any(is_equal(actual, item) for item in wanted),
        "gt": lambda actual, wanted: is_comparable(actual, wanted) and bool(actual > wanted),
        "gte": lambda actual, wanted: is_comparable(actual, wanted) and bool(actual >= wanted),
        "lt": lambda actual, wanted: is_comparable(actual, wanted) and bool(actual < wanted),
        "lte": lambda actual, wanted: is_comparable(actual, wanted) and bool(actual <= wanted),
        "contains": _is_contained,
        "starts_with": lambda actual, wanted: isinstance(actual, str) and isinstance(wanted, str) and actual.startswith(wanted),
        "ends_with": lambda actual, wanted: isinstance(actual, str) and isinstance(wanted, str) and actual.endswith(wanted),
        "exists": lambda actual, wanted: (actual is not None) is wanted,
        "before": _is_before,
        "after": lambda actual, wanted: _is_before(wanted, actual),
    }
)
ORDER_OPS: Final = ("gt", "gte", "lt", "lte")
RELATIVE_OPS: Final = ("within_last", "within_next", "anniversary_within")
"""Their answer depends on the instant of asking, too: see relative_dates."""
OPS: Final = (*_TESTS, *RELATIVE_OPS)


def holds(op: str, actual: Json, wanted: Json) -> bool:
    """Whether a value passes the test. `ne` and `not_in` negate `eq` and `in`, so a missing value passes them; else it fails."""
    return _TESTS[op](actual, wanted)
