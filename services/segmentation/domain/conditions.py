"""Conditions on a touchpoint's properties. Decides which line of a list is meant: one for an `all` and all nested in it."""

from collections.abc import Mapping
from typing import Final

from services.segmentation.domain.nodes import AllProperties, Condition, NotProperty, Property, SomeProperties
from services.segmentation.domain.values import Json, holds, read_path

_NO_LINE: Final = object()
_UNCHOSEN: Final[Mapping[tuple[str, ...], Json]] = {}


def meets(condition: Condition, properties: Json) -> bool:
    """Whether properties meet the condition."""
    return _meets(condition, properties, _UNCHOSEN)


def find_lists(condition: Condition) -> set[tuple[str, ...]]:
    """The lists whose lines the condition or anything nested in it means."""
    match condition:
        case Property():
            return {condition.list_path} if condition.list_path is not None else set()
        case NotProperty():
            return find_lists(condition.condition)
        case AllProperties() | SomeProperties():
            return set().union(*map(find_lists, condition.conditions))


def _meets(condition: Condition, properties: Json, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    match condition:
        case SomeProperties():
            return any(_meets(one, properties, chosen) for one in condition.conditions)
        case NotProperty():
            return not _meets(condition.condition, properties, chosen)
        case AllProperties():
            return _meets_all(condition, properties, chosen)
        case Property():
            return _meets_property(condition, properties, chosen)


def _meets_all(group: AllProperties, properties: Json, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    """Some one line passes everything; without any line only what asks no line can pass."""
    unchosen = [path for path in find_lists(group) if path not in chosen]
    if not unchosen:
        return all(_meets(one, properties, chosen) for one in group.conditions)
    path = unchosen[0]
    lines = _read_lines(properties, path) or [_NO_LINE]
    return any(_meets_all(group, properties, {**chosen, path: line}) for line in lines)


def _meets_property(condition: Property, properties: Json, chosen: Mapping[tuple[str, ...], Json]) -> bool:
    path, test = condition.list_path, condition.test
    if path is None:
        return holds(test.op, read_path(properties, condition.path), test.value)
    rest = condition.path[len(path) + 1 :]
    lines = [chosen[path]] if path in chosen else _read_lines(properties, path)
    return any(line is not _NO_LINE and holds(test.op, read_path(line, rest), test.value) for line in lines)


def _read_lines(properties: Json, path: tuple[str, ...]) -> list[Json]:
    lines = read_path(properties, path)
    return lines if isinstance(lines, list) else []
