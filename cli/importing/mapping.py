"""A mapping file: which column of a table is what part of a touchpoint.

    name: Order Completed            # or {column: event}
    occurred_at: {column: date, format: "%d.%m.%Y"}
    identifiers: {user_id: customer_no, email: e_mail}
    properties: {order_id: order_no, revenue: amount, currency: {value: EUR}}

A text names a column, except for `name`, `kind` and `channel`, where it is the value itself.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.errors import CliError
from cli.importing.rows import format_time


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Column(_Strict):
    """A column's cell; `format` reads times (strptime), `type: number` makes an exact number of text."""

    column: str
    format: str | None = None
    type: Literal["text", "number"] = "text"


class Constant(_Strict):
    value: str | int | bool | None


Cell = str | Column | Constant


class Mapping(_Strict):
    """The whole file."""

    id: Cell | None = None
    name: Cell | None = None
    kind: Cell | None = None
    occurred_at: Cell | None = None
    channel: Cell | None = None
    identifiers: Annotated[dict[str, Cell], Field(min_length=1)]
    properties: dict[str, Cell] = {}
    traits: dict[str, Cell] = {}
    context: dict[str, Cell] = {}

    def apply(self, row: dict[str, Any]) -> dict[str, Any]:
        """A touchpoint; empty cells are left out."""
        touchpoint: dict[str, Any] = {}
        for part in ("name", "kind", "channel"):
            cell = getattr(self, part)
            if cell is not None:
                _put(touchpoint, part, cell if isinstance(cell, str) else _read(cell, row))
        for part in ("id", "occurred_at"):
            cell = getattr(self, part)
            if cell is not None:
                _put(touchpoint, part, _read(cell, row))
        for part in ("identifiers", "properties", "traits", "context"):
            values: dict[str, Any] = {}
            for name, cell in getattr(self, part).items():
                _put(values, name, _read(cell, row))
            if values or part == "identifiers":
                touchpoint[part] = values
        return touchpoint


def load_mapping(path: Path) -> Mapping:
    """Raises CliError with the place and what would be right."""
    try:
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CliError(f"The mapping {path} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise CliError(f"The mapping {path} isn't YAML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CliError(f"The mapping {path} is wrong at `{place}`: {first['msg']}.") from error


def _put(target: dict[str, Any], name: str, value: object) -> None:
    if value not in (None, ""):
        target[name] = value


def _read(cell: Cell, row: dict[str, Any]) -> object:
    if isinstance(cell, Constant):
        return cell.value
    column = cell if isinstance(cell, str) else cell.column
    value = row.get(column)
    if isinstance(cell, Column) and isinstance(value, str) and value:
        if cell.format is not None:
            return format_time(datetime.strptime(value, cell.format).replace(tzinfo=UTC))
        if cell.type == "number":
            return Decimal(value)
    return value
