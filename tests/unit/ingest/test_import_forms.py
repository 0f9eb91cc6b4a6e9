"""Mappings as people send them, and rows as they are shown: whatever they hold, the answer is one."""

import json
from decimal import Decimal
from typing import Any

import pytest

from services.ingest.api.import_forms import ImportForm
from services.ingest.api.import_shapes import FileOut, show_preview
from services.ingest.domain.imports.layouts import Format, Inspection, Layout
from services.ingest.domain.imports.mapping import Cell
from services.ingest.domain.imports.steps import Planned
from services.ingest.domain.imports.tally import Tally
from services.ingest.errors import ImportMappingInvalid
from services.ingest.handlers.import_rows import Judged, prepare_row
from services.ingest.handlers.take_touchpoints import Receipt

SAID = "name: A\nidentifiers: {email: mail}\nproperties: {x: {value: %s}}"


def read_value(text: str) -> object:
    mapping = ImportForm(mapping=SAID % text).to_wishes().mapping
    assert mapping is not None
    cell = mapping.properties["x"]
    assert isinstance(cell, Cell)
    return cell.value


@pytest.mark.parametrize(
    "text",
    [
        "!!int ''", "!!float ''", "!!bool q", "!!timestamp q", "!!binary q", "!!python/name:os.system x", "!mine x", "*a",
        '"\\ud800"', '"\\0"', "1e999", "9" * 6000, "[" * 20_000,
    ],
)  # fmt: skip
def test_a_mapping_that_nobody_can_read_is_refused(text: str) -> None:
    with pytest.raises(ImportMappingInvalid):
        read_value(text)


@pytest.mark.parametrize("form", ["%Y%Y", "%Q"])
def test_a_time_format_that_nobody_can_read_is_refused_with_its_place(form: str) -> None:
    with pytest.raises(ImportMappingInvalid) as refused:
        ImportForm(mapping=f"name: A\nidentifiers: {{email: m}}\noccurred_at: {{column: d, format: '{form}'}}").to_wishes()
    assert refused.value.errors[0].pointer == "#/mapping/occurred_at"


@pytest.mark.parametrize("value", [r"\ud800", r"\u0000"])
def test_half_a_character_is_no_mapping_in_json_either(value: str) -> None:
    with pytest.raises(ImportMappingInvalid):
        ImportForm(mapping=f'{{"name": "A", "identifiers": {{"email": "mail"}}, "traits": {{"x": "{value}"}}}}').to_wishes()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-1.5", -1.5), ("1e3", 1000.0), ("true", True), ("NO", "NO"), ("2026-01-01", "2026-01-01"), ("007", "007"),
        ("1:30", "1:30"), (".inf", ".inf"), ("~", None), ("", None), ("EUR", "EUR"), ("'5'", "5"), ("! x", "x"),
    ],
)  # fmt: skip
def test_a_constant_is_what_json_would_say(text: str, value: object) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("number", [Decimal("9" * 6000), Decimal("1e999")])
def test_a_number_that_no_double_holds_is_shown_as_null(number: Decimal) -> None:
    touchpoint: dict[str, Any] = {"name": "A", "properties": {"revenue": number, "count": 3, "price": Decimal("1.5")}}
    row = prepare_row(Planned(2, 1, touchpoint, b""))
    file = FileOut(name="a", size_bytes=1, sha256="")
    shown = show_preview(file, Inspection(Layout(Format.CSV), 1), [row], Judged(Receipt([], [], []), Tally(), []))
    assert shown.rows[0].touchpoint == {"name": "A", "properties": {"revenue": None, "count": 3, "price": 1.5}}
    json.dumps(shown.model_dump(mode="json"), allow_nan=False)
