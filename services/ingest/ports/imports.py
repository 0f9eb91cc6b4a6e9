"""Imports of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol
from uuid import UUID

from services.ingest.domain.imports.layouts import Layout
from services.ingest.domain.imports.tally import Tally
from services.ingest.ports.rejections import Place

if TYPE_CHECKING:
    from libs.kit.db import Tx


@dataclass(frozen=True, slots=True)
class Import:
    """A file to import and how far it is. Its job has the same id and the state; `tally` is committed with every batch."""

    id: UUID
    source_id: str
    file_name: str
    file_sha256: bytes
    size_bytes: int
    layout: Layout
    max_error_ratio: float
    pause_requested: bool
    tally: Tally
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ImportRowError:
    """A row that became nothing. `step` orders them; `data` is the row, cut where it is long."""

    step: int
    line: int
    outcome: Literal["rejected", "skipped"]
    reason: str
    detail: str
    data: bytes


class ImportStore(Protocol):
    """Imports, their files in chunks, and the rows that failed."""

    async def insert(self, tx: "Tx", made: Import) -> bool:
        """False where one of that id is there; it stays as it is."""
        ...

    async def add_chunk(self, tx: "Tx", import_id: UUID, number: int, data: bytes) -> None: ...

    async def read_chunk(self, tx: "Tx", import_id: UUID, number: int) -> bytes | None:
        """None behind the last."""
        ...

    async def find(self, tx: "Tx", import_id: UUID) -> Import | None: ...

    async def lock(self, tx: "Tx", import_id: UUID) -> Import | None:
        """As `find`; nobody else changes it until the end of the transaction."""
        ...

    async def list_page(self, tx: "Tx", *, after: Place | None, limit: int) -> list[Import]:
        """Newest first by (created_at, id), beginning behind `after`."""
        ...

    async def request_pause(self, tx: "Tx", import_id: UUID, *, wanted: bool) -> None: ...

    async def save_tally(self, tx: "Tx", import_id: UUID, tally: Tally) -> None: ...

    async def save_max_error_ratio(self, tx: "Tx", import_id: UUID, ratio: float) -> None: ...

    async def add_errors(self, tx: "Tx", import_id: UUID, errors: Sequence[ImportRowError]) -> None: ...

    async def list_errors(self, tx: "Tx", import_id: UUID, *, after_step: int, limit: int) -> list[ImportRowError]:
        """In file order."""
        ...

    async def forget_errors(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        """At most so many; how many."""
        ...

    async def forget_chunks(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        """At most so many; how many."""
        ...

    async def delete(self, tx: "Tx", import_id: UUID) -> None: ...

    async def list_expired(self, tx: "Tx", rested_before: datetime) -> list[UUID]:
        """Imports whose job has been at rest since before then."""
        ...
