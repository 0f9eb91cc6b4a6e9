"""Conditions on a touchpoint's properties. Decides which line of a list is meant: one for an `all` and all nested in it."""

from collections.abc import Mapping
from typing import Final

from services.segmentation.domain.nodes import AllProperties, Condition, NotProperty, Property, SomeProperties
from services.segmentation.domain.relative_dates import passes
from services.segmentation.domain.values import Json, read_path

_NO_LINE: Final = object()
_UNCHOSEN: Final[Mapping[tuple[str, ...], Json]] = {}


def meets(condition: Condition, properties: Json, at_us: int) -> bool:
    """Whether properties meet the condition at the instant, which only relative dates ask for."""
    return _meets(condition, properties, at_us, _UNCHOSEN)


def read_values(condition: Property, properties: Json) -> list[Json]:
    """What the condition may look at: the property, or that of each line."""
    path = condition.list_path
    if path is None:
        return [read_path(properties, condition.path)]
    rest = condition.path[len(path) + 1 :]
    return [read_path(line, rest) for line in _read_lines(properties, path)]


def find_lists(condition: Condition) -> set[tuple[str, ...]]:
    """The lists whose lines the condition or anything nested in it means."""
    match condition:
        case Property():
            return {condition.list_path} if condition.list_path is not None else set()
        case NotProperty():
            return find_lists(condition.condition)
        case AllProperties() | SomeProperties():
            return set().union(*map(find_lists, condition.conditions))


def _meets(condition: Condition, properties: Json, at_us: int, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    match condition:
        case SomeProperties():
            return any(_meets(one, properties, at_us, chosen) for one in condition.conditions)
        case NotProperty():
            return not _meets(condition.condition, properties, at_us, chosen)
        case AllProperties():
            return _meets_all(condition, properties, at_us, chosen)
        case Property():
            return _meets_property(condition, properties, at_us, chosen)


def _meets_all(group: AllProperties, properties: Json, at_us: int, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    """Some one line passes everything; without any line only what asks no line can pass."""
    unchosen = [path for path in find_lists(group) if path not in chosen]
    if not unchosen:
        return all(_meets(one, properties, at_us, chosen) for one in group.conditions)
    path = unchosen[0]
    lines = _read_lines(properties, path) or [_NO_LINE]
    return any(_meets_all(group, properties, at_us, {**chosen, path: line}) for line in lines)


def _meets_property(condition: Property, properties: Json, at_us: int, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    path, test = condition.list_path, condition.test
    if path is None:
        return passes(test, read_path(properties, condition.path), at_us)
    rest = condition.path[len(path) + 1 :]
    lines = [chosen[path]] if path in chosen else _read_lines(properties, path)
    return any(line is not _NO_LINE and passes(test, read_path(line, rest), at_us) for line in lines)


def _read_lines(properties: Json, path: tuple[str, ...]) -> list[Json]:
    lines = read_path(properties, path)
    return lines if isinstance(lines, list) else []
