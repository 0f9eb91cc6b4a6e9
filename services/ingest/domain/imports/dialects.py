"""What kind of text a file is: encoding, separator, header. Guessed from the bytes, shown to people, and theirs to overrule."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

DELIMITERS: Final = (",", ";", "\t", "|")
SAMPLE_RECORDS: Final = 200

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WIDE: Final = frozenset({"utf-16", "utf-32"})
_NO_TEXT: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7", "undefined"})
"""Codecs of Python that are no encodings of files, or give characters that can't be stored."""
_EXCEL_HINT: Final = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
"""A first line by which Excel is told, and tells, the separator."""
_VALUE: Final = re.compile(r"[+-]?[\d.,:/\s-]*\d[\d.,:/\s-]*(?:[TZ].*)?|.+@.+|true|false", re.IGNORECASE)
"""A cell that looks like a value, not like a column's name: a number, a date, an address."""


class Text(NamedTuple):
    """What a look at all the bytes says. `broken` counts those that aren't of the encoding and become U+FFFD."""

    encoding: str
    broken: int
    lines: int


def measure_text(chunks: Iterable[bytes], wished: str | None) -> Text | None:
    """None where it is no text: NUL bytes outside of UTF-16. Reads everything once, holds one chunk.

    Without a byte order mark it is UTF-8 if it can be; else Windows-1252, unless most of what isn't ASCII is good UTF-8: then a
    few bytes are broken, and they alone.
    """
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    encoding, is_first, broken, multibyte, lines, last = wished, True, 0, 0, 0, b""
    for chunk in chunks:
        if is_first:
            encoding, is_first = encoding or _find_bom(chunk), False
        if b"\x00" in chunk and (encoding or "").replace("_", "-").lower()[:6] not in WIDE:
            return None
        text = utf8.decode(chunk)
        broken += text.count("\ufffd") if not chunk.isascii() else 0
        multibyte += len(chunk) - len(text)
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    if encoding is None:
        encoding = "utf-8" if not broken or multibyte > broken else "cp1252"
    is_utf8 = encoding in ("utf-8", "utf-8-sig")
    # A wide line feed ends with a NUL byte or follows one: the count is the same, its last byte isn't.
    ends_open = last not in (b"\n", b"") and not (last == b"\x00" and encoding in WIDE)
    return Text(encoding, broken if is_utf8 else 0, lines + ends_open)


def _find_bom(chunk: bytes) -> str | None:
    return next((encoding for mark, encoding in _BOMS if chunk.startswith(mark)), None)


def is_encoding(name: str) -> bool:
    """Whether a text may be in it."""
    try:
        b"a".decode(name, "replace")  # refuses codecs between bytes and bytes, and between texts
        return codecs.lookup(name).name.replace("_", "-") not in _NO_TEXT
    except (LookupError, UnicodeError):
        return False


def read_excel_hint(first_line: str) -> str | None:
    """The separator that a line `sep=;` names."""
    found = _EXCEL_HINT.fullmatch(first_line)
    return found.group(1) if found else None


def find_delimiter(lines: Sequence[str]) -> str:
    """The one by which most records have the same number of cells, more than one; the more cells the better. Else a comma."""
    return max(DELIMITERS, key=lambda one: (_rate_delimiter(lines, one), -DELIMITERS.index(one)))


def _rate_delimiter(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    # The last line of a sample may be cut, or stand inside of a quoted cell.
    widths = [len(record) for record in read_records(lines, delimiter)][:SAMPLE_RECORDS]
    if len(widths) > 2:  # noqa: PLR2004
        widths = widths[:-1]
    usual, count = Counter(widths).most_common(1)[0] if widths else (1, 0)
    return (count / len(widths), usual) if usual > 1 else (0.0, 1)


def has_header(first: Sequence[str]) -> bool:
    """Whether a first record looks like names: none empty, none twice, none a number, a date or an address."""
    names = [cell.strip() for cell in first]
    return all(names) and len(set(names)) == len(names) and not any(_VALUE.fullmatch(name) for name in names)


def name_columns(first: Sequence[str], *, header: bool) -> tuple[str, ...]:
    """The names in the header, trimmed; `column_3` where there is none, `price_2` where one comes again."""
    names: list[str] = []
    for number, cell in enumerate(first, start=1):
        wanted = (cell.strip() if header else "") or f"column_{number}"
        name, again = wanted, 2
        while name in names:
            name, again = f"{wanted}_{again}", again + 1
        names.append(name)
    return tuple(names)


def read_records(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Records that aren't empty; what csv can't read is left out. For samples."""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            record = next(reader, None)
        except csv.Error:
            continue
        if record is None:
            return
        if record:
            yield record
