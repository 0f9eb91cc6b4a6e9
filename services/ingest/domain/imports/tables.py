"""CSV, NDJSON and Parquet with any columns: a mapping says which column is what; without one, column names do.

Column names without a mapping: `id`, `name`, `kind`, `occurred_at`, `channel`, `group_id`, `previous_id`, `identifiers`,
`properties`, `traits`, `context` (structures), `<structure>.<name>`, and known kinds of identifiers (`user_id`, `email`, ...). No
other column is read: as an identifier, a city would merge strangers. NDJSON lines are touchpoints as they are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.identity import EXTERNAL, STRENGTH, normalise_kind
from services.ingest.domain.calls import UNREADABLE
from services.ingest.domain.imports.cells import to_plain
from services.ingest.domain.imports.layouts import Format, Layout
from services.ingest.domain.imports.mapping import CellUnreadable
from services.ingest.domain.imports.steps import IMPORT_CHANNEL, Planned, Skipped, SkipReason, Step, compute_message_id
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.tolerant import Cleaner, parse

PLAIN_COLUMNS: Final = frozenset({"id", "name", "kind", "occurred_at", "channel", "group_id", "previous_id"})
NESTED_COLUMNS: Final = ("identifiers", "properties", "traits", "context")
KNOWN_KINDS: Final = tuple(kind for kind in STRENGTH if kind != EXTERNAL)

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def encode_touchpoint(touchpoint: Mapping[str, Any]) -> bytes:
    """JSON with exact numbers."""
    return _ENCODER.encode(touchpoint)


def plan_cells(layout: Layout, line: int, cells: Sequence[str]) -> Step:
    """A row of a CSV. Its SHA-256 is that of its cells as a JSON array: neither quotes nor separators make it another row."""
    raw = _ENCODER.encode(cells)
    if len(cells) > len(layout.columns) and any(cells[len(layout.columns) :]):
        detail = f"{len(cells)} cells under {len(layout.columns)} columns"
        return Skipped(line, 1, SkipReason.TOO_MANY_CELLS, detail, raw)
    return plan_row(layout, line, dict(zip(layout.columns, cells, strict=False)), raw)


def plan_json(layout: Layout, line: int, raw: bytes) -> Step:
    """A line of NDJSON; what the strict reader can't take the tolerant one repairs."""
    try:
        return plan_row(layout, line, _decode(raw), raw)
    except UNREADABLE:
        value = parse(raw)
    if isinstance(value, Refusal):
        return Skipped(line, 1, SkipReason(value.reason.value), value.detail, raw)
    if not isinstance(value, dict):
        return Skipped(line, 1, SkipReason.NOT_AN_OBJECT, "the line is no JSON object", raw)
    cleaner = Cleaner()
    clean = cleaner.clean(value)
    if cleaner.not_finite or not isinstance(clean, dict):
        return Skipped(line, 1, SkipReason.NUMBER_NOT_FINITE, "a number that no double can hold", raw)
    if cleaner.too_deep:
        return Skipped(line, 1, SkipReason.TOO_DEEP, "nested too deep", raw)
    return plan_row(layout, line, clean, raw)


def plan_record(layout: Layout, line: int, record: Mapping[str, Any]) -> Step:
    """A row of a typed file, whose cells are Python's own values."""
    plain = {name: to_plain(value) for name, value in record.items()}
    return plan_row(layout, line, plain if layout.mapping is None else record, _ENCODER.encode(plain))


def plan_row(layout: Layout, line: int, row: Mapping[str, Any], raw: bytes) -> Step:
    try:
        touchpoint = _to_touchpoint(layout, row)
    except CellUnreadable as error:
        return Skipped(line, 1, SkipReason.CELL_UNREADABLE, str(error), raw)
    if not (touchpoint.get("name") or touchpoint.get("kind")):
        return Skipped(line, 1, SkipReason.NO_NAME, "the row doesn't say what happened", raw)
    if touchpoint.get("id") is None:
        touchpoint["id"] = compute_message_id(layout.format.value, line, raw)
    if touchpoint.get("channel") is None:
        touchpoint["channel"] = IMPORT_CHANNEL
    return Planned(line, 1, touchpoint, raw)


def find_unread_columns(columns: Iterable[str], structures: Collection[str]) -> list[str]:
    """Those that mean nothing without a mapping."""
    return [column for column in columns if not _is_read(column, is_structure=column in structures)]


def _is_read(column: str, *, is_structure: bool) -> bool:
    if column in NESTED_COLUMNS:
        return is_structure
    head, _, rest = column.partition(".")
    return column in PLAIN_COLUMNS or bool(rest and head in NESTED_COLUMNS) or normalise_kind(column) in KNOWN_KINDS


def _to_touchpoint(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    if layout.mapping is not None:
        return layout.mapping.apply(row)
    return dict(row) if layout.format is Format.NDJSON else _by_column_names(row)


def _by_column_names(row: Mapping[str, Any]) -> dict[str, Any]:
    touchpoint: dict[str, Any] = {"identifiers": {}}
    for column, value in row.items():
        if value in (None, ""):
            continue
        head, _, rest = column.partition(".")
        if rest and head in NESTED_COLUMNS:
            touchpoint.setdefault(head, {})[rest] = value
        elif column in NESTED_COLUMNS and isinstance(value, Mapping):
            touchpoint.setdefault(column, {}).update({name: item for name, item in value.items() if item is not None})
        elif column in PLAIN_COLUMNS:
            touchpoint[column] = value
        elif normalise_kind(column) in KNOWN_KINDS:
            touchpoint["identifiers"][column] = value
    return touchpoint
