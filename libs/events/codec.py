"""Events to records and back, by the types the topics declare. Decides what is malformed and what isn't ours; sends nothing."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec

from libs.events.envelope import CONTENT_TYPE, SPEC_VERSION, Event, Headers, Incoming, Outgoing, format_time, to_key
from libs.events.profiles import ProfileChanged
from libs.events.topics import TOPICS, Topic
from libs.kit.ids import read_id

PARTS_HEADER: Final = "rapport_parts"
VERSION_HEADER: Final = "rapport_version"


class EventMalformed(ValueError):
    """A record of a known type whose value isn't that type's JSON. The message names the place, never the data."""


E = TypeVar("E")


def _register() -> Mapping[str, type[Event]]:
    """Every declared type by name. A type may be declared on several topics, two classes of one type never."""
    registry: dict[str, type[Event]] = {}
    for topic in TOPICS.values():
        for event in topic.events:
            if registry.setdefault(event.TYPE, event) is not event:
                raise TypeError(f"two event classes share the type {event.TYPE}")
    return MappingProxyType(registry)


EVENT_TYPES: Final = _register()
_SPEC_VERSION_HEADER: Final = ("ce_specversion", SPEC_VERSION)
_CONTENT_TYPE_HEADER: Final = ("content-type", CONTENT_TYPE)
_TYPE_HEADERS: Final = {name: ("ce_type", name.encode()) for name in EVENT_TYPES}
_QUOTED: Final = re.compile(r"'.*'", re.DOTALL)
_DECODERS: Final[dict[type, "msgspec.json.Decoder[Any]"]] = {}
_ENCODER: Final = msgspec.json.Encoder()


def decoder_for(event: type[E]) -> "msgspec.json.Decoder[E]":
    """The one decoder of an event class. Unknown fields are skipped, so that a newer producer's additions do no harm."""
    decoder = _DECODERS.get(event)
    if decoder is None:
        decoder = _DECODERS[event] = msgspec.json.Decoder(event, dec_hook=read_id)
    return cast("msgspec.json.Decoder[E]", decoder)


def encode_value(event: Event) -> bytes:
    """The event's JSON. Raw members are copied as they are."""
    return _ENCODER.encode(event)


def encode(  # noqa: PLR0913 - the attributes of an envelope, each by name
    event: Event,
    *,
    topic: Topic,
    key: UUID | str,
    event_id: str,
    source: str,
    time: datetime,
    received_ms: int,
    traceparent: str | None = None,
    extra: Iterable[tuple[str, bytes]] = (),
) -> Outgoing:
    """A record of `topic`. `time` is when it happened (aware, UTC), `received_ms` what Kafka's retention goes by.

    A `ProfileChanged` also carries `rapport_parts` (what changed, comma-separated) and `rapport_version` (decimal), so that
    consumers and the outbox need not decode it. Raises TypeError where the topic doesn't declare the event.
    """
    if type(event) not in topic.events:
        raise TypeError(f"{topic.name} doesn't declare {type(event).__name__}")
    key_bytes = to_key(key)
    headers: Headers = (
        _SPEC_VERSION_HEADER,
        ("ce_id", event_id.encode()),
        _TYPE_HEADERS[event.TYPE],
        ("ce_source", source.encode()),
        ("ce_time", format_time(time)),
        ("ce_subject", key_bytes),
        _CONTENT_TYPE_HEADER,
    )
    if traceparent is not None:
        headers += (("traceparent", traceparent.encode()),)
    if type(event) is ProfileChanged:
        headers += ((PARTS_HEADER, ",".join(event.parts).encode()), (VERSION_HEADER, str(event.version).encode()))
    if extra:
        headers += tuple(extra)
    return Outgoing(topic.name, key_bytes, _ENCODER.encode(event), headers, received_ms)


def decode(incoming: Incoming) -> Event | None:
    """The event in a record; None for a type nobody declares (ignored) and for a compacted topic's tombstone.

    Raises EventMalformed where the type is ours and the value isn't.
    """
    event = EVENT_TYPES.get(incoming.event_type)
    if event is None:
        return None
    if incoming.value is None:
        topic = TOPICS.get(incoming.topic)
        if topic is not None and topic.compact:
            return None
        raise EventMalformed(f"{incoming.event_type}: the record has no value")
    try:
        return decoder_for(event).decode(incoming.value)
    except msgspec.DecodeError as error:
        # msgspec quotes a value that is no member of an enumeration: such a text may be a person's.
        raise EventMalformed(f"{event.TYPE}: {_QUOTED.sub('a value', str(error))}") from None
    except UnicodeDecodeError:
        raise EventMalformed(f"{event.TYPE}: not UTF-8") from None


def read_version(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> int | None:
    """The version a profile-changes record carries in its headers, without decoding it; None where it carries none."""
    text = dict(headers).get(VERSION_HEADER)
    return None if text is None else int(text)


def read_parts(headers: Mapping[str, bytes]) -> frozenset[str]:
    """What changed, by the header of a profile-changes record; empty where it carries none."""
    return frozenset(filter(None, headers.get(PARTS_HEADER, b"").decode().split(",")))
