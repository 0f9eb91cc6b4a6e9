"""Rules by brute force, straight from their JSON and the words of docs/semantics.md: slow, plain, and sharing no code with ours.

Times are whole seconds. A history is a list of touches `{"t", "id", "name", "channel", "properties"}`.
"""

from calendar import isleap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

Touch = dict[str, Any]
MONEY = {"revenue", "total", "subtotal", "tax", "shipping", "discount", "value", "price"}


def seconds(duration: str) -> int:
    assert duration.startswith("PT")
    return int(duration[2:-1])


def number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal, Fraction)) and not isinstance(value, bool)


def exact(value: Any) -> Fraction:
    return Fraction(repr(value) if isinstance(value, float) else value)


def same(a: Any, b: Any) -> bool:
    if number(a) and number(b):
        return exact(a) == exact(b)
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b and a is not None
    return type(a) is type(b) and a == b


def instant(value: Any) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return parsed and (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def near(op: str, actual: Any, window: str, at: int) -> bool:
    """Dates relative to the instant, tried out: no thought of when they turn."""
    date, now, span = instant(actual), datetime.fromtimestamp(at, UTC), timedelta(seconds=seconds(window))
    if date is None:
        return False
    if op == "within_last":
        return now - span < date <= now
    if op == "within_next":
        return now < date <= now + span
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= now + span:
        is_kept_on = (day.month, day.day) == (2, 28) and (date.month, date.day) == (2, 29) and not isleap(day.year)
        if day.year > date.year and (is_kept_on or (day.month, day.day) == (date.month, date.day)):
            return True
        day += timedelta(days=1)
    return False


def compare(op: str, actual: Any, wanted: Any, at: int = 0) -> bool:  # noqa: C901, PLR0911, PLR0912 - one case after the other, as the page has them
    if op in ("within_last", "within_next", "anniversary_within"):
        return near(op, actual, wanted, at)
    if op == "eq":
        return same(actual, wanted)
    if op == "ne":
        return not same(actual, wanted)
    if op == "in":
        return any(same(actual, one) for one in wanted)
    if op == "not_in":
        return not any(same(actual, one) for one in wanted)
    if op == "exists":
        return (actual is not None) == wanted
    if op == "contains":
        if isinstance(actual, list):
            return any(same(one, wanted) for one in actual)
        return isinstance(actual, str) and isinstance(wanted, str) and wanted in actual
    if op == "starts_with":
        return isinstance(actual, str) and actual.startswith(wanted)
    if op == "ends_with":
        return isinstance(actual, str) and actual.endswith(wanted)
    if number(actual) and number(wanted):
        left, right = exact(actual), exact(wanted)
    elif isinstance(actual, str) and isinstance(wanted, str):
        left, right = actual, wanted
    else:
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[op]


def operator(body: dict[str, Any], *besides: str) -> tuple[str, Any]:
    [(op, value)] = [(key, value) for key, value in body.items() if key not in besides]
    return op, value


def reach(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def mentions_lines(condition: dict[str, Any]) -> bool:
    return "products.*" in str(condition)


def where(condition: dict[str, Any], properties: dict[str, Any], at: int, line: Any = "unchosen") -> bool:
    if "any" in condition:
        return any(where(one, properties, at, line) for one in condition["any"])
    if "not" in condition:
        return not where(condition["not"], properties, at, line)
    if "all" not in condition:
        if line == "unchosen" and mentions_lines(condition):
            return where({"all": [condition]}, properties, at)
        op, wanted = operator(condition, "property")
        path = condition["property"].split(".")
        if path[0] != "products":
            return compare(op, reach(properties, path), wanted, at)
        return line != "none" and compare(op, reach(line, path[2:]), wanted, at)
    lines = [line]
    if line == "unchosen" and mentions_lines(condition):
        lines = properties.get("products") or ["none"]
    return any(all(where(one, properties, at, chosen) for one in condition["all"]) for chosen in lines)


def matches(body: dict[str, Any], touch: Touch, at: int) -> bool:
    return (
        touch["name"] == body["did"]
        and body.get("channel") in (None, touch["channel"])
        and ("where" not in body or where(body["where"], touch["properties"], at))
    )


def hits(body: dict[str, Any], history: list[Touch], at: int) -> list[Touch]:
    return sorted((one for one in history if one["t"] <= at and matches(body, one, at)), key=lambda one: (one["t"], one["id"]))


def did(body: dict[str, Any], history: list[Touch], at: int) -> bool:
    found = hits(body, history, at)
    if "within" in body:
        found = [one for one in found if at - seconds(body["within"]) < one["t"] <= at]
    if "between" in body:
        found = [one for one in found if body["between"][0] <= one["t"] < body["between"][1]]
    if "since" in body:
        anchors = hits(body["since"], history, at)
        found = [one for one in found if anchors and (one["t"], one["id"]) > (anchors[-1]["t"], anchors[-1]["id"])]
    figures = [key for key in ("sum", "average", "min", "max") if key in body]
    verdicts = []
    if "times" in body or not figures:
        op, wanted = operator(body.get("times", {"gte": 1}))
        verdicts.append(compare(op, len(found), wanted))
    verdicts += [figure(key, body[key], found) for key in figures]
    return all(verdicts)


def figure(of: str, body: dict[str, Any], found: list[Touch]) -> bool:
    op, wanted = operator(body, "property", "currency")
    if body["property"] in MONEY:
        found = [one for one in found if one["properties"].get("currency", "EUR") == body["currency"]]
    values = [exact(one["properties"][body["property"]]) for one in found if number(one["properties"].get(body["property"]))]
    if of == "sum":
        return compare(op, sum(values, Fraction(0)), wanted)
    if not values:
        return False
    if of == "average":
        return compare(op, sum(values) / len(values), wanted)
    return compare(op, min(values) if of == "min" else max(values), wanted)


def sequence(body: dict[str, Any], history: list[Touch], at: int) -> bool:
    steps = body["sequence"]
    forbidden = hits(body["without"], history, at) if "without" in body else []
    for choice in product(*(hits(step, history, at) for step in steps)):
        order = [(one["t"], one["id"]) for one in choice]
        if any(a >= b for a, b in pairwise(order)):
            continue
        if any("within" in step and order[n][0] - order[n - 1][0] > seconds(step["within"]) for n, step in enumerate(steps) if n):
            continue
        if any(order[0] < (one["t"], one["id"]) < order[-1] and (one["t"], one["id"]) not in order for one in forbidden):
            continue
        return True
    return False


def rule(body: dict[str, Any], history: list[Touch], at: int, view: dict[str, Any], member: Callable[[str], bool]) -> bool:  # noqa: PLR0911
    """Whether the rule is true at the instant."""
    if "all" in body:
        return all(rule(one, history, at, view, member) for one in body["all"])
    if "any" in body:
        return any(rule(one, history, at, view, member) for one in body["any"])
    if "not" in body:
        return not rule(body["not"], history, at, view, member)
    if "did" in body:
        return did(body, history, at)
    if "sequence" in body:
        return sequence(body, history, at)
    if "trait" in body:
        op, wanted = operator(body, "trait")
        return compare(op, view["traits"].get(body["trait"]), wanted, at)
    if "segment" in body:
        return member(body["segment"])
    op, wanted = operator(body, "view")
    return compare(op, reach(view, body["view"].split(".")), wanted, at)
