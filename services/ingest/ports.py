"""What the handlers need of the outside: who holds a key, and where parked rejections, sources and imports lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from uuid import UUID

from services.ingest.domain.imports.layouts import Layout
from services.ingest.domain.imports.tally import Tally

if TYPE_CHECKING:
    from libs.kit.auth import Source
    from libs.kit.db import Tx


class Sources(Protocol):
    """Looks sources up in memory. None: no such one, or its key is revoked. Raises Unavailable before anything was loaded."""

    def find_source(self, write_key: str) -> "Source | None": ...

    def source_by_id(self, source_id: str) -> "Source | None": ...


@dataclass(frozen=True, slots=True)
class ParkedRejection:
    """A refused touchpoint as it lies in the database. `body` is a whole request's body: `POST path` would send it again."""

    id: UUID
    source_id: str
    received_at: datetime
    reason: str
    detail: str
    path: str
    body: bytes


class Place(NamedTuple):
    """Where a page ended, in the order newest first."""

    received_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class RejectionFilter:
    """All conditions given hold: `since` is inclusive, `until` exclusive."""

    source_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class RejectionBounds:
    """How long and how much is kept: the oldest of a source go first."""

    received_after: datetime
    max_per_source: int
    max_bytes_per_source: int


class RejectionStore(Protocol):
    """Parked rejections. Every method works in the transaction it is given and is safe to repeat.

    One that was sent through again is no longer found, but remembered, so that reading the topic anew doesn't park it anew.
    """

    async def add(self, tx: "Tx", rejections: Sequence[ParkedRejection]) -> set[UUID]:
        """Park them; the ids that weren't known yet. A known one stays as it is."""
        ...

    async def find(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        """Newest first by (received_at, id), beginning behind `after`."""
        ...

    async def lock(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        """As `find`, leaving out what another transaction has locked; locked until the end of this one."""
        ...

    async def count_reasons(self, tx: "Tx", where: RejectionFilter) -> Mapping[str, int]: ...

    async def mark_replayed(self, tx: "Tx", ids: Sequence[UUID], now: datetime) -> None:
        """They are found no more; their bodies are forgotten."""
        ...

    async def update_reason(self, tx: "Tx", rejection_id: UUID, reason: str, detail: str) -> None: ...

    async def trim(self, tx: "Tx", bounds: RejectionBounds) -> int:
        """Remove what is beyond the bounds; how many."""
        ...


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


@dataclass(frozen=True, slots=True)
class WriteKey:
    """A key as it may be shown: `id` is the beginning of its hash."""

    id: str
    created_at: datetime
    revoked_at: datetime | None


class SourceStore(Protocol):
    """Sources and their keys in schema `access`."""

    async def list_sources(self, tx: "Tx", *, after: str | None, limit: int) -> "list[Source]":
        """By id, beginning behind `after`."""
        ...

    async def find(self, tx: "Tx", source_id: str) -> "Source | None": ...

    async def lock(self, tx: "Tx", source_id: str) -> "Source | None":
        """As `find`; nobody else changes it until the end of the transaction."""
        ...

    async def create(self, tx: "Tx", source: "Source") -> bool:
        """False where one of that id exists; it is left as it is."""
        ...

    async def save(self, tx: "Tx", source: "Source") -> None:
        """Overwrite everything but the id."""
        ...

    async def list_keys(self, tx: "Tx", source_id: str) -> list[WriteKey]:
        """Oldest first."""
        ...

    async def create_key(self, tx: "Tx", source_id: str) -> str:
        """A new key, readable this once."""
        ...

    async def revoke_key(self, tx: "Tx", source_id: str, key_id: str) -> bool:
        """False where the source has no active key of that id."""
        ...
