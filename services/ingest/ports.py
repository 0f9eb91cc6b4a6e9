"""What the handlers need of the outside: who holds a key, and where parked rejections lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class RejectionFilter:
    """All given conditions hold. `before` is a place in the order newest first: only what stands behind it."""

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
    """Parked rejections. Every method works in the transaction it is given and is safe to repeat."""

    async def add(self, tx: "Tx", rejections: Sequence[ParkedRejection]) -> set[UUID]:
        """Park them; the ids that weren't there yet. One that is there stays as it is."""
        ...

    async def find(
        self, tx: "Tx", where: RejectionFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[ParkedRejection]:
        """Newest first by (received_at, id), beginning behind `after`."""
        ...

    async def count_reasons(self, tx: "Tx", where: RejectionFilter) -> Mapping[str, int]: ...

    async def remove(self, tx: "Tx", ids: Sequence[UUID]) -> int: ...

    async def trim(self, tx: "Tx", bounds: RejectionBounds) -> int:
        """Remove what is beyond the bounds; how many."""
        ...
