import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.errors import CliError
from cli.importing.cdnow import CdnowReader
from cli.importing.delivery import BATCH_EVENTS, Tally, cut_batches
from cli.importing.mapping import load_mapping
from cli.importing.online_retail import OnlineRetailReader
from cli.importing.progress import Bookmark
from cli.importing.rows import Planned, Skipped
from cli.importing.tables import TableReader


def planned(steps: list[Any]) -> list[dict[str, Any]]:
    return [step.touchpoint for step in steps if isinstance(step, Planned)]


def skipped(steps: list[Any]) -> list[tuple[int, str]]:
    return [(step.rows, step.reason) for step in steps if isinstance(step, Skipped)]


def test_each_line_of_cdnow_is_an_order_even_when_two_are_equal(tmp_path: Path) -> None:
    file = tmp_path / "cdnow.txt"
    file.write_bytes(
        b" customer_id  date number_of_cds  dollar_value\r\n 00004 19970101  2  29.33\r\n 00004 19970101  2  29.33\r\n x y\r\n"
    )
    steps = list(CdnowReader().read(file))
    first, second = planned(steps)
    assert first["id"] != second["id"]
    assert first["identifiers"] == {"cdnow": "00004"}
    assert first["occurred_at"] == "1997-01-01T00:00:00.000Z"
    assert first["properties"]["revenue"] == Decimal("29.33")
    assert first["properties"]["order_id"] != second["properties"]["order_id"]
    assert skipped(steps) == [(1, "not_four_columns")]
    assert list(CdnowReader().read(file)) == steps, "a second reading is the same"
    assert CdnowReader().count_rows(file) == 3


INVOICE_COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")


def write_invoices(path: Path, *rows: tuple[Any, ...]) -> Path:
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(INVOICE_COLUMNS)})
    pq.write_table(table, path)
    return path


def test_an_invoice_is_one_order_and_a_c_invoice_a_refund_without_an_order(tmp_path: Path) -> None:
    day, later = datetime.fromisoformat("2011-01-02T08:30"), datetime.fromisoformat("2011-01-02T08:31")
    file = write_invoices(
        tmp_path / "retail.parquet",
        ("1", "A", "cup", 6, day, 2.55, 17850.0, "France"),
        ("C2", "A", "cup", -1, day, 2.55, 17850.0, "France"),
        ("1", "B", "saucer", 1, later, 0.1, 17850.0, "France"),
        ("3", "A", "cup", 1, day, 1.0, None, "France"),
        ("A4", "B", "bad debt", 1, day, -11062.06, None, "France"),
        ("5", "B", "damaged", -9, day, 0.0, None, "France"),
    )
    steps = list(OnlineRetailReader().read(file))
    order, refund, nobody = planned(steps)
    assert (order["name"], order["properties"]["order_id"], order["properties"]["revenue"]) == (
        "Order Completed",
        "1",
        Decimal("15.40"),
    )
    assert order["occurred_at"] == "2011-01-02T08:30:00.000Z"
    assert order["identifiers"] == {"online_retail": "17850"}
    assert (refund["name"], refund["properties"]["refund_id"], refund["properties"]["total"]) == (
        "Order Refunded",
        "C2",
        Decimal("2.55"),
    )
    assert "order_id" not in refund["properties"]
    assert nobody["identifiers"] == {}, "sent all the same: ingest refuses it by name and keeps it"
    assert sorted(skipped(steps)) == [(1, "adjustment"), (1, "sum_not_positive")]


def test_a_mapping_says_which_column_is_what(tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "name: Order Completed\noccurred_at: {column: day, format: '%d.%m.%Y'}\nidentifiers: {email: mail}\n"
        "properties: {order_id: number, revenue: {column: sum, type: number}, currency: {value: CHF}}\n"
    )
    file = tmp_path / "sales.csv"
    file.write_text("number,day,mail,sum\n1,24.12.2025,ada@example.com,19.90\n2,not a day,bob@example.com,5\n")
    steps = list(TableReader("csv", load_mapping(mapping)).read(file))
    (touchpoint,) = planned(steps)
    assert touchpoint["occurred_at"] == "2025-12-24T00:00:00.000Z"
    assert touchpoint["properties"] == {"order_id": "1", "revenue": Decimal("19.90"), "currency": "CHF"}
    assert skipped(steps) == [(1, "unreadable_cell")]


def test_without_a_mapping_column_names_say_it(tmp_path: Path) -> None:
    file = tmp_path / "visits.csv"
    file.write_text("name,user_id,properties.page,occurred_at\nPage Viewed,u1,/home,2026-01-01\n,u2,/,2026-01-01\n")
    steps = list(TableReader("csv", None).read(file))
    (touchpoint,) = planned(steps)
    assert touchpoint["identifiers"] == {"user_id": "u1"}
    assert touchpoint["properties"] == {"page": "/home"}
    assert skipped(steps) == [(1, "no_name")]


def test_a_line_that_is_not_json_is_left_out_alone(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text('{"name": "A", "identifiers": {"user_id": "1"}, "properties": {"revenue": 0.30}}\n{oops\n')
    steps = list(TableReader("ndjson", None).read(file))
    assert planned(steps)[0]["properties"]["revenue"] == Decimal("0.30")
    assert skipped(steps) == [(1, "not_json")]


def test_a_wrong_mapping_is_named_with_its_place(tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text("name: X\nidentifiers: {user_id: id}\npropertees: {}\n")
    with pytest.raises(CliError, match="propertees"):
        load_mapping(mapping)


def test_batches_hold_the_steps_in_order_and_money_as_a_number() -> None:
    steps = [Planned(line, 1, {"id": str(line), "revenue": Decimal("1.10")}) for line in range(BATCH_EVENTS + 1)]
    first, second = cut_batches(steps)
    assert [len(first.steps), len(second.steps)] == [BATCH_EVENTS, 1]
    assert second.body == b'{"touchpoints":[{"id":"500","revenue":1.10}]}'
    assert json.loads(first.body)["touchpoints"][0]["id"] == "0"


def test_a_bookmark_belongs_to_a_files_content(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("one")
    bookmark = Bookmark(tmp_path, file, "csv")
    assert bookmark.load() is None
    bookmark.save(Tally(steps=3, rows=5))
    found = Bookmark(tmp_path, file, "csv").load()
    assert found is not None
    assert (found.steps, found.rows) == (3, 5)
    file.write_text("two")
    assert Bookmark(tmp_path, file, "csv").load() is None
