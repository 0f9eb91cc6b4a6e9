"""What the handlers need of the outside: who holds a key, and where parked rejections and sources lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from libs.events.envelope import Outgoing
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


class Usage(NamedTuple):
    """What waits in a spool."""

    records: int
    size_bytes: int


class Spool(Protocol):
    """Records that are safe on this machine's disk until the log has them, in the order in which they came.

    One task reads, confirms and adopts; any number append.
    """

    @property
    def usage(self) -> Usage:
        """What isn't confirmed, appends that are under way included."""
        ...

    @property
    def is_taking(self) -> bool:
        """Whether the last append found room."""
        ...

    async def append(self, records: "Sequence[Outgoing]") -> None:
        """Return once they survive the end of the process and of the machine. Raises PublishFailed: full, or the disk refuses.

        What was refused may be read all the same.
        """
        ...

    async def read(self, *, max_records: int, max_bytes: int) -> "Sequence[Outgoing]":
        """The oldest that aren't confirmed, at least one where there is one; the same again until they are. Raises OSError."""
        ...

    async def confirm(self) -> None:
        """The log has what `read` gave last. Without it a later process reads it again. Raises OSError."""
        ...

    async def set_aside(self, record: "Outgoing") -> None:
        """Keep for a person what the log will never take. Raises OSError."""
        ...

    async def adopt(self) -> None:
        """Take over what ended processes left behind. Raises OSError."""
        ...

    async def rest(self) -> None:
        """Nothing is expected soon: give up what isn't needed. Raises OSError."""
        ...
