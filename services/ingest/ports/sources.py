"""Who holds a key, where sources lie, and how much and what they send."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from services.ingest.domain.rates import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from libs.events.envelope import Incoming
    from libs.kit.auth import Source
    from libs.kit.db import Tx
    from services.ingest.domain.tallies import Count, Tallies


class Sources(Protocol):
    """Looks sources up in memory. None: no such one, or its key is revoked. Raises Unavailable before anything was loaded."""

    def find_source(self, write_key: str) -> "Source | None": ...

    def source_by_id(self, source_id: str) -> "Source | None": ...


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

    async def revoke_key(self, tx: "Tx", source_id: str, key_id: str, *, after_s: int = 0) -> "WriteKey | None":
        """The key, which ends then, or sooner where that was said before. None: the source has no active key of that id."""
        ...


class RateLimiter(Protocol):
    """Keeps sources within their limits, over all processes or over this one."""

    async def admit(self, source_id: str, rate: Rate, events: int) -> int:
        """0: the request may go on, and counts. Else the whole seconds to wait; nothing counts. Never raises."""
        ...


class TallyStore(Protocol):
    """What processes have counted, added up."""

    async def add(self, tx: "Tx", tallies: "Tallies") -> None: ...

    async def find_seen(self, tx: "Tx", source_id: str) -> datetime | None: ...

    async def list_counts(self, tx: "Tx", source_id: str, *, since: date, until: date) -> "list[Count]":
        """By day, newest first; `until` is inclusive."""
        ...

    async def trim(self, tx: "Tx", *, days_after: date, violations_after: datetime) -> int: ...


class SourceView(Protocol):
    """Records of some sources in some topics."""

    async def look_back(self, limit: int) -> "list[Incoming]":
        """The newest, oldest first, as far back as the log is looked through. Raises SourceUnavailable."""
        ...

    async def read_on(self) -> "list[Incoming]":
        """What came since the last look; waits a moment for something to come. What there is no time for is left out.

        While the broker is away it gives nothing.
        """
        ...


class SourceLog(Protocol):
    def open_view(self, source_ids: "Sequence[str]", topics: "Sequence[str]") -> "AbstractAsyncContextManager[SourceView]": ...
