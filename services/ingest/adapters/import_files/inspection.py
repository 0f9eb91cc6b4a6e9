"""What a file is and how it will be read, found out before anything is taken from it. Whatever stands in the way is said here."""

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from libs.kit.errors import FieldError
from services.ingest.adapters.import_files.lines import read_chunks, read_lines
from services.ingest.adapters.import_files.reading import read_steps
from services.ingest.adapters.import_files.unpack import find_packing, unpack
from services.ingest.domain.imports.dialects import (
    SAMPLE_RECORDS,
    WIDE,
    find_delimiter,
    has_header,
    is_encoding,
    measure_text,
    name_columns,
    read_excel_hint,
    read_records,
)
from services.ingest.domain.imports.layouts import OWN_MEANING, Format, Inspection, Layout, Packing, Wishes
from services.ingest.domain.imports.online_retail import COLUMNS
from services.ingest.domain.imports.tables import KNOWN_KINDS, find_unread_columns
from services.ingest.errors import ImportFileUnreadable, ImportMappingInvalid

_PARQUET: Final = b"PAR1"
_SHOWN_COLUMNS: Final = 30
_TYPED: Final = frozenset({Format.PARQUET, Format.ONLINE_RETAIL})


def inspect(path: Path, wishes: Wishes, max_bytes: int) -> tuple[Path, Inspection]:
    """The plain file and how to read it. Raises ImportFileUnreadable, ImportMappingInvalid, ImportFileTooLarge."""
    packing = find_packing(path)
    plain = unpack(path, packing, max_bytes)
    if not plain.stat().st_size:
        raise ImportFileUnreadable("The file is empty.")
    file_format = wishes.format or _find_format(plain)
    if file_format in OWN_MEANING and wishes.mapping is not None:
        raise ImportMappingInvalid(f"The format `{file_format}` has a meaning of its own: leave the mapping out.")
    found = _inspect_typed(plain, file_format, packing, wishes) if file_format in _TYPED else None
    found = found or _inspect_text(plain, file_format, packing, wishes)
    with closing(read_steps(plain, found.layout)) as steps:
        is_empty = next(steps, None) is None
    if is_empty:
        raise ImportFileUnreadable("The file has no rows, only a header." if found.layout.header else "The file has no rows.")
    return plain, found


def _find_format(path: Path) -> Format:
    """Parquet by its mark, NDJSON by its first character; any other text is a CSV."""
    with path.open("rb") as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(_PARQUET):
        return Format.PARQUET
    if head.startswith(b"{"):
        return Format.NDJSON
    if head.startswith(b"["):
        raise ImportFileUnreadable("This is one JSON list. Write each of its objects on a line of its own (NDJSON).")
    return Format.CSV


def _inspect_typed(path: Path, file_format: Format, packing: Packing, wishes: Wishes) -> Inspection:
    import pyarrow as pa  # noqa: PLC0415 - see reading.py
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise ImportFileUnreadable("The file is no Parquet file, or a damaged one.") from error
    if file_format is Format.ONLINE_RETAIL:
        kinds = {"Quantity": pa.types.is_integer, "InvoiceDate": pa.types.is_timestamp, "UnitPrice": pa.types.is_floating}
        for name in COLUMNS:
            if name not in schema.names or (name in kinds and not kinds[name](schema.field(name).type)):
                raise ImportFileUnreadable(f"The file isn't Online Retail: its column `{name}` is missing or of another type.")
    columns = tuple(schema.names)
    if file_format is Format.PARQUET:
        types = {name: schema.field(name).type for name in columns}
        _check_meaning(
            wishes, columns, {name for name in columns if pa.types.is_struct(types[name]) or pa.types.is_map(types[name])}
        )
    layout = Layout(file_format, packing, wishes.mapping, header=False, columns=columns)
    return Inspection(layout, rows)


