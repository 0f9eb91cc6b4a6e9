"""Parked rejections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from libs.kit.db import Tx


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


class RejectionGroup(NamedTuple):
    """Rejections of one source for one reason."""

    source_id: str
    reason: str
    total: int
    first_at: datetime
    last_at: datetime
    samples: list[ParkedRejection]


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

    async def summarise(self, tx: "Tx", where: RejectionFilter, *, samples: int) -> "list[RejectionGroup]":
        """By source and reason, the most first, each with its newest ones."""
        ...

    async def mark_replayed(self, tx: "Tx", ids: Sequence[UUID], now: datetime) -> None:
        """They are found no more; their bodies are forgotten."""
        ...

    async def update_reason(self, tx: "Tx", rejection_id: UUID, reason: str, detail: str) -> None: ...

    async def trim(self, tx: "Tx", bounds: RejectionBounds) -> int:
        """Remove what is beyond the bounds; how many."""
        ...
