"""What a poll of records is read as, before anything is locked."""

from datetime import UTC, datetime
from uuid import UUID

from msgspec import Raw

from libs.events import codec, topics
from libs.events.envelope import Event, Incoming
from libs.events.profiles import AppliedTouchpoint, Member, ProfileChanged, TouchpointDismissed
from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.messaging.outcomes import DUPLICATE, Ignored, Reject
from libs.subscriber.poll import read_poll, sort_ids

AT = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE, FRAGMENT, OTHER, TOUCHPOINT = UUID(int=1), UUID(int=9), UUID(int=5), UUID(int=77)


def make_incoming(event: Event, value: bytes | None = None) -> Incoming:
    outgoing = codec.encode(
        event, topic=topics.PROFILE_CHANGES, key=PROFILE, event_id="e", source="profile", time=AT, received_ms=0
    )
    return Incoming("profile-changes", 0, 0, outgoing.key, value or outgoing.value, dict(outgoing.headers), 0)


def make_touchpoint() -> TouchpointRecorded:
    return TouchpointRecorded(
        id=TOUCHPOINT,
        message_id="m",
        source_id="s",
        kind="track",
        name="Order Completed",
        channel="web",
        occurred_at=AT,
        received_at=AT,
        identifiers=(Identifier("email", "a@example.com", FRAGMENT),),
    )


def make_changed(body: bytes) -> ProfileChanged:
    return ProfileChanged(
        profile_id=PROFILE,
        version=1,
        changed_at=AT,
        founding=FRAGMENT,
        parts=("orders",),
        causes=("touchpoint",),
        members=(Member(FRAGMENT, 1, "email", FRAGMENT), Member(OTHER, 1, "user_id", OTHER)),
        touchpoints=(AppliedTouchpoint(FRAGMENT, Raw(body)),),
    )


def test_a_change_stands_as_duplicate_until_it_changes_something() -> None:
    poll = read_poll([make_incoming(make_changed(codec.encode_value(make_touchpoint())))])
    assert poll.outcomes == [DUPLICATE]
    assert poll.entries[0].bodies == [(FRAGMENT, make_touchpoint())]


def test_fragments_are_named_sorted_and_once() -> None:
    poll = read_poll([make_incoming(make_changed(codec.encode_value(make_touchpoint())))] * 2)
    assert poll.named_fragments() == [OTHER, FRAGMENT]


def test_a_record_that_is_no_json_is_rejected() -> None:
    assert read_poll([make_incoming(make_changed(b"{}"), b"{nonsense")]).outcomes == [Reject("malformed", "decode")]


def test_a_malformed_touchpoint_rejects_its_whole_record() -> None:
    poll = read_poll([make_incoming(make_changed(b'{"id": 5}'))])
    assert poll.outcomes == [Reject("malformed", "decode_touchpoint")]
    assert poll.entries == []


def test_unknown_types_and_tombstones_are_ignored() -> None:
    unknown = Incoming("profile-changes", 0, 0, b"k", b"{}", {"ce_type": b"rapport.profile.celebrated.v1"}, 0)
    tombstone = Incoming("profile-changes", 0, 1, b"k", None, {}, 0)
    assert read_poll([unknown, tombstone]).outcomes == [Ignored("unknown_type"), Ignored("tombstone")]


def test_a_dismissed_touchpoint_is_noted() -> None:
    event = TouchpointDismissed(touchpoint_id=TOUCHPOINT, outcome="ignored", reason="suppressed")
    assert read_poll([make_incoming(event)]).dismissed == [(0, event)]


def test_ids_sort_as_postgresql_sorts_them() -> None:
    low, high = UUID("0fffffff-0000-0000-0000-000000000000"), UUID("f0000000-0000-0000-0000-000000000000")
    assert sort_ids({high, low}) == [low, high]