def _inspect_text(path: Path, file_format: Format, packing: Packing, wishes: Wishes) -> Inspection:
    wished = wishes.encoding if file_format is Format.CSV else None
    text = measure_text(read_chunks(path), wished)
    if text is None:
        raise ImportFileUnreadable("The file holds bytes that no text has: it is neither CSV, NDJSON nor Parquet.")
    if file_format is not Format.CSV and text.encoding in WIDE:
        raise ImportFileUnreadable(f"The file is {text.encoding}; save it as UTF-8.")
    warnings = []
    if text.broken:
        warnings.append(f"{text.broken} bytes aren't {text.encoding}; they become U+FFFD.")
    if file_format is Format.CSV:
        return _inspect_csv(path, packing, wishes, text.encoding, text.lines, warnings)
    if text.encoding not in ("utf-8", "utf-8-sig"):
        warnings.append(f"The text looks like {text.encoding}, but this format is read as UTF-8.")
    is_cdnow = file_format is Format.CDNOW
    layout = Layout(file_format, packing, wishes.mapping, header=is_cdnow)
    return Inspection(layout, max(0, text.lines - is_cdnow), tuple(warnings))


def _inspect_csv(path: Path, packing: Packing, wishes: Wishes, encoding: str, lines: int, warnings: list[str]) -> Inspection:
    if not is_encoding(encoding):
        raise ImportFileUnreadable(f"There is no encoding `{encoding}` for texts.")
    sample = _read_sample(path, encoding)
    hint = read_excel_hint(sample[0]) if sample else None
    if hint is not None:
        sample = sample[1:]
    delimiter = wishes.delimiter or hint or find_delimiter(sample)
    first = next(read_records(sample, delimiter), None)
    if first is None:
        raise ImportFileUnreadable("The file has no rows.")
    header = has_header(first) if wishes.header is None else wishes.header
    columns = name_columns(first, header=header)
    if header and columns != tuple(cell.strip() for cell in first):
        warnings.append("Some columns have no name or one that another has: they got one by their place.")
    if not header and wishes.header is None:
        warnings.append("The first row looks like values: the columns are called column_1, column_2 and so on.")
    if len(columns) == 1:
        warnings.append("There is only one column: is the separator right?")
    _check_meaning(wishes, columns, set())
    layout = Layout(
        Format.CSV, packing, wishes.mapping, encoding, delimiter, header, columns, first_line=1 if hint is None else 2
    )
    return Inspection(layout, max(0, lines - header - (hint is not None)), tuple(warnings))


def _read_sample(path: Path, encoding: str) -> list[str]:
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            return [line for line, _ in islice(read_lines(file), SAMPLE_RECORDS)]
    except UnicodeError as error:
        # `utf-16` and `utf-32` leave the order of bytes to a mark, and refuse to guess.
        raise ImportFileUnreadable(
            f"The file isn't `{encoding}`: it begins without a byte order mark. Say the order: utf-16-le, utf-16-be."
        ) from error


def _check_meaning(wishes: Wishes, columns: tuple[str, ...], structures: set[str]) -> None:
    """Before anything is imported: the columns that the mapping names must be there, and without one each must mean something."""
    shown = ", ".join(columns[:_SHOWN_COLUMNS])
    if wishes.mapping is None:
        if not {"name", "kind"} & set(columns):
            raise ImportMappingInvalid(
                f"Without a mapping a column `name` (or `kind`) must say what happened. The file has: {shown}."
            )
        unread = find_unread_columns(columns, structures)
        if unread:
            raise ImportMappingInvalid(
                f"Nothing says what these columns are: {', '.join(unread[:_SHOWN_COLUMNS])}. Give a mapping. Without one only a "
                f"touchpoint's own fields and the identifiers {', '.join(KNOWN_KINDS)} are read."
            )
        return
    missing = [
        FieldError(f"#/mapping/{place}", f"the file has no column `{column}`")
        for place, column in wishes.mapping.named_columns()
        if column not in columns and column.split(".")[0] not in structures
    ]
    if missing:
        raise ImportMappingInvalid(f"The mapping names columns that the file doesn't have. It has: {shown}.", errors=missing)
