"""Files as people have them: looked at, and read, on a disk."""

import gzip
import io
import json
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.ingest.adapters.import_files.inspection import inspect
from services.ingest.adapters.import_files.lines import MAX_LINE
from services.ingest.adapters.import_files.reading import read_steps
from services.ingest.adapters.import_files.scratch import open_scratch, remove_leftovers
from services.ingest.domain.imports.layouts import Format, Inspection, Wishes
from services.ingest.domain.imports.mapping import Columns, read_mapping
from services.ingest.domain.imports.steps import Planned, Skipped, Step
from services.ingest.errors import ImportFileTooLarge, ImportFileUnreadable, ImportMappingInvalid

MAX_BYTES = 10_000_000
SALE = {"name": "Order Completed", "identifiers": {"email": "mail"}, "properties": {"note": "note"}}


def mapping(**changes: Any) -> Columns:
    return read_mapping({**SALE, **changes})


class Read:
    """A file, looked at and read to its end."""

    def __init__(self, folder: Path, content: bytes, **wishes: Any) -> None:
        path = folder / "file"
        path.write_bytes(content)
        self.found: Inspection
        plain, self.found = inspect(path, Wishes(**wishes), MAX_BYTES)
        self.layout = self.found.layout
        self.steps: list[Step] = list(read_steps(plain, self.layout))
        for skip in (1, len(self.steps)):
            assert list(read_steps(plain, self.layout, skip=skip)) == self.steps[skip:], "going on gives the same steps"

    @property
    def planned(self) -> list[dict[str, Any]]:
        return [step.touchpoint for step in self.steps if isinstance(step, Planned)]

    @property
    def skipped(self) -> list[tuple[int, str]]:
        return [(step.line, step.reason.value) for step in self.steps if isinstance(step, Skipped)]


def refuse(folder: Path, content: bytes, **wishes: Any) -> str:
    with pytest.raises((ImportFileUnreadable, ImportMappingInvalid, ImportFileTooLarge)) as raised:
        Read(folder, content, **wishes)
    return " ".join([raised.value.detail, *(f"{one.pointer} {one.detail}" for one in raised.value.errors)])


