"""How a rejected record looks among the dead letters, and comes back."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from libs.events.envelope import Incoming, Outgoing
from libs.messaging.dead_letters import (
    CLEANED_UP,
    FOR_ANOTHER_CONSUMER,
    build_dead_letter,
    build_replay,
    parse_dead_letter,
    screen_replay,
)
from libs.messaging.outcomes import Reject

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORD = Incoming("profile-changes", 4, 17, b"p1", b"{}", {"ce_id": b"e1", "traceparent": b"00-x"}, 1_600_000_000_000)


def as_read(message: Outgoing, offset: int = 0) -> Incoming:
    return Incoming(message.topic, 0, offset, message.key, message.value, dict(message.headers), message.timestamp_ms or 0)


def make_letter(record: Incoming = RECORD, **changes: object) -> Outgoing:
    return build_dead_letter(replace(record, **changes), Reject("malformed", "decode"), group="loyalty", now=NOW)


def test_it_lies_in_the_consumers_own_topic_dated_now_so_that_it_is_kept_for_its_time() -> None:
    letter = make_letter()
    assert letter.topic == "loyalty-profile-changes-dlq"
    assert letter.timestamp_ms == int(NOW.timestamp() * 1000)


@pytest.mark.parametrize("value", [b"{}", None])
def test_what_is_written_can_be_read_back(value: bytes | None) -> None:
    letter = parse_dead_letter(as_read(make_letter(value=value), offset=3))
    assert (letter.offset, letter.group, letter.topic, letter.reason, letter.step) == (
        3,
        "loyalty",
        "profile-changes",
        "malformed",
        "decode",
    )
    assert (letter.origin_partition, letter.origin_offset, letter.received_ms) == (4, 17, 1_600_000_000_000)
    assert (letter.key, letter.value, letter.headers) == (b"p1", value, RECORD.headers)
    assert letter.failed_at == "2026-03-01T00:00:00.000Z"


def test_a_foreign_record_is_readable_too() -> None:
    letter = parse_dead_letter(Incoming("x-dlq", 0, 1, None, b"?", {"rapport_dlq_offset": b"\xff"}, 5))
    assert (letter.reason, letter.origin_offset, letter.received_ms) == ("", 0, 5)


@pytest.mark.parametrize("value", [b"{}", None])
def test_a_replay_to_a_compacted_topic_shadows_no_newer_record_and_leaves_nothing_behind(value: bytes | None) -> None:
    record, tombstone = build_replay(parse_dead_letter(as_read(make_letter(value=value))), compacted=True, now=NOW)
    assert record.key == tombstone.key != b"p1"
    assert tombstone.value is None
    assert screen_replay(as_read(record), group="loyalty") == Incoming(
        "profile-changes", 0, 0, b"p1", value, RECORD.headers, RECORD.timestamp_ms
    )
    assert screen_replay(as_read(record), group="engagement") is FOR_ANOTHER_CONSUMER
    assert screen_replay(as_read(tombstone), group="loyalty") is CLEANED_UP


def test_a_replay_to_a_topic_that_deletes_keeps_the_key_and_so_the_order() -> None:
    (record,) = build_replay(parse_dead_letter(as_read(make_letter())), compacted=False, now=NOW)
    assert record.key == b"p1"
    assert record.timestamp_ms == int(NOW.timestamp() * 1000)
    assert screen_replay(as_read(record), group="loyalty") == Incoming(
        "profile-changes", 0, 0, b"p1", b"{}", RECORD.headers, RECORD.timestamp_ms
    )


def test_a_replay_that_fails_again_is_a_dead_letter_like_the_first() -> None:
    first = parse_dead_letter(as_read(make_letter()))
    (record, _) = build_replay(first, compacted=True, now=NOW)
    again = screen_replay(replace(as_read(record), offset=99), group="loyalty")
    assert isinstance(again, Incoming)
    second = parse_dead_letter(as_read(make_letter(again)))
    assert (second.key, second.value, second.headers) == (first.key, first.value, first.headers)
    assert (second.received_ms, second.origin_offset) == (first.received_ms, 99)
