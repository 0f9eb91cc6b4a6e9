"""What a reader makes of a file: touchpoints to send, in file order, and rows it leaves out with a counted reason."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

MESSAGE_CHANNEL = "import"


@dataclass(frozen=True, slots=True)
class Planned:
    """A touchpoint in the shape of `POST /v1/touchpoints`; `line` is the first row it comes from, `rows` how many."""

    line: int
    rows: int
    touchpoint: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    line: int
    rows: int
    reason: str


Step = Planned | Skipped


class Reader(Protocol):
    """Reads one file. The same file gives the same steps, always."""

    def count_rows(self, path: Path) -> int: ...

    def read(self, path: Path) -> Iterator[Step]: ...


def compute_message_id(file_format: str, line: int, row: bytes) -> str:
    """Format, line and SHA-256 of the row: exact duplicates in a file stay apart, a second run of the file is recognised."""
    return f"{file_format}:{line}:{hashlib.sha256(row).hexdigest()}"


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC; a time without a zone is taken as UTC."""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
