"""Rows of a file as steps, streaming. The same file and layout give the same steps, always: that is what going on relies on."""

import csv
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from services.ingest.adapters.import_files.lines import read_lines
from services.ingest.domain.imports.cdnow import plan_line
from services.ingest.domain.imports.layouts import Format, Layout
from services.ingest.domain.imports.online_retail import COLUMNS, INVOICE_COLUMN, plan_invoices
from services.ingest.domain.imports.steps import Skipped, SkipReason, Step
from services.ingest.domain.imports.tables import plan_cells, plan_json, plan_record
from services.ingest.errors import ImportFileUnreadable

Steps = Generator[Step, None, None]

PARQUET_ROWS: Final = 1024
_OPEN_QUOTE: Final = "a cell without end: is a quote left open?"
_TOO_LONG: Final = "the row is longer than any touchpoint may be"


def read_steps(path: Path, layout: Layout, *, skip: int = 0) -> Steps:
    """Behind the first `skip` steps. Close it where it isn't read to the end: it holds the file open."""
    readers: Mapping[Format, Callable[[Path, Layout, int], Steps]] = {
        Format.CDNOW: _read_cdnow,
        Format.ONLINE_RETAIL: _read_online_retail,
        Format.CSV: _read_csv,
        Format.NDJSON: _read_ndjson,
        Format.PARQUET: _read_parquet,
    }
    return readers[layout.format](path, layout, skip)


def _read_cdnow(path: Path, _layout: Layout, skip: int) -> Steps:
    with closing(_read_rows(path)) as rows:
        behind_header = (row for row in rows if row[0] > 1)
        for number, raw, is_whole in islice(behind_header, skip, None):
            yield plan_line(number, raw) if is_whole else _too_long(number, raw)


def _read_ndjson(path: Path, layout: Layout, skip: int) -> Steps:
    with closing(_read_rows(path)) as rows:
        for number, raw, is_whole in islice(rows, skip, None):
            yield plan_json(layout, number, raw) if is_whole else _too_long(number, raw)


def _read_rows(path: Path) -> Generator[tuple[int, bytes, bool], None, None]:
    """Lines that aren't empty, with their numbers."""
    with path.open("rb") as file:
        for number, (line, is_whole) in enumerate(read_lines(file), start=1):
            row = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
            if row:
                yield number, row, is_whole


def _read_csv(path: Path, layout: Layout, skip: int) -> Steps:
    with closing(_read_records(path, layout)) as records:
        for record in islice(records, skip, None):
            number, cells = record
            if isinstance(cells, Skipped):
                yield cells
            else:
                yield plan_cells(layout, number, cells)


def _read_records(path: Path, layout: Layout) -> Generator[tuple[int, list[str] | Skipped], None, None]:
    """Records behind the header that aren't empty, numbered by their last line, as an editor counts."""
    cut: list[int] = []
    with path.open(encoding=layout.encoding, errors="replace", newline="") as file:
        lines = _cut_lines(read_lines(file), cut)
        for _ in range(layout.first_line - 1):
            next(lines, None)
        reader = csv.reader(lines, delimiter=layout.delimiter)
        is_header = layout.header
        while True:
            try:
                cells = next(reader, None)
            except csv.Error:
                number = reader.line_num + layout.first_line - 1
                yield number, _too_long(number, b"") if cut else Skipped(number, 1, SkipReason.ROW_UNREADABLE, _OPEN_QUOTE, b"")
                cut.clear()
                continue
            if cells is None:
                return
            number = reader.line_num + layout.first_line - 1
            if is_header and cells:
                is_header = False
            elif cut:
                cut.clear()
                yield number, _too_long(number, b"")
            elif cells:
                yield number, cells


def _cut_lines(lines: Iterable[tuple[str, bool]], cut: list[int]) -> Iterator[str]:
    for number, (line, is_whole) in enumerate(lines):
        if not is_whole:
            cut.append(number)
        yield line


def _too_long(number: int, raw: bytes) -> Skipped:
    return Skipped(number, 1, SkipReason.ROW_TOO_LONG, _TOO_LONG, raw)


def _read_parquet(path: Path, layout: Layout, skip: int) -> Steps:
    with closing(_read_parquet_rows(path, None)) as rows:
        for number, record in islice(enumerate(rows, start=1), skip, None):
            yield plan_record(layout, number, record)


def _read_online_retail(path: Path, _layout: Layout, skip: int) -> Steps:
    numbers = (row[INVOICE_COLUMN] for row in _read_parquet_rows(path, [INVOICE_COLUMN]))
    with closing(_read_parquet_rows(path, list(COLUMNS))) as rows:
        yield from islice(plan_invoices(numbers, rows), skip, None)


def _read_parquet_rows(path: Path, columns: list[str] | None) -> Generator[dict[str, Any], None, None]:
    import pyarrow as pa  # noqa: PLC0415 - 50 MB that only a process with such a file needs
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, columns=columns, use_threads=False):
                yield from batch.to_pylist(maps_as_pydicts="lossy")
                rows += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise ImportFileUnreadable(f"The Parquet file can't be read behind its row {rows}: it is damaged.") from error
