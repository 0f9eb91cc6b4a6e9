"""The committed examples are real records: valid by schema, readable by our codec and by somebody else's CloudEvents library."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from libs.events import codec
from libs.events.codec import EVENT_TYPES, decode, read_parts, read_version
from libs.events.documents.__main__ import ROOT, SCHEMAS
from libs.events.documents.examples import Example, read_examples
from libs.events.documents.story import KEY
from libs.events.envelope import Event, Incoming
from libs.events.profiles import ProfileChanged
from libs.events.topics import TOPICS
from libs.events.touchpoints import TouchpointRecorded, compute_touchpoint_id
from libs.identity import normalise, strength_key
from libs.kit.times import parse_utc

ALL = [example for name in EVENT_TYPES for example in read_examples(name)]
every_example = pytest.mark.parametrize("example", ALL, ids=lambda example: f"{example.incoming.event_type}: {example.name}")


def decode_example(example: Example) -> Event:
    event = decode(example.incoming)
    assert event is not None
    return event


def validator_of(event_type: str) -> Any:
    schema = msgspec.json.decode((ROOT / SCHEMAS / f"{event_type}.json").read_bytes())
    return jsonschema_rs.validator_for(schema, validate_formats=True)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_has_several_examples_with_names_of_their_own(event_type: str) -> None:
    names = [example.name for example in read_examples(event_type)]
    assert len(names) >= 2
    assert len(set(names)) == len(names)


@every_example
def test_it_is_valid_by_its_schema(example: Example) -> None:
    value = msgspec.json.decode(example.incoming.value or b"")
    errors = validator_of(example.incoming.event_type).iter_errors(value)
    assert [f"{error.instance_path}: {error}" for error in errors] == []


@every_example
def test_the_schema_sees_what_the_codec_sees(example: Example) -> None:
    """Spoil each required field in turn: both refuse."""
    value = msgspec.json.decode(example.incoming.value or b"")
    validator = validator_of(example.incoming.event_type)
    schema = msgspec.json.decode((ROOT / SCHEMAS / f"{example.incoming.event_type}.json").read_bytes())
    for field in schema["required"]:
        for spoilt in ({key: kept for key, kept in value.items() if key != field}, {**value, field: {"not": "this"}}):
            assert not validator.is_valid(spoilt)
            with pytest.raises(codec.EventMalformed):
                decode(with_value(example, msgspec.json.encode(spoilt)))


def with_value(example: Example, value: bytes) -> Incoming:

    return msgspec.structs.replace(example.incoming, value=value)


@every_example
def test_it_survives_the_codec(example: Example) -> None:
    incoming = example.incoming
    event = decode_example(example)
    headers = {name: value.decode() for name, value in incoming.headers.items()}
    again = codec.encode(
        event,
        topic=TOPICS[incoming.topic],
        key=(incoming.key or b"").decode(),
        event_id=headers["ce_id"],
        source=headers["ce_source"],
        time=parse_utc(headers["ce_time"]),
        received_ms=incoming.timestamp_ms,
        traceparent=headers["traceparent"],
    )
    assert dict(again.headers) == dict(incoming.headers)
    assert again.key == incoming.key
    assert again.value == incoming.value


@every_example
def test_a_cloudevents_library_reads_the_same(example: Example) -> None:
    incoming = example.incoming
    seen = from_binary_event(KafkaMessage(dict(incoming.headers), incoming.key, incoming.value or b""))
    assert seen.get_specversion() == "1.0"
    assert seen.get_type() == incoming.event_type
    assert seen.get_id().encode() == incoming.headers["ce_id"]
    assert seen.get_source().encode() == incoming.headers["ce_source"]
    assert seen.get_subject().encode() == incoming.key
    assert seen.get_datacontenttype() == "application/json"
    assert abs(seen.get_time() - parse_utc(incoming.headers["ce_time"].decode())) == timedelta(0)
    assert seen.get_data() == msgspec.json.decode(incoming.value or b"")


def touchpoints() -> Iterator[TouchpointRecorded]:
    for example in ALL:
        event = decode_example(example)
        if isinstance(event, TouchpointRecorded):
            yield event


def test_touchpoints_are_as_ingest_makes_them() -> None:
    for touchpoint in touchpoints():
        assert touchpoint.id == compute_touchpoint_id(touchpoint.source_id, touchpoint.message_id)
        ordered = sorted(touchpoint.identifiers, key=lambda one: strength_key(one.kind, one.value))
        assert list(touchpoint.identifiers) == ordered
        for one in (*touchpoint.identifiers, *touchpoint.previous):
            assert normalise(one.kind, one.value) == one.value
            assert KEY.fragment_id(one.kind, one.value) == one.fragment


def test_touchpoints_lie_under_the_key_of_their_strongest_identifier() -> None:
    for example in read_examples(TouchpointRecorded.TYPE):
        event = decode_example(example)
        assert isinstance(event, TouchpointRecorded)
        assert (example.incoming.key or b"").decode() == str(event.identifiers[0].fragment)


def test_a_profile_changes_touchpoints_are_touchpoints_and_its_headers_say_what_it_says() -> None:
    validator = validator_of(TouchpointRecorded.TYPE)
    known = {touchpoint.id: touchpoint for touchpoint in touchpoints()}
    for example in read_examples(ProfileChanged.TYPE):
        event = decode_example(example)
        assert isinstance(event, ProfileChanged)
        assert read_version(example.incoming.headers) == event.version
        assert read_parts(example.incoming.headers) == set(event.parts)
        members = {member.fragment for member in event.members}
        for applied in event.touchpoints:
            assert validator.is_valid(msgspec.json.decode(bytes(applied.body)))
            body = codec.decoder_for(TouchpointRecorded).decode(applied.body)
            assert body == known[body.id]
            assert applied.fragment in members


def test_a_snapshot_has_every_part_of_the_view() -> None:
    parts = {
        "id", "version", "first_seen_at", "last_seen_at", "updated_at", "identifiers", "traits", "aggregates", "attribution",
        "consent", "lead", "accounts", "segments", "loyalty", "computed", "scores",
    }  # fmt: skip
    for example in read_examples(ProfileChanged.TYPE):
        event = decode_example(example)
        assert isinstance(event, ProfileChanged)
        snapshot = msgspec.json.decode(bytes(event.snapshot))
        assert (snapshot is None) is (event.absorbed_into is not None)
        if snapshot is not None:
            assert set(snapshot) == parts
            assert (snapshot["id"], snapshot["version"]) == (str(event.profile_id), event.version)
