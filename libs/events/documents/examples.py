"""Examples as files: whole records, envelope included, made by the codec itself; and back again, for tests and readers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from libs.events import codec
from libs.events.codec import EVENT_TYPES
from libs.events.documents.change_examples import BALANCES, CHANGES, DISMISSED, EDGES, JUDGED
from libs.events.documents.privacy_examples import REQUESTED
from libs.events.documents.touchpoint_examples import REJECTED, STORY
from libs.events.envelope import Event, Incoming, Outgoing
from libs.events.topics import (
    LOYALTY_EVENTS,
    PRIVACY_REQUESTS,
    PROFILE_CHANGES,
    SEGMENT_CHANGES,
    TOUCHPOINT_REJECTIONS,
    TOUCHPOINTS,
    Topic,
)

EXAMPLES_FOLDER: Final = Path(__file__).parents[1] / "examples"
TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _Entry(msgspec.Struct):
    name: str
    topic: str
    key: str
    timestamp_ms: int
    headers: dict[str, str]
    value: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Example:
    """A named record. `incoming` is what a consumer would be handed."""

    name: str
    incoming: Incoming


def build_examples() -> Mapping[str, list[tuple[str, Outgoing]]]:
    """Event type -> its named records, in the order in which they would be published."""
    built: dict[str, list[tuple[str, Outgoing]]] = {name: [] for name in EVENT_TYPES}
    for name, record in _encode_all():
        built[dict(record.headers)["ce_type"].decode()].append((name, record))
    return built


def _encode_all() -> Iterator[tuple[str, Outgoing]]:
    for name, touchpoint in STORY:
        source = "engagement" if touchpoint.source_id == "engagement" else "ingest"
        key = touchpoint.identifiers[0].fragment
        yield name, _encode(touchpoint, TOUCHPOINTS, key, touchpoint.id, source, touchpoint.received_at)
    for name, rejected in REJECTED:
        yield name, _encode(rejected, TOUCHPOINT_REJECTIONS, rejected.source_id, rejected.id, "ingest", rejected.received_at)
    for name, changed in CHANGES:
        event_id = f"{changed.profile_id}:{changed.version}"
        yield name, _encode(changed, PROFILE_CHANGES, changed.profile_id, event_id, "profile", changed.changed_at)
    for name, dismissed in DISMISSED:
        at = STORY[-1][1].received_at
        yield name, _encode(dismissed, PROFILE_CHANGES, dismissed.touchpoint_id, dismissed.touchpoint_id, "profile", at)
    for name, edge in EDGES:
        event_id = f"{edge.segment_id}:{edge.profile_id}:{edge.seq}"
        yield name, _encode(edge, SEGMENT_CHANGES, edge.profile_id, event_id, "segmentation", edge.at)
    for name, judged in JUDGED:
        event_id = f"{judged.profile_id}:{judged.profile_version}:judged"
        yield name, _encode(judged, SEGMENT_CHANGES, judged.profile_id, event_id, "segmentation", CHANGES[-1][1].changed_at)
    for name, balance in BALANCES:
        event_id = f"{balance.profile_id}:{balance.version}"
        yield name, _encode(balance, LOYALTY_EVENTS, balance.profile_id, event_id, "loyalty", balance.at)
    for name, requested in REQUESTED:
        yield name, _encode(requested, PRIVACY_REQUESTS, requested.fragments[0], requested.request_id, "profile", requested.at)


def _encode(event: Event, topic: Topic, key: UUID | str, event_id: UUID | str, source: str, at: datetime) -> Outgoing:
    return codec.encode(
        event,
        topic=topic,
        key=key,
        event_id=str(event_id),
        source=source,
        time=at,
        received_ms=int(at.timestamp() * 1000),
        traceparent=TRACEPARENT,
    )


def render_examples(records: list[tuple[str, Outgoing]]) -> bytes:
    """The file of one event type: JSON that a person can read and copy from. Values are written as objects."""
    shown = [
        _Entry(
            name,
            record.topic,
            record.key.decode(),
            record.timestamp_ms or 0,
            {header: value.decode() for header, value in record.headers},
            msgspec.Raw(record.value or b"null"),
        )
        for name, record in records
    ]
    return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"


def read_examples(event_type: str, folder: Path = EXAMPLES_FOLDER) -> list[Example]:
    """The committed examples of a type, as consumed records of partition 0."""
    entries = msgspec.json.decode((folder / f"{event_type}.json").read_bytes(), type=list[_Entry])
    return [
        Example(
            entry.name,
            Incoming(
                topic=entry.topic,
                partition=0,
                offset=offset,
                key=entry.key.encode(),
                value=msgspec.json.format(bytes(entry.value), indent=-1),
                headers={header: value.encode() for header, value in entry.headers.items()},
                timestamp_ms=entry.timestamp_ms,
            ),
        )
        for offset, entry in enumerate(entries)
    ]
