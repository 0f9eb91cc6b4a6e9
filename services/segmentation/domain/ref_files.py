"""Files that name customers: one reference a line, the first column of a CSV. Read as the bytes come, kept as 16 bytes each.

Decides what a line names and which lines can't be read; asks nobody whether somebody is known by it.
"""

import csv
from array import array
from collections.abc import Callable, Iterator
from typing import Final
from uuid import UUID

from libs.identity import RefMalformed, parse_ref
from services.segmentation.errors import ListFileTooLarge

_LONGEST_LINE: Final = 4_096
_MOST_TOLD: Final = 100
_HEADINGS: Final = ("ref", "refs")
_ID_BYTES: Final = 16


class RefFile:
    """Feed it the bytes, then `finish`. `make_address`: (kind, normalised value) -> the id that the identifier resolves by.

    An identifier is kept as its address, a profile by its id: nothing personal remains.
    """

    def __init__(self, make_address: Callable[[str, str], UUID], *, most_refs: int, most_bytes: int) -> None:
        self._make_address = make_address
        self._most_refs = most_refs
        self._most_bytes = most_bytes
        self._rest = b""
        self._is_cut = False
        self._line = 0
        self._size_bytes = 0
        self._refs = bytearray()
        self._lines = array("I")
        self.unreadable = 0
        self.unreadable_lines: list[tuple[int, str]] = []

    def feed(self, chunk: bytes) -> None:
        """Raises ListFileTooLarge."""
        self._size_bytes += len(chunk)
        if self._size_bytes > self._most_bytes:
            raise ListFileTooLarge(f"A file has at most {self._most_bytes} bytes.")
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        # Of a line without end only enough is kept to know that it is too long.
        self._is_cut = self._is_cut or len(rest) > _LONGEST_LINE
        self._rest = rest[:_LONGEST_LINE]

    def finish(self) -> None:
        """The last line may have no end. Raises ListFileTooLarge."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""

    def __len__(self) -> int:
        return len(self._lines)

    def rows(self) -> Iterator[tuple[UUID, int]]:
        """(reference, line) in the order of the file, as often as it stands there."""
        for number, line in enumerate(self._lines):
            yield UUID(bytes=bytes(self._refs[number * _ID_BYTES : (number + 1) * _ID_BYTES])), line

    def _take(self, raw: bytes) -> None:
        self._line += 1
        is_cut, self._is_cut = self._is_cut or len(raw) > _LONGEST_LINE, False
        if is_cut:
            self._refuse("the line is too long")
            return
        try:
            text = raw.decode("utf-8-sig" if self._line == 1 else "utf-8").strip()
            cell = next(csv.reader([text]))[0].strip() if text else ""
            if cell and not (self._line == 1 and cell.lower() in _HEADINGS):
                self._add(parse_ref(cell))
            elif text and not cell:
                self._refuse("the first column is empty")
        except (UnicodeDecodeError, csv.Error):
            self._refuse("the line is no CSV in UTF-8")
        except RefMalformed as error:
            self._refuse(str(error))

    def _add(self, named: UUID | tuple[str, str]) -> None:
        if len(self._lines) >= self._most_refs:
            raise ListFileTooLarge(f"A file names at most {self._most_refs} customers; append the others.")
        self._refs += (named if isinstance(named, UUID) else self._make_address(*named)).bytes
        self._lines.append(self._line)

    def _refuse(self, detail: str) -> None:
        self.unreadable += 1
        if len(self.unreadable_lines) < _MOST_TOLD:
            self.unreadable_lines.append((self._line, detail))
