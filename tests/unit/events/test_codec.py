import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from msgspec import Raw, Struct

from libs.events.codec import EVENT_TYPES, EventMalformed, decode, encode, encode_value, read_parts, read_version
from libs.events.envelope import Envelope, Incoming, Outgoing
from libs.events.profiles import Member, ProfileChanged, TouchpointDismissed
from libs.events.topics import PROFILE_CHANGES, SEGMENT_CHANGES, TOPICS, TOUCHPOINTS
from libs.events.touchpoints import Identifier, TouchpointRecorded

ID = UUID("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
FRAGMENT = UUID("0190a1b2-c3d4-8e5f-8a9b-0c1d2e3f4a5c")
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
RECEIVED_MS = 1_772_366_400_000


def make_touchpoint(**changes: object) -> TouchpointRecorded:
    fields: dict[str, object] = {
        "id": ID,
        "message_id": "m1",
        "source_id": "dev-server",
        "kind": "track",
        "name": "Order Completed",
        "channel": "server",
        "occurred_at": NOW,
        "received_at": NOW,
        "identifiers": (Identifier("user_id", "u1", FRAGMENT),),
        "properties": Raw(b'{"total": 1.50, "n": 1e400}'),
    }
    return TouchpointRecorded(**{**fields, **changes})  # type: ignore[arg-type]


def make_changed(**changes: object) -> ProfileChanged:
    fields: dict[str, object] = {
        "profile_id": ID,
        "version": (3 << 40) + 7,
        "changed_at": NOW,
        "founding": FRAGMENT,
        "parts": ("traits", "orders"),
        "causes": ("touchpoint",),
        "members": (Member(FRAGMENT, 1, "user_id"),),
        "snapshot": Raw(b'{"id": "x"}'),
    }
    return ProfileChanged(**{**fields, **changes})  # type: ignore[arg-type]


def receive(record: Outgoing) -> Incoming:
    return Incoming(
        topic=record.topic,
        partition=0,
        offset=0,
        key=record.key,
        value=record.value,
        headers=dict(record.headers),
        timestamp_ms=record.timestamp_ms or 0,
    )


def make_incoming(event_type: str | None, value: bytes | None, *, topic: str = "touchpoints") -> Incoming:
    headers = {} if event_type is None else {"ce_type": event_type.encode()}
    return Incoming(topic=topic, partition=0, offset=0, key=b"k", value=value, headers=headers, timestamp_ms=0)


def encode_touchpoint(event: TouchpointRecorded, **more: object) -> Outgoing:
    return encode(
        event,
        topic=TOUCHPOINTS,
        key=FRAGMENT,
        event_id=str(event.id),
        source="/ingest/sources/dev-server",
        time=event.occurred_at,
        received_ms=RECEIVED_MS,
        **more,  # type: ignore[arg-type]
    )


def encode_changed(event: ProfileChanged) -> Outgoing:
    return encode(
        event, topic=PROFILE_CHANGES, key=ID, event_id="x", source="/profile", time=event.changed_at, received_ms=RECEIVED_MS
    )


def test_a_touchpoint_survives_the_log_to_the_microsecond_and_to_the_byte() -> None:
    event = make_touchpoint()
    record = encode_touchpoint(event, traceparent="00-1-2-01", extra=[("x", b"y")])
    back = decode(receive(record))
    assert isinstance(back, TouchpointRecorded)
    assert back == event
    assert bytes(back.properties) == b'{"total": 1.50, "n": 1e400}'
    assert back.occurred_at == NOW


def test_the_envelope_lies_in_headers_and_the_record_bears_the_time_of_receipt() -> None:
    record = encode_touchpoint(make_touchpoint(), traceparent="00-1-2-01", extra=[("x", b"y")])
    assert record.topic == "touchpoints"
    assert record.key == str(FRAGMENT).encode()
    assert record.timestamp_ms == RECEIVED_MS
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": str(ID).encode(),
        "ce_type": b"rapport.touchpoint.recorded.v1",
        "ce_source": b"/ingest/sources/dev-server",
        "ce_time": b"2026-03-01T12:00:00.123456Z",
        "ce_subject": str(FRAGMENT).encode(),
        "content-type": b"application/json",
        "traceparent": b"00-1-2-01",
        "x": b"y",
    }


