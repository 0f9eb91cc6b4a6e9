"""The judge of schema changes, judged: every kind of break is seen, every harmless change passes."""

from typing import Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Struct, defstruct

from libs.events.documents.compatibility import find_breaks
from libs.events.documents.schemas import build_schema
from libs.events.fields import Instant


class Line(Struct):
    sku: str
    count: int = 1


BASE = [
    ("id", UUID),
    ("name", str),
    ("at", Instant),
    ("kind", Literal["a", "b"]),
    ("note", str | None, None),
    ("lines", tuple[Line, ...], ()),
    ("first", Line | None, None),
    ("size", int, 0),
]


def make_schema(fields: list, *, doc: str = "An event.", line: type[Struct] = Line) -> dict:
    def swap(field: tuple) -> tuple:
        swapped = {tuple[Line, ...]: tuple[line, ...], Line | None: line | None}  # type: ignore[valid-type]
        return (field[0], swapped.get(field[1], field[1]), *field[2:])

    event = defstruct(
        "Happened", [swap(field) for field in fields], namespace={"TYPE": "rapport.thing.happened.v1", "__doc__": doc}
    )
    return build_schema(event)


def change(name: str, *definition: object) -> list:
    return [(name, *definition) if field[0] == name else field for field in BASE]


OLD = make_schema(BASE)


def test_nothing_changed() -> None:
    assert find_breaks(OLD, make_schema(BASE)) == []


def test_words_order_and_names_of_structs_are_free() -> None:
    renamed = defstruct("LineOfOrder", [("sku", str), ("count", int, 1)])
    required, optional = BASE[:4], BASE[4:]
    new = make_schema([*reversed(required), *reversed(optional)], doc="Other words.", line=renamed)
    assert find_breaks(OLD, new) == []


@pytest.mark.parametrize("field", [("extra", str, ""), ("extra", UUID | None, None), ("extra", tuple[str, ...], ())])
def test_a_field_that_may_be_missing_may_be_added(field: tuple) -> None:
    assert find_breaks(OLD, make_schema([*BASE, field])) == []


def test_also_inside_a_struct() -> None:
    wider = defstruct("Line", [("sku", str), ("count", int, 1), ("colour", str | None, None)])
    assert find_breaks(OLD, make_schema(BASE, line=wider)) == []


class LineRequired(Struct):
    sku: str
    count: int


class LineText(Struct):
    sku: str
    count: str = "1"


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (make_schema([field for field in BASE if field[0] != "note"]), "$.note: removed"),
        (make_schema([("extra", str), *BASE]), "$.extra: a new field may not be required"),
        (make_schema(change("name", int)), "$.name: type"),
        (make_schema(change("name", UUID)), "$.name: format"),
        (make_schema(change("name", str | None)), "$.name"),
        (make_schema(change("note", str, "")), "$.note"),
        (make_schema(change("note", int | None, None)), "$.note|0: type"),
        (make_schema(change("size", int, 1)), "$.size: default"),
        (make_schema(change("size", float, 0)), "$.size: type"),
        (make_schema(change("kind", Literal["a"])), "$.kind: enum"),
        (make_schema(change("kind", Literal["a", "b", "c"])), "$.kind: enum"),
        (make_schema(change("kind", str)), "$.kind"),
        (make_schema(change("lines", tuple[str, ...], ())), "$.lines[]"),
        (make_schema(change("lines", str, "")), "$.lines"),
        (make_schema(BASE, line=LineRequired), "$.lines[].count: was optional"),
        (make_schema(BASE, line=LineText), "$.first|0.count: type"),
        (make_schema([("id", UUID, UUID(int=0)), *BASE[4:], *[(f[0], f[1], None) for f in BASE[1:4]]]), "$.id: was required"),
    ],
)
def test_every_other_change_is_a_break_and_says_where(new: dict, says: str) -> None:
    assert any(found.startswith(says) for found in find_breaks(OLD, new)), find_breaks(OLD, new)


def test_a_constraint_that_appears_is_a_break() -> None:
    bounded = {**OLD, "properties": {**OLD["properties"], "lines": {**OLD["properties"]["lines"], "minItems": 1}}}
    assert find_breaks(OLD, bounded) == ["$.lines: minItems was absent, is 1"]


def test_a_type_the_generator_doesnt_know_is_an_error_not_a_guess() -> None:
    event = defstruct("Odd", [("x", msgspec.Raw | dict[str, int])], namespace={"TYPE": "rapport.odd.v1"})
    with pytest.raises(TypeError):
        build_schema(event)
