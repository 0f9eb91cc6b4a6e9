"""gzip and zip: the one file inside, bounded, so that no bomb goes off."""

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Final, Protocol

from services.ingest.adapters.import_files.lines import CHUNK_BYTES
from services.ingest.domain.imports.layouts import Packing
from services.ingest.errors import ImportFileTooLarge, ImportFileUnreadable

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_WORKBOOK: Final = "[Content_Types].xml"
_ENCRYPTED: Final = 0x1


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def find_packing(path: Path) -> Packing:
    """By the first bytes, whatever the name says."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(_GZIP):
        return "gzip"
    return "zip" if head in _ZIP else "none"


def unpack(path: Path, packing: Packing, max_bytes: int) -> Path:
    """The plain file: itself, or a new one beside it. Raises ImportFileUnreadable, ImportFileTooLarge."""
    if packing == "none":
        return path
    plain = path.with_name(f"{path.name}.plain")
    try:
        if packing == "gzip":
            with gzip.open(path) as packed:
                _copy(packed, plain, max_bytes)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(_find_member(archive)) as packed:
                _copy(packed, plain, max_bytes)
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ImportFileUnreadable(f"The {packing} file is damaged, or packed in a way that can't be read.") from error
    return plain


def _find_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    names = archive.namelist()
    if _WORKBOOK in names:
        raise ImportFileUnreadable("This is a workbook. Save its sheet as CSV (UTF-8) and import that.")
    # What macOS puts beside the files is none.
    files = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        raise ImportFileUnreadable(f"The zip file holds {len(files)} files; it must be one.")
    if files[0].flag_bits & _ENCRYPTED:
        raise ImportFileUnreadable("The zip file is encrypted.")
    return files[0]


def _copy(packed: _Readable, plain: Path, max_bytes: int) -> None:
    left = max_bytes
    with plain.open("wb") as file:
        while chunk := packed.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise ImportFileTooLarge(max_bytes, "unpacked")
            file.write(chunk)
