"""Members as lines of a file: which columns there are, and what stands in a cell. Decides what a spreadsheet mustn't run."""

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import StringIO
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from libs.kit.times import format_utc, from_micros
from services.segmentation.domain.evaluation import read_trait
from services.segmentation.domain.values import Json, decode_sent, is_number

Form: TypeAlias = Literal["csv", "ndjson"]
MEDIA_TYPES: Final[Mapping[Form, str]] = MappingProxyType({"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"})
OWN_COLUMNS: Final = ("profile_id", "since", "version")
DEFAULT_COLUMNS: Final = ("profile_id", "since")
MOST_COLUMNS: Final = 50
_LONGEST_COLUMN: Final = 200
_STARTS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class Row(NamedTuple):
    """A member as stored: the instant of entering, the segment's version then, the view."""

    profile_id: UUID
    since_us: int
    version: int
    view: bytes | None


class Column(NamedTuple):
    """`source`: own (of the membership), identifier (all values of a kind) or trait."""

    title: str
    source: Literal["own", "identifier", "trait"]
    name: str

    @property
    def is_personal(self) -> bool:
        return self.source != "own"


def read_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """`profile_id`, `since`, `version`, `identifier.<kind>`, `trait.<name>`. Raises ValueError with what is wrong."""
    if not 0 < len(names) <= MOST_COLUMNS:
        raise ValueError(f"has {len(names)} columns; 1 to {MOST_COLUMNS} are possible")
    if len(set(names)) < len(names):
        raise ValueError("names a column twice")
    return tuple(map(_read_column, names))


def write_header(columns: Sequence[Column], form: Form) -> bytes:
    """The first line of a CSV file; NDJSON has none."""
    return _write_csv([guard_cell(column.title) for column in columns]) if form == "csv" else b""


def write_row(row: Row, columns: Sequence[Column], form: Form) -> bytes:
    view = decode_sent(row.view) if any(column.is_personal for column in columns) else {}
    values = [_read_cell(row, column, view) for column in columns]
    if form == "csv":
        return _write_csv([guard_cell(_to_text(value)) if not is_number(value) else _to_text(value) for value in values])
    return bytes(_encode({column.title: value for column, value in zip(columns, values, strict=True)})) + b"\n"


def guard_cell(text: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe in front (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


def _read_column(name: str) -> Column:
    if name in OWN_COLUMNS:
        return Column(name, "own", name)
    source, _, rest = name.partition(".")
    if rest and len(name) <= _LONGEST_COLUMN:
        if source == "identifier":
            return Column(name, "identifier", rest)
        if source == "trait":
            return Column(name, "trait", rest)
    raise ValueError(f'has no column "{name[:_LONGEST_COLUMN]}"; {", ".join(OWN_COLUMNS)}, identifier.<kind>, trait.<name>')


def _read_cell(row: Row, column: Column, view: Mapping[str, Json]) -> Json:
    if column.source == "trait":
        return read_trait(column.name, view)
    if column.source == "identifier":
        entries = view.get("identifiers")
        known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return [entry.get("value") for entry in known if entry.get("kind") == column.name]
    own: dict[str, Any] = {
        "profile_id": str(row.profile_id),
        "since": format_utc(from_micros(row.since_us)),
        "version": row.version,
    }
    return own[column.name]


def _to_text(value: Json) -> str:
    """As people read it: a list of texts with semicolons between, any other list or object as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ";".join(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return bytes(_encode(value)).decode()


def _write_csv(cells: Sequence[str]) -> bytes:
    """RFC 4180."""
    text = StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()