def test_the_fast_path_writes_what_the_envelope_writes() -> None:
    event = make_touchpoint()
    envelope = Envelope(
        id=str(event.id), type=event.TYPE, source="/ingest/sources/dev-server", time=NOW, subject=str(FRAGMENT), traceparent="t"
    )
    assert encode_touchpoint(event, traceparent="t", extra=[("x", b"y")]).headers == envelope.to_headers(("x", b"y"))


def test_a_profile_change_says_its_parts_and_version_without_being_decoded() -> None:
    record = encode_changed(make_changed())
    assert dict(record.headers)["rapport_parts"] == b"traits,orders"
    assert dict(record.headers)["rapport_version"] == b"3298534883335"
    assert read_version(record.headers) == (3 << 40) + 7
    assert read_parts(dict(record.headers)) == {"traits", "orders"}
    assert decode(receive(record)) == make_changed()


def test_a_record_without_own_headers_says_nothing() -> None:
    assert read_version({}) is None
    assert read_parts({}) == frozenset()
    assert read_parts(dict(encode_changed(make_changed(parts=())).headers)) == frozenset()


def test_a_topic_takes_only_the_events_it_declares() -> None:
    with pytest.raises(TypeError, match="segment-changes"):
        encode(make_touchpoint(), topic=SEGMENT_CHANGES, key=ID, event_id="x", source="/x", time=NOW, received_ms=1)


@pytest.mark.parametrize("event_type", ["rapport.touchpoint.recorded.v2", "com.example.other", "", None])
def test_an_unknown_type_is_ignored_whatever_its_value(event_type: str | None) -> None:
    assert decode(make_incoming(event_type, b"\xff not json")) is None
    assert decode(make_incoming(event_type, None)) is None


def test_a_newer_producers_fields_do_no_harm() -> None:
    value = encode_value(TouchpointDismissed(touchpoint_id=ID, outcome="ignored", reason="x"))[:-1] + b',"added_later":{"a":[1]}}'
    event = decode(make_incoming(TouchpointDismissed.TYPE, value, topic="profile-changes"))
    assert event == TouchpointDismissed(touchpoint_id=ID, outcome="ignored", reason="x")


GOOD = encode_value(make_touchpoint())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "truncated"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `id`"),
        (GOOD[:-1], "truncated"),
        (GOOD.replace(b'"u1"', b"7"), "identifiers"),
        (GOOD.replace(b'"u1"', b'"\xff"'), "not UTF-8"),
        (GOOD.replace(b"12:00:00.123456Z", b"12:00:00.123456"), "timezone"),
        (GOOD.replace(b'"kind":"track"', b'"kind":"ada@example.com"'), "kind"),
    ],
)
def test_a_value_that_is_not_the_types_json_is_malformed_and_the_message_says_where(value: bytes, says: str) -> None:
    with pytest.raises(EventMalformed) as error:
        decode(make_incoming(TouchpointRecorded.TYPE, value))
    assert says in str(error.value)
    assert "ada" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_touchpoint_without_identifiers_is_malformed() -> None:
    with pytest.raises(EventMalformed, match="length"):
        decode(make_incoming(TouchpointRecorded.TYPE, encode_value(make_touchpoint(identifiers=()))))


def test_a_tombstone_belongs_on_a_compacted_topic_only() -> None:
    assert decode(make_incoming(ProfileChanged.TYPE, None, topic="profile-changes")) is None
    with pytest.raises(EventMalformed):
        decode(make_incoming(TouchpointRecorded.TYPE, None))


def test_another_offset_is_the_same_instant() -> None:
    plus_two = NOW.astimezone(timezone(timedelta(hours=2)))
    back = decode(receive(encode_touchpoint(make_touchpoint(occurred_at=plus_two))))
    assert isinstance(back, TouchpointRecorded)
    assert back.occurred_at == NOW


def test_every_declared_event_has_a_type_of_the_agreed_form() -> None:
    assert set(EVENT_TYPES.values()) == {event for topic in TOPICS.values() for event in topic.events}
    for name, event in EVENT_TYPES.items():
        assert re.fullmatch(r"rapport\.[a-z]+\.[a-z_]+\.v[1-9][0-9]*", name)
        assert issubclass(event, Struct)
