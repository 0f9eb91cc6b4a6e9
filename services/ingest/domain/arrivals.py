"""A request that came with a valid key: whose, where, when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.ingest.domain.identifiers import SourceRules


class ArrivalSource(SourceRules, Protocol):
    """A disabled source's calls are parked."""

    @property
    def enabled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """`path` is the address without a trailing slash: where the same body would be sent again.

    `user_agent`: the visitor's, where a browser speaks for itself; that of other requests is an SDK's.
    """

    source: ArrivalSource
    path: str
    received_at: datetime
    traceparent: str | None = None
    user_agent: str | None = None