def pack_zip(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


class TestCsv:
    def test_made_by_a_german_spreadsheet(self, tmp_path: Path) -> None:
        content = '\ufeffmail;note;sum\r\nä@example.com;"zwei\r\nZeilen; ja";1.234,50\r\n'.encode()
        read = Read(tmp_path, content, mapping=mapping(properties={
            "note": "note", "revenue": {"column": "sum", "type": "number", "decimal": ","},
        }))  # fmt: skip
        assert (read.layout.format, read.layout.encoding, read.layout.delimiter) == (Format.CSV, "utf-8-sig", ";")
        assert read.layout.columns == ("mail", "note", "sum")
        assert read.planned[0]["identifiers"] == {"email": "ä@example.com"}
        assert read.planned[0]["properties"] == {"note": "zwei\r\nZeilen; ja", "revenue": Decimal("1234.50")}

    def test_in_windows_1252_far_behind_the_beginning(self, tmp_path: Path) -> None:
        content = b"mail,note\n" + b"a@example.com,plain\n" * 90_000 + "a@example.com,Größe\n".encode("cp1252")
        read = Read(tmp_path, content, mapping=mapping())
        assert (read.layout.encoding, read.found.rows) == ("cp1252", 90_001)
        assert read.planned[-1]["properties"] == {"note": "Größe"}

    def test_in_utf8_with_one_broken_byte_loses_only_that(self, tmp_path: Path) -> None:
        content = "mail,note\na@x.de,Größe\nb@x.de,Öl \n".encode().replace(b"l \n", b"l\xff\n")
        read = Read(tmp_path, content, mapping=mapping())
        assert read.layout.encoding == "utf-8"
        assert [one["properties"]["note"] for one in read.planned] == ["Größe", "Öl\ufffd"]
        assert read.found.warnings == ("1 bytes aren't utf-8; they become U+FFFD.",)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le-bom", "utf-8"])
    def test_in_what_excel_calls_unicode(self, tmp_path: Path, encoding: str) -> None:
        text = "mail\tnote\r\na@x.de\tGröße\r\n"
        content = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
        read = Read(tmp_path, content, mapping=mapping())
        assert read.layout.delimiter == "\t"
        assert read.planned[0]["properties"] == {"note": "Größe"}

    def test_with_the_separator_in_its_first_line(self, tmp_path: Path) -> None:
        read = Read(tmp_path, b"sep=|\r\nmail|note\r\na@x.de|x\r\n", mapping=mapping())
        assert (read.layout.delimiter, read.layout.columns, read.found.rows) == ("|", ("mail", "note"), 1)
        assert [step.line for step in read.steps] == [3]

    def test_without_a_header(self, tmp_path: Path) -> None:
        content = b"a@x.de,2025-01-01\nb@x.de,2025-01-02\n"
        read = Read(tmp_path, content, mapping=mapping(identifiers={"email": "column_1"}, properties={}, occurred_at="column_2"))
        assert (read.layout.header, len(read.planned)) == (False, 2)
        assert any("column_1" in warning for warning in read.found.warnings)

    def test_whose_sender_knows_better(self, tmp_path: Path) -> None:
        read = Read(
            tmp_path, "mail;note\na@x.de;Größe\n".encode("cp437"),
            mapping=mapping(properties={"note": "column_2"}, identifiers={"email": "column_1"}),
            encoding="cp437", delimiter=";", header=False,
        )  # fmt: skip
        assert [one["properties"]["note"] for one in read.planned] == ["note", "Größe"]

    def test_with_columns_named_twice_or_not_at_all(self, tmp_path: Path) -> None:
        read = Read(
            tmp_path,
            b"mail,note,note,\na@x.de,1,2,3\n",
            mapping=mapping(properties={"a": "note_2", "b": "column_4"}),
            header=True,
        )
        assert read.layout.columns == ("mail", "note", "note_2", "column_4")
        assert read.planned[0]["properties"] == {"a": "2", "b": "3"}

    def test_whose_bad_rows_stop_no_good_one(self, tmp_path: Path) -> None:
        content = b"mail,note\na@x.de,1\n\nb@x.de,2,3\nc@x.de\n" + b"d@x.de," + b"x" * (MAX_LINE + 5) + b"\ne@x.de,5,,\n"
        read = Read(tmp_path, content, mapping=mapping())
        assert [one["identifiers"]["email"] for one in read.planned] == ["a@x.de", "c@x.de", "e@x.de"]
        assert read.skipped == [(4, "too_many_cells"), (6, "row_too_long")]

    def test_with_a_quote_left_open_goes_on_behind_it(self, tmp_path: Path) -> None:
        content = b'mail,note\na@x.de,1\nb@x.de,"open\n' + b"c@x.de,3\n" * 40_000
        read = Read(tmp_path, content, mapping=mapping())
        assert read.skipped[0][1] == "row_unreadable"
        assert len(read.planned) > 20_000

    def test_rows_are_named_by_format_line_and_hash_of_their_cells(self, tmp_path: Path) -> None:
        first = Read(tmp_path, b"mail,note\na@x.de,1\na@x.de,1\n", mapping=mapping())
        quoted = Read(tmp_path, b'mail;note\n"a@x.de";1\na@x.de;1\n', mapping=mapping())
        ids = [one["id"] for one in first.planned]
        assert ids == [one["id"] for one in quoted.planned]
        assert ids[0] != ids[1]
        assert ids[0].startswith("csv:2:")

    def test_without_a_mapping_column_names_say_it(self, tmp_path: Path) -> None:
        content = b"name,user_id,properties.page,occurred_at\nPage Viewed,u1,/home,2026-01-01\n,u2,/,2026-01-01\n"
        read = Read(tmp_path, content)
        assert read.planned[0]["identifiers"] == {"user_id": "u1"}
        assert read.planned[0]["properties"] == {"page": "/home"}
        assert read.planned[0]["channel"] == "import"
        assert read.skipped == [(3, "no_name")]

    def test_without_a_mapping_every_known_identifier_is_read(self, tmp_path: Path) -> None:
        kinds = ("user_id", "anonymous_id", "Email", "phone", "loyalty_card", "device_id")
        read = Read(tmp_path, f"name,{','.join(kinds)},identifiers.crm\nA,1,2,3,4,5,6,7\n".encode())
        assert read.planned[0]["identifiers"] == dict(zip((*kinds, "crm"), "1234567", strict=True))

    def test_a_cell_that_is_not_what_the_mapping_says(self, tmp_path: Path) -> None:
        content = b"number,day,mail,sum\n1,24.12.2025,ada@example.com,19.90\n2,not a day,bob@example.com,5\n"
        read = Read(tmp_path, content, mapping=read_mapping({
            "name": "Order Completed", "occurred_at": {"column": "day", "format": "%d.%m.%Y"},
            "identifiers": {"email": "mail"}, "properties": {"revenue": {"column": "sum", "type": "number"}},
        }))  # fmt: skip
        assert read.planned[0]["occurred_at"] == "2025-12-24T00:00:00.000Z"
        assert read.skipped == [(3, "unreadable_cell")]


class TestWhatCannotBeImported:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "empty"),
            (b"mail,note\n", "only a header"),
            (b"\n\n", "no rows"),
            (b"[{}]", "NDJSON"),
            (b"mail,note\n\x00\x01\x02,3\n", "no text"),
            (b"PAR1 and nothing else", "no Parquet"),
            (b"\x1f\x8bnothing", "damaged"),
            (gzip.compress(b"mail,note\na,b\n" * 1000, mtime=0)[:40], "damaged"),
            (gzip.compress(b"", mtime=0), "empty"),
            (b"PK\x03\x04nothing", "damaged"),
            (pack_zip(a=b"1", b=b"2"), "2 files"),
            (pack_zip(**{"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "workbook"),
        ],
    )
    def test_is_told_before_anything_is(self, tmp_path: Path, content: bytes, said: str) -> None:
        assert said in refuse(tmp_path, content, mapping=mapping())

    def test_a_bomb_stops_at_the_limit(self, tmp_path: Path) -> None:
        assert "larger than" in refuse(tmp_path, gzip.compress(b"0" * (MAX_BYTES + 1), mtime=0), mapping=mapping())

    def test_a_mapping_that_names_no_column_of_the_file(self, tmp_path: Path) -> None:
        said = refuse(tmp_path, b"email,note\na@x.de,1\n", mapping=mapping())
        assert "#/mapping/identifiers/email" in said
        assert "It has: email, note" in said

    def test_a_table_that_does_not_say_what_happened(self, tmp_path: Path) -> None:
        assert "Without a mapping" in refuse(tmp_path, b"email,note\na@x.de,1\n")

    def test_a_column_that_nothing_says_the_meaning_of(self, tmp_path: Path) -> None:
        content = b"name,email,city,properties,note.x\nStore Visited,a@x.de,Leipzig,x,y\n"
        said = refuse(tmp_path, content)
        assert "city, properties, note.x. Give a mapping" in said
        mapped = read_mapping({"name": {"column": "name"}, "identifiers": {"city": "city"}})
        assert Read(tmp_path, content, mapping=mapped).planned[0]["identifiers"] == {"city": "Leipzig"}

    def test_a_typed_column_that_nothing_says_the_meaning_of(self, tmp_path: Path) -> None:
        data = io.BytesIO()
        pq.write_table(pa.table({"name": ["A"], "city": ["Leipzig"], "traits": [["x"]], "email": ["a@x.de"]}), data)
        assert "city, traits. Give a mapping" in refuse(tmp_path, data.getvalue())

    @pytest.mark.parametrize("encoding", ["utf-16", "utf16", "UTF-32"])
    def test_a_wide_encoding_without_its_mark(self, tmp_path: Path, encoding: str) -> None:
        for content in (b"mail,note\na@x.de,1\n", "mail,note\na@x.de,1\n".encode("utf-16-le")):
            said = refuse(tmp_path, content, mapping=mapping(), encoding=encoding)
            assert "byte order mark" in said or "no text" in said

    def test_a_mapping_for_a_format_with_a_meaning_of_its_own(self, tmp_path: Path) -> None:
        assert "leave the mapping out" in refuse(tmp_path, b"x\n1 19970101 1 1.0\n", format=Format.CDNOW, mapping=mapping())

    def test_ndjson_in_anything_but_utf8(self, tmp_path: Path) -> None:
        assert "utf-16" in refuse(tmp_path, '{"name":"A"}\n'.encode("utf-16"), format=Format.NDJSON)

    def test_an_encoding_nobody_knows(self, tmp_path: Path) -> None:
        for encoding in ("klingon", "rot13", "punycode", "undefined", "utf-7", "unicode_escape"):
            assert encoding in refuse(tmp_path, b"mail,note\na,1\n", mapping=mapping(), encoding=encoding)


class TestPacked:
    @pytest.mark.parametrize("packing", ["gzip", "zip"])
    def test_files_are_read_as_the_one_inside(self, tmp_path: Path, packing: str) -> None:
        content = b"mail,note\na@x.de,1\n"
        packed = (
            gzip.compress(content, mtime=0) if packing == "gzip" else pack_zip(**{"__MACOSX/._a.csv": b"x", "a.csv": content})
        )
        read = Read(tmp_path, packed, mapping=mapping())
        assert (read.layout.packing, len(read.planned)) == (packing, 1)

    def test_parquet_may_be_packed_too(self, tmp_path: Path) -> None:
        data = io.BytesIO()
        pq.write_table(pa.table({"mail": ["a@x.de"], "note": ["1"]}), data)
        assert len(Read(tmp_path, pack_zip(**{"a.parquet": data.getvalue()}), mapping=mapping()).planned) == 1


class TestNdjson:
    def test_lines_are_touchpoints_as_they_are(self, tmp_path: Path) -> None:
        content = (
            b'{"name": "A", "identifiers": {"user_id": "1"}, "properties": {"revenue": 0.30}}\n'
            b"{oops\n\n[1]\n"
            b'{"name": "B", "identifiers": {"user_id": "2"}, "properties": {"text": "\\ud800"}}\n'
            b'{"name": "C", "identifiers": {"user_id": "3"}, "properties": {"n": NaN}}\n'
        )
        read = Read(tmp_path, content)
        assert read.planned[0]["properties"]["revenue"] == Decimal("0.30")
        assert read.planned[1]["properties"] == {"text": "\ufffd"}
        assert read.skipped == [(2, "not_json"), (4, "not_an_object"), (6, "number_not_finite")]

    def test_a_mapping_reaches_into_structures(self, tmp_path: Path) -> None:
        content = b'{"customer": {"mail": "a@x.de"}, "note": 5}\n'
        read = Read(tmp_path, content, mapping=mapping(identifiers={"email": "customer.mail"}))
        assert (read.planned[0]["identifiers"], read.planned[0]["properties"]) == ({"email": "a@x.de"}, {"note": 5})

    def test_a_line_without_end_is_left_out_alone(self, tmp_path: Path) -> None:
        long = b'{"name": "' + b"x" * (3 * MAX_LINE) + b'"}\n'
        read = Read(tmp_path, b'{"name":"A","identifiers":{}}\n' + long + b'{"name":"B","identifiers":{}}')
        assert [one["name"] for one in read.planned] == ["A", "B"]
        assert read.skipped == [(2, "row_too_long")]


class TestParquet:
    def write(self, table: pa.Table) -> bytes:
        data = io.BytesIO()
        pq.write_table(table, data, row_group_size=2)
        return data.getvalue()

    def test_nested_columns_are_structures(self, tmp_path: Path) -> None:
        table = pa.table({
            "name": ["Order Completed", "Store Visited", None],
            "email": ["a@x.de", "b@x.de", "c@x.de"],
            "occurred_at": pa.array([datetime(2025, 1, 2, 3), None, None], pa.timestamp("us")),  # noqa: DTZ001
            "properties": [
                {"revenue": 19.9, "products": [{"id": "p1", "tags": ["a"]}]}, {"revenue": None, "products": None}, None,
            ],
            "traits": pa.array([[("city", "Bern")], None, None], pa.map_(pa.string(), pa.string())),
        })  # fmt: skip
        read = Read(tmp_path, self.write(table))
        assert read.planned[0] | {"id": ""} == {
            "id": "",
            "name": "Order Completed",
            "identifiers": {"email": "a@x.de"},
            "occurred_at": "2025-01-02T03:00:00.000Z",
            "properties": {"revenue": Decimal("19.9"), "products": [{"id": "p1", "tags": ["a"]}]},
            "traits": {"city": "Bern"},
            "channel": "import",
        }
        assert read.skipped == [(3, "no_name")]
        assert (read.found.rows, read.layout.format) == (3, Format.PARQUET)

    def test_a_mapping_reads_nested_columns_and_typed_cells(self, tmp_path: Path) -> None:
        table = pa.table({
            "who": [{"mail": "a@x.de"}],
            "at": pa.array([datetime(2025, 12, 24, 18)], pa.timestamp("ms")),  # noqa: DTZ001
            "sum": pa.array([Decimal("19.90")], pa.decimal128(9, 2)),
        })  # fmt: skip
        read = Read(tmp_path, self.write(table), mapping=mapping(
            identifiers={"email": "who.mail"},
            properties={"revenue": {"column": "sum", "type": "number"}},
            occurred_at={"column": "at", "timezone": "Europe/Berlin"},
        ))  # fmt: skip
        assert read.planned[0]["occurred_at"] == "2025-12-24T17:00:00.000Z"
        assert read.planned[0]["properties"] == {"revenue": Decimal("19.90")}

    def test_texts_that_are_none_are_told(self, tmp_path: Path) -> None:
        broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
        said = refuse(tmp_path, self.write(pa.table({"mail": broken, "note": ["x"]})), mapping=mapping())
        assert "behind its row 0" in said

    def test_without_rows_is_told(self, tmp_path: Path) -> None:
        assert "no rows" in refuse(
            tmp_path,
            self.write(pa.table({"mail": pa.array([], pa.string()), "note": pa.array([], pa.string())})),
            mapping=mapping(),
        )


def test_a_folder_left_by_a_killed_process_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    left = tmp_path / "rapport-import-left"
    left.mkdir()
    (left / "in-use").touch()
    (left / "file").write_bytes(b"rows")
    with open_scratch(tmp_path) as folder:
        assert left.exists(), "too young to be judged"
        remove_leftovers(tmp_path, older_than_s=-1)
        assert (left.exists(), folder.exists()) == (False, True)
    assert not folder.exists()


def test_each_line_of_cdnow_is_an_order_even_when_two_are_equal(tmp_path: Path) -> None:
    content = (
        b" customer_id  date number_of_cds  dollar_value\r\n 00004 19970101  2  29.33\r\n 00004 19970101  2  29.33\r\n x y\r\n"
    )
    read = Read(tmp_path, content, format=Format.CDNOW)
    first, second = read.planned
    assert first["id"] != second["id"]
    assert first["id"].startswith("cdnow:2:")
    assert first["identifiers"] == {"cdnow": "00004"}
    assert first["occurred_at"] == "1997-01-01T00:00:00.000Z"
    assert first["properties"]["revenue"] == Decimal("29.33")
    assert first["properties"]["order_id"] != second["properties"]["order_id"]
    assert read.skipped == [(4, "not_four_columns")]
    assert read.found.rows == 3


INVOICE_COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")


def write_invoices(*rows: tuple[Any, ...]) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({name: [row[place] for row in rows] for place, name in enumerate(INVOICE_COLUMNS)}), data)
    return data.getvalue()


