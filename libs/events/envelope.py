"""The CloudEvents 1.0 envelope as it lies on Kafka: binary mode, attributes in headers, JSON in the value.

Decides how an event becomes a record and back. Knows nothing of brokers: sending is libs.messaging's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

SPEC_VERSION = b"1.0"
CONTENT_TYPE = b"application/json"

Headers = tuple[tuple[str, bytes], ...]


class Event(Protocol):
    """Any event class a topic declares: a msgspec Struct that knows its CloudEvents type."""

    TYPE: ClassVar[str]


def format_time(time: datetime) -> bytes:
    """RFC 3339 to the microsecond (msgspec writes it in a fraction of isoformat's time); UTC ends in `Z`."""
    return msgspec.json.encode(time)[1:-1]


class Outgoing(Struct, frozen=True, gc=False):
    """A record to be published. `value=None` is a tombstone. `timestamp_ms` is the time of receipt, never the customer's."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None


class Incoming(Struct, frozen=True, gc=False):
    """A record as consumed. `topic` is the declared name, without the installation's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int

    @property
    def event_type(self) -> str:
        """The CloudEvents type, or an empty text where the record carries none."""
        return self.headers.get("ce_type", b"").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Envelope:
    """CloudEvents context attributes of one event. `subject` is the id whose order matters (the key, as text)."""

    id: str
    type: str
    source: str
    time: datetime
    subject: str
    traceparent: str | None = None

    def to_headers(self, *extra: tuple[str, bytes]) -> Headers:
        """Kafka headers in binary mode (CloudEvents Kafka protocol binding 1.0.2, section 3.2)."""
        headers: list[tuple[str, bytes]] = [
            ("ce_specversion", SPEC_VERSION),
            ("ce_id", self.id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", format_time(self.time)),
            ("ce_subject", self.subject.encode()),
            ("content-type", CONTENT_TYPE),
        ]
        if self.traceparent is not None:
            headers.append(("traceparent", self.traceparent.encode()))
        headers.extend(extra)
        return tuple(headers)


def to_key(key_id: UUID | str) -> bytes:
    """A Kafka key: the id in its readable text form, so that `kcat -f '%k'` shows it."""
    return str(key_id).encode()
