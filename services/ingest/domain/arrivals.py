"""A request that came with a valid key: whose, where, when."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from services.ingest.domain.identifiers import SourceRules


class ArrivalSource(SourceRules, Protocol):
    """A disabled source's calls are parked. The limit is in events a second; None: there is none."""

    @property
    def enabled(self) -> bool: ...
    @property
    def max_events_per_s(self) -> int | None: ...
    @property
    def burst_events(self) -> int | None: ...
    @property
    def ip_policy(self) -> str: ...


class Arrival(Struct, frozen=True):
    """`path` is the address without a trailing slash: where the same body would be sent again.

    `user_agent`: the visitor's, where a browser speaks for itself; that of other requests is an SDK's.
    `client` is the visitor's network address where the source wants it and the connection is the visitor's own.
    """

    source: ArrivalSource
    path: str
    received_at: datetime
    traceparent: str | None = None
    user_agent: str | None = None
    client: str | None = None
