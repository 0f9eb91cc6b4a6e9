"""How a file is read: found out once, shown, kept with the import, so that going on later means the same."""

import hashlib
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from services.ingest.domain.imports.mapping import Columns


class Format(StrEnum):
    CDNOW = "cdnow"
    ONLINE_RETAIL = "online-retail"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


Packing = Literal["none", "gzip", "zip"]
OWN_MEANING: Final = frozenset({Format.CDNOW, Format.ONLINE_RETAIL})
"""Formats that say themselves what their columns are: a mapping has no place there."""


class Wishes(Struct, frozen=True):
    """What the sender says of the file; what is None is found out."""

    format: Format | None = None
    mapping: Columns | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None


class Layout(Struct, frozen=True, omit_defaults=True):
    """`columns` are a CSV's, by name; `first_line` is the number of the line where its header or first row stands."""

    format: Format
    packing: Packing = "none"
    mapping: Columns | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    first_line: int = 1


class Inspection(Struct, frozen=True):
    """What was found out. `rows` is an estimate where quoted cells hold line breaks."""

    layout: Layout
    rows: int
    warnings: tuple[str, ...] = ()


def compute_import_id(file_sha256: bytes, source_id: str, layout: Layout) -> UUID:
    """The same file, source and meaning is the same import: UUIDv8 (RFC 9562) of the SHA-256 over the three."""
    digest = hashlib.sha256(file_sha256 + source_id.encode() + b"\x1f" + msgspec.json.encode(layout, order="deterministic"))
    number = int.from_bytes(digest.digest()[:16], "big")
    return UUID(int=(number & ~(0xF << 76) & ~(0x3 << 62)) | (0x8 << 76) | (0x2 << 62))
