"""What a mapping makes of rows: numbers, times, structures, and where it is wrong."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.imports.cells import read_number, read_time, to_plain
from services.ingest.domain.imports.layouts import Format, Layout, compute_import_id
from services.ingest.domain.imports.mapping import CellUnreadable, Columns, read_mapping
from services.ingest.domain.imports.tally import MIN_ROWS_TO_JUDGE, Tally


def make_mapping(**changes: Any) -> Columns:
    return read_mapping({"name": "Order Completed", "identifiers": {"email": "mail"}, **changes})


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "mark", "number"),
        [
            ("19.90", None, "19.90"),
            (" -3 ", None, "-3"),
            ("1e3", None, "1E+3"),
            ("19,90", ",", "19.90"),
            ("1.234,50", ",", "1234.50"),
            ("1.234", ",", "1234"),
            ("1 234,5", ",", "1234.5"),
            ("1\u00a0234,5", ",", "1234.5"),
            ("1'234.50", ".", "1234.50"),
            ("1\u2019234.50", ".", "1234.50"),
            ("1,234.50", ".", "1234.50"),
            ("-1.234.567,89", ",", "-1234567.89"),
        ],
    )
    def test_are_exactly_what_was_written(self, text: str, mark: Any, number: str) -> None:
        assert read_number(text, mark) == Decimal(number)

    @pytest.mark.parametrize(
        ("text", "mark"),
        [
            ("1,234", None),
            ("19,90", "."),
            ("1.23,4", ","),
            ("12.34.567", ","),
            ("NaN", None),
            ("Infinity", None),
            ("1_000", None),
            ("", None),
            ("12 EUR", None),
            ("٣", None),
        ],
    )
    def test_are_no_riddles(self, text: str, mark: Any) -> None:
        with pytest.raises(ValueError, match="not a number"):
            read_number(text, mark)

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12))
    def test_survive_a_german_spreadsheet(self, number: Decimal) -> None:
        german = f"{number:,.2f}".translate(str.maketrans(",.", ".,"))
        assert read_number(german, ",") == number


class TestTimes:
    @pytest.mark.parametrize(
        ("value", "form", "zone", "instant"),
        [
            ("24.12.2025 18:30", "%d.%m.%Y %H:%M", "Europe/Berlin", "2025-12-24T17:30:00.000Z"),
            ("24.07.2025 18:30", "%d.%m.%Y %H:%M", "Europe/Berlin", "2025-07-24T16:30:00.000Z"),
            ("24.12.2025", "%d.%m.%Y", None, "2025-12-24T00:00:00.000Z"),
            ("2025-12-24 18:30:00+0100", "%Y-%m-%d %H:%M:%S%z", "America/New_York", "2025-12-24T17:30:00.000Z"),
            ("2025-12-24T18:30:00", None, "Europe/Berlin", "2025-12-24T17:30:00.000Z"),
            ("1766597400", "unix", None, "2025-12-24T17:30:00.000Z"),
            ("1766597400123", "unix_ms", None, "2025-12-24T17:30:00.123Z"),
            (datetime(2025, 12, 24, 18, 30), None, "Europe/Berlin", "2025-12-24T17:30:00.000Z"),  # noqa: DTZ001
            (datetime(2025, 12, 24, 18, 30, tzinfo=UTC), None, "Europe/Berlin", "2025-12-24T18:30:00.000Z"),
            (date(2025, 12, 24), None, "Europe/Berlin", "2025-12-23T23:00:00.000Z"),
        ],
    )
    def test_are_of_the_zone_that_is_meant(self, value: Any, form: str | None, zone: str | None, instant: str) -> None:
        cell: dict[str, Any] = {"column": "day", "format": form, "timezone": zone}
        if form is None and zone is None:
            cell["timezone"] = "UTC"
        assert make_mapping(occurred_at=cell).apply({"day": value, "mail": "a"})["occurred_at"] == instant

    @pytest.mark.parametrize("text", ["yesterday", "99999999999999999999", "24.13.2025"])
    def test_that_cannot_be_read_are_errors(self, text: str) -> None:
        for form in ("unix", "%d.%m.%Y", None):
            with pytest.raises(ValueError, match=r"time|number|iso|match|month"):
                read_time(text, form, UTC)


def test_a_mapping_fills_every_part_and_leaves_empty_cells_out() -> None:
    mapping = make_mapping(
        id="number",
        channel="pos",
        properties={
            "order_id": "number",
            "revenue": {"column": "sum", "type": "number", "decimal": ","},
            "currency": {"value": "CHF"},
            "note": "note",
        },
        traits={"city": "address.city"},
        context={"source": {"value": "till"}},
    )
    row = {"number": "1", "mail": "ada@example.com", "sum": "19,90", "note": "", "address": {"city": "Bern"}}
    assert mapping.apply(row) == {
        "name": "Order Completed",
        "channel": "pos",
        "id": "1",
        "identifiers": {"email": "ada@example.com"},
        "properties": {"order_id": "1", "revenue": Decimal("19.90"), "currency": "CHF"},
        "traits": {"city": "Bern"},
        "context": {"source": "till"},
    }


def test_the_name_may_stand_in_a_column() -> None:
    assert make_mapping(name={"column": "event"}).apply({"event": "Store Visited", "mail": "a"})["name"] == "Store Visited"


def test_an_unreadable_cell_is_named_without_what_stands_in_it() -> None:
    mapping = make_mapping(properties={"revenue": {"column": "sum", "type": "number"}})
    with pytest.raises(CellUnreadable) as raised:
        mapping.apply({"mail": "a", "sum": "secret"})
    assert "`sum`" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propertees": {}}, "propertees"),
        ({"identifiers": {}}, "at least one"),
        ({"name": None}, "what the rows are"),
        ({"properties": {"a": {"column": "x", "value": 1}}}, "either"),
        ({"properties": {"a": {}}}, "either"),
        ({"occurred_at": {"column": "x", "timezone": "Mars/Olympus"}}, "Mars/Olympus"),
        ({"occurred_at": {"column": "x", "timezone": "../../etc/passwd"}}, "time zone"),
        *(
            ({"occurred_at": {"column": "x", "timezone": zone}}, "no time zone")
            for zone in ("localtime", "posixrules", "Factory", "")
        ),
        *(
            ({"occurred_at": {"column": "x", "format": form}}, "neither one of strptime's")
            for form in ("%Y%Y", "%Q", "%", "%d\0", "iso", "", "%G", "%d\ud800")
        ),
        ({"properties": {"a": {"column": "x", "format": "%d", "type": "number"}}}, "not both"),
        ({"properties": {"a": {"column": "x", "decimal": "'"}}}, r"\$\.properties"),
        ({"properties": []}, r"\$\.properties"),
    ],
)
def test_a_wrong_mapping_says_where(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        make_mapping(**changes)


@pytest.mark.parametrize(
    "form",
    [
        "%d.%m.%Y %H:%M",
        "%Y%m%d",
        "%c",
        "%x",
        "%I:%M %p",
        "%d %B %Y",
        "%y-%j",
        "%G-W%V-%u",
        "%d日",
        "%Y-%m-%dT%H:%M:%S.%f%z",
        "%H Z %Z",
    ],
)
def test_a_time_format_that_can_be_read_is_taken(form: str) -> None:
    make_mapping(occurred_at={"column": "x", "format": form})


def test_the_columns_a_mapping_names_are_known_with_their_places() -> None:
    mapping = make_mapping(occurred_at={"column": "day"}, properties={"a": "x", "b": {"value": 1}}, kind={"column": "k"})
    assert set(mapping.named_columns()) == {
        ("occurred_at", "day"),
        ("properties/a", "x"),
        ("kind", "k"),
        ("identifiers/email", "mail"),
    }


def test_a_mapping_is_kept_as_it_was() -> None:
    layout = Layout(Format.CSV, mapping=make_mapping(properties={"v": {"value": None}, "r": {"column": "x", "decimal": ","}}))
    assert msgspec.json.decode(msgspec.json.encode(layout), type=Layout) == layout


def test_typed_values_become_json_with_exact_numbers() -> None:
    value = {"price": 0.1, "none": float("nan"), "list": [date(2025, 1, 2), b"\xff"], "map": {1: b"text"}}
    assert to_plain(value) == {"price": Decimal("0.1"), "none": None, "list": ["2025-01-02", "/w=="], "map": {"1": "text"}}


def test_an_import_is_the_same_by_file_source_and_meaning() -> None:
    csv, other = Layout(Format.CSV), Layout(Format.CSV, delimiter=";")
    first = compute_import_id(b"1" * 32, "shop", csv)
    assert first == compute_import_id(b"1" * 32, "shop", csv)
    assert first.version == 8
    others = {compute_import_id(b"2" * 32, "shop", csv), compute_import_id(b"1" * 32, "till", csv)}
    assert len({first, *others, compute_import_id(b"1" * 32, "shop", other)}) == 4


def test_an_import_is_hopeless_only_after_enough_rows() -> None:
    tally = Tally()
    for _ in range(MIN_ROWS_TO_JUDGE - 1):
        tally.reject("no_identifier", 1)
    assert not tally.is_hopeless(0.9)
    tally.skip("no_name", 1)
    assert tally.is_hopeless(0.9)
    assert not tally.is_hopeless(1.0)
    assert tally.most_frequent_reason() == "no_identifier"
    for _ in range(MIN_ROWS_TO_JUDGE // 9 + 1):
        tally.accept(1)
    assert not tally.is_hopeless(0.9)
    assert (tally.steps, tally.rows) == (1112, 1112)
