"""CSV, NDJSON and Parquet with any columns: a mapping says which column is what; without one, column names do.

Column names without a mapping: `id`, `name`, `kind`, `occurred_at`, `channel`, `properties.<name>`, `traits.<name>`,
`context.<name>`, and any other column is an identifier kind (`user_id`, `email`, ...). NDJSON lines are touchpoints as they are.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from cli.importing.mapping import Mapping as ColumnMapping
from cli.importing.rows import MESSAGE_CHANNEL, Planned, Skipped, Step, compute_message_id, format_time

_RESERVED = {"id", "name", "kind", "occurred_at", "channel"}
_NESTED = ("properties", "traits", "context")
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class TableReader:
    """One row, one touchpoint. `file_format` is csv, ndjson or parquet."""

    def __init__(self, file_format: str, mapping: ColumnMapping | None) -> None:
        self._format = file_format
        self._mapping = mapping

    def count_rows(self, path: Path) -> int:
        if self._format == "parquet":
            import pyarrow.parquet as pq

            count: int = pq.ParquetFile(path).metadata.num_rows
            return count
        with path.open("rb") as file:
            lines = sum(1 for line in file if line.strip())
        return max(0, lines - 1) if self._format == "csv" else lines

    def read(self, path: Path) -> Iterator[Step]:
        rows = {"csv": _read_csv, "ndjson": _read_ndjson, "parquet": _read_parquet}[self._format]
        for line, raw, row in rows(path):
            if row is None:
                yield Skipped(line, 1, "not_json")
                continue
            try:
                touchpoint = self._to_touchpoint(row)
            except (ValueError, InvalidOperation):  # a cell that isn't the time or number the mapping says
                yield Skipped(line, 1, "unreadable_cell")
                continue
            if touchpoint is None:
                yield Skipped(line, 1, "no_name")
                continue
            touchpoint.setdefault("id", compute_message_id(self._format, line, raw))
            touchpoint.setdefault("channel", MESSAGE_CHANNEL)
            yield Planned(line, 1, touchpoint)

    def _to_touchpoint(self, row: dict[str, Any]) -> dict[str, Any] | None:
        if self._mapping is not None:
            touchpoint = self._mapping.apply(row)
        elif self._format == "ndjson":
            touchpoint = row
        else:
            touchpoint = _by_column_names(row)
        return touchpoint if touchpoint.get("name") or touchpoint.get("kind") else None


def _by_column_names(row: Mapping[str, Any]) -> dict[str, Any]:
    touchpoint: dict[str, Any] = {}
    for column, value in row.items():
        if value in (None, ""):
            continue
        head, _, rest = column.partition(".")
        if rest and head in _NESTED:
            touchpoint.setdefault(head, {})[rest] = value
        elif column in _RESERVED:
            touchpoint[column] = value
        else:
            touchpoint.setdefault("identifiers", {})[column] = value
    return touchpoint


def _read_csv(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        for row in reader:
            extra = row.pop(None, None)  # cells beyond the header
            yield reader.line_num, repr((sorted(row.items()), extra)).encode(), dict(row)


def _read_ndjson(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if row := raw.strip():
                try:
                    yield number, row, _decode(row)
                except msgspec.DecodeError:
                    yield number, row, None


def _read_parquet(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=8192):
        for row in batch.to_pylist():
            number += 1
            plain = {name: _plain(value) for name, value in row.items()}
            yield number, json.dumps(plain, sort_keys=True, default=str).encode(), plain


def _plain(value: object) -> object:
    """A cell as JSON can carry it; doubles by their shortest decimal."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return Decimal(repr(value)) if value == value else None  # noqa: PLR0124 - NaN is the absent cell of Parquet
    return value
