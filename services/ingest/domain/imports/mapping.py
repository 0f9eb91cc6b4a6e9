"""A mapping: which column of a table is what part of a touchpoint.

    name: Order Completed            # or {column: event}
    occurred_at: {column: date, format: "%d.%m.%Y", timezone: Europe/Berlin}
    identifiers: {user_id: customer_no, email: e_mail}
    properties: {order_id: order_no, revenue: {column: amount, type: number, decimal: ","}, currency: {value: EUR}}

A text names a column, except for `name`, `kind` and `channel`, where it is the value itself. A column inside a structure is
named with dots: `address.city`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from services.ingest.domain.imports.cells import DecimalMark, check_time_format, find_zone, read_number, read_time, to_plain

Row = Mapping[str, Any]

_VALUES: Final = ("name", "kind", "channel")
_PARTS: Final = ("identifiers", "properties", "traits", "context")


class CellUnreadable(ValueError):
    """A cell that isn't what the mapping says. The text names the column, never what stands in it."""


class Cell(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A column's cell, or a constant `value`. `format` and `timezone` read times, `type: number` and `decimal` exact numbers."""

    column: str | None = None
    value: str | int | float | bool | UnsetType | None = UNSET
    type: Literal["text", "number"] = "text"
    decimal: DecimalMark | None = None
    format: str | None = None
    timezone: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which a decoder tells with the place."""
        if (self.column is None) == (self.value is UNSET):
            raise ValueError("give either `column` or `value`")
        if self.timezone is not None:
            find_zone(self.timezone)
        if self.format is not None:
            check_time_format(self.format)
        if self.is_time and (self.type == "number" or self.decimal):
            raise ValueError("a cell is a time (`format`, `timezone`) or a number (`type: number`, `decimal`), not both")

    @property
    def is_time(self) -> bool:
        return self.format is not None or self.timezone is not None

    def read(self, row: Row) -> object:
        """Raises CellUnreadable."""
        if self.column is None:
            return self.value
        value = look_up(row, self.column)
        if value in (None, ""):
            return None
        try:
            if self.is_time:
                return read_time(value, self.format, UTC if self.timezone is None else find_zone(self.timezone))
            if isinstance(value, str) and (self.type == "number" or self.decimal):
                return read_number(value, self.decimal)
        except ValueError:
            what = "the time" if self.is_time else "the number"
            raise CellUnreadable(f"the column `{self.column}` doesn't hold {what} that the mapping says") from None
        return to_plain(value)


class Columns(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The whole mapping."""

    identifiers: dict[str, str | Cell]
    id: str | Cell | None = None
    name: str | Cell | None = None
    kind: str | Cell | None = None
    occurred_at: str | Cell | None = None
    channel: str | Cell | None = None
    group_id: str | Cell | None = None
    properties: dict[str, str | Cell] = {}
    traits: dict[str, str | Cell] = {}
    context: dict[str, str | Cell] = {}

    def __post_init__(self) -> None:
        """Raises ValueError, which a decoder tells with the place."""
        if not self.identifiers:
            raise ValueError("`identifiers` must name at least one column")
        if self.name is None and self.kind is None:
            raise ValueError("say what the rows are: `name`, or `kind` for identify, page and the like")

    def apply(self, row: Row) -> dict[str, Any]:
        """A touchpoint; empty cells are left out. Raises CellUnreadable."""
        touchpoint: dict[str, Any] = {}
        for part in _VALUES:
            cell = getattr(self, part)
            _put(touchpoint, part, cell if isinstance(cell, str) else _read(cell, row))
        for part in ("id", "occurred_at", "group_id"):
            value = _read(getattr(self, part), row)
            _put(touchpoint, part, str(value) if part == "id" and value is not None else value)
        for part in _PARTS:
            values: dict[str, Any] = {}
            for name, cell in getattr(self, part).items():
                _put(values, name, _read(cell, row))
            if values or part == "identifiers":
                touchpoint[part] = values
        return touchpoint

    def named_columns(self) -> Iterator[tuple[str, str]]:
        """Where in the mapping, and which column it names there."""
        for part in ("id", "occurred_at", "group_id", *_VALUES):
            cell = getattr(self, part)
            if isinstance(cell, Cell) and cell.column is not None:
                yield part, cell.column
            elif isinstance(cell, str) and part not in _VALUES:
                yield part, cell
        for part in _PARTS:
            for name, cell in getattr(self, part).items():
                column = cell if isinstance(cell, str) else cell.column
                if column is not None:
                    yield f"{part}/{name}", column


def read_mapping(value: object) -> Columns:
    """Raises ValueError; msgspec's text names the place (`at `$.properties.x``)."""
    return msgspec.convert(value, Columns)


def look_up(row: Row, column: str) -> object:
    """The cell of that name; else, with dots, the one inside structures."""
    if column in row:
        return row[column]
    value: object = row
    for part in column.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _put(target: dict[str, Any], name: str, value: object) -> None:
    if value not in (None, ""):
        target[name] = value


def _read(cell: str | Cell | None, row: Row) -> object:
    if cell is None:
        return None
    return to_plain(look_up(row, cell)) if isinstance(cell, str) else cell.read(row)
