"""Lines of a file, however long somebody made them: nothing beyond the limit is ever held."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, AnyStr, Final

from services.ingest.domain.limits import EVENT_BYTES

MAX_LINE: Final = 8 * EVENT_BYTES
"""A touchpoint of 32 KB may need more room as a line, with quotes and columns that nobody maps; never this much."""
CHUNK_BYTES: Final = 1024 * 1024


def read_lines(file: IO[AnyStr]) -> Iterator[tuple[AnyStr, bool]]:
    """Each line as it is, and whether it is whole: of one that is too long only the beginning is given."""
    newline = "\n" if isinstance(empty := file.read(0), str) else b"\n"
    while line := file.readline(MAX_LINE):
        is_whole = len(line) < MAX_LINE or line[-1:] == newline
        rest = empty if is_whole else line
        while rest and rest[-1:] != newline:
            rest = file.readline(MAX_LINE)
        yield line, is_whole


def read_chunks(path: Path) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