def test_an_invoice_is_one_order_and_a_c_invoice_a_refund_without_an_order(tmp_path: Path) -> None:
    day, later = datetime.fromisoformat("2011-01-02T08:30"), datetime.fromisoformat("2011-01-02T08:31")
    content = write_invoices(
        ("1", "A", "cup", 6, day, 2.55, 17850.0, "France"),
        ("C2", "A", "cup", -1, day, 2.55, 17850.0, "France"),
        ("1", "B", "saucer", 1, later, 0.1, 17850.0, "France"),
        ("3", "A", "cup", 1, day, 1.0, None, "France"),
        ("A4", "B", "bad debt", 1, day, -11062.06, None, "France"),
        ("5", "B", "damaged", -9, day, 0.0, None, "France"),
    )
    read = Read(tmp_path, content, format=Format.ONLINE_RETAIL)
    refund, order, nobody = read.planned
    assert (order["name"], order["properties"]["order_id"], order["properties"]["revenue"]) == (
        "Order Completed",
        "1",
        Decimal("15.40"),
    )
    assert order["occurred_at"] == "2011-01-02T08:30:00.000Z"
    assert order["identifiers"] == {"online_retail": "17850"}
    assert order["id"].startswith("online-retail:1:"), "named by its first row, wherever its last one stands"
    assert (refund["name"], refund["properties"]["refund_id"], refund["properties"]["total"]) == (
        "Order Refunded",
        "C2",
        Decimal("2.55"),
    )
    assert "order_id" not in refund["properties"]
    assert nobody["identifiers"] == {}, "taken to the front door all the same, which refuses it by name"
    assert read.skipped == [(5, "adjustment"), (6, "sum_not_positive")]
    assert sum(step.rows for step in read.steps) == 6


def test_a_file_that_is_no_online_retail_is_told(tmp_path: Path) -> None:
    data = io.BytesIO()
    pq.write_table(pa.table({"InvoiceNo": ["1"]}), data)
    assert "StockCode" in refuse(tmp_path, data.getvalue(), format=Format.ONLINE_RETAIL)


def test_every_step_can_be_sent(tmp_path: Path) -> None:
    from services.ingest.handlers.import_rows import prepare_row

    read = Read(tmp_path, b'{"name":"A","identifiers":{"user_id":1},"properties":{"revenue":1.10,"big":123456789012345678901}}\n')
    body = prepare_row(read.steps[0]).body
    assert body is not None
    assert b'"revenue":1.10' in body
    assert json.loads(body)["properties"]["big"] == 123456789012345678901
