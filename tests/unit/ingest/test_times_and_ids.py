import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.times import parse_utc
from services.ingest.domain.reasons import Flag, Reason
from services.ingest.domain.times import compute_skew, correct_time, read_instant
from tests.support.intake import BROWSER, NOW, SERVER, World, make_track, refuse, take

MINUTE = timedelta(minutes=1)


def at(offset: timedelta) -> str:
    return (NOW + offset).isoformat().replace("+00:00", "Z")


def test_the_time_is_the_items_timestamp() -> None:
    touchpoint = take(make_track(timestamp=at(-MINUTE), originalTimestamp=at(-2 * MINUTE)))
    assert (touchpoint.occurred_at, touchpoint.original_at) == (NOW - MINUTE, None)


def test_else_the_original_timestamp() -> None:
    assert take(make_track(originalTimestamp=at(-2 * MINUTE))).occurred_at == NOW - 2 * MINUTE


def test_else_the_receipt() -> None:
    assert take(make_track()).occurred_at == NOW


def test_never_the_batchs_timestamp() -> None:
    assert take(make_track(), timestamp=at(-timedelta(days=1)), originalTimestamp=at(-timedelta(days=1))).occurred_at == NOW


@pytest.mark.parametrize("seconds", [-60, -59.999999, 0, 60])
def test_up_to_a_minute_between_sending_and_receipt_is_network_delay(seconds: float) -> None:
    touchpoint = take(make_track(timestamp=at(-MINUTE)), sentAt=at(timedelta(seconds=-seconds)))
    assert (touchpoint.occurred_at, touchpoint.original_at) == (NOW - MINUTE, None)


@pytest.mark.parametrize("seconds", [-60.000001, 60.000001, 3600, -3600])
def test_beyond_a_minute_the_clock_is_wrong_and_t_is_corrected(seconds: float) -> None:
    behind = timedelta(seconds=seconds)
    touchpoint = take(make_track(timestamp=at(-behind - MINUTE)), sentAt=at(-behind))
    assert touchpoint.occurred_at == NOW - MINUTE
    assert touchpoint.original_at == NOW - behind - MINUTE


def test_an_items_own_sent_at_wins_over_the_batchs() -> None:
    day = timedelta(days=1)
    touchpoint = take(make_track(timestamp=at(-day), sentAt=at(timedelta())), sentAt=at(-day))
    assert touchpoint.occurred_at == NOW - day


def test_a_historical_import_keeps_its_time() -> None:
    touchpoint = take(make_track(timestamp="1997-01-01T00:00:00Z"), sentAt=at(timedelta()))
    assert touchpoint.occurred_at == datetime(1997, 1, 1, tzinfo=UTC)


def test_nothing_is_too_old() -> None:
    assert take(make_track(timestamp="0001-01-01T00:00:00Z")).occurred_at == datetime(1, 1, 1, tzinfo=UTC)


def test_up_to_five_minutes_in_the_future_stand() -> None:
    assert take(make_track(timestamp=at(5 * MINUTE))).occurred_at == NOW + 5 * MINUTE


def test_more_than_five_minutes_in_the_future_is_the_receipt_and_flagged() -> None:
    later = NOW + 5 * MINUTE + timedelta(microseconds=1)
    touchpoint = take(make_track(timestamp=later.isoformat()))
    assert (touchpoint.occurred_at, touchpoint.original_at) == (NOW, later)
    assert touchpoint.flags == (Flag.TIME_IN_FUTURE,)


def test_a_receipt_that_stands_for_a_missing_time_is_our_clocks_and_not_corrected() -> None:
    assert take(make_track(), sentAt=at(-3 * MINUTE)).occurred_at == NOW


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-11-22T11:00:00Z", 0),
        ("2026-11-22T11:00:00.123Z", 123_000),
        ("2026-11-22T11:00:00.672+00:00", 672_000),
        ("2026-11-22T12:00:00.123456+01:00", 123_456),
        ("2026-11-22T11:00:00.123456999Z", 123_456),
        ("2026-11-22T16:30:00.5+05:30", 500_000),
        ("2026-11-22T11:00:00", 0),
        ("2026-11-22 11:00:00Z", 0),
    ],
)
def test_offsets_micro_and_nanoseconds_are_accepted(text: str, micros: int) -> None:
    touchpoint = take(make_track(timestamp=text))
    assert touchpoint.occurred_at == datetime(2026, 11, 22, 11, 0, 0, micros, tzinfo=UTC)
    assert touchpoint.flags == ()


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01T00:00:00Z", 1_700_000_000, {}, True])
def test_a_time_that_cannot_be_read_gives_way_to_the_next(value: object) -> None:
    touchpoint = take(make_track(timestamp=value, originalTimestamp=at(-MINUTE)))
    assert touchpoint.occurred_at == NOW - MINUTE
    assert touchpoint.flags == (() if value == "" else (Flag.TIMESTAMP_UNREADABLE,))


def test_a_sent_at_that_cannot_be_read_counts_as_missing() -> None:
    touchpoint = take(make_track(timestamp=at(-MINUTE)), sentAt="now")
    assert (touchpoint.occurred_at, touchpoint.flags) == (NOW - MINUTE, (Flag.SENT_AT_UNREADABLE,))


@pytest.mark.parametrize(
    ("stated", "sent"), [("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"), ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")]
)
def test_clocks_at_the_ends_of_time_overflow_nothing(stated: str, sent: str) -> None:
    assert take(make_track(timestamp=stated), sentAt=sent).occurred_at == NOW


@given(st.text(max_size=40) | st.datetimes(timezones=st.sampled_from([None, UTC])).map(str))
def test_the_short_road_reads_as_the_long_one(text: str) -> None:
    try:
        expected = parse_utc(text)
    except ValueError:
        expected = None
    assert read_instant(text) == expected


@given(
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1990, 1, 1), max_value=datetime(2060, 1, 1)).map(  # noqa: DTZ001 - hypothesis wants naive bounds
        lambda instant: instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
)
def test_the_short_road_is_right_where_it_is_taken(text: str) -> None:
    assert read_instant(text) == parse_utc(text)


@given(
    stated=st.timedeltas(min_value=timedelta(days=-10_000), max_value=timedelta(days=10_000)),
    sent=st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)) | st.none(),
)
def test_time_correction_is_the_rule_word_for_word(stated: timedelta, sent: timedelta | None) -> None:
    skew = timedelta(0) if sent is None else -sent
    expected = NOW + stated if abs(skew) <= timedelta(seconds=60) else NOW + stated + skew
    if expected > NOW + timedelta(minutes=5):
        expected = NOW
    behind = compute_skew(NOW, None if sent is None else NOW + sent)
    timing = correct_time(at(stated), None, skew=behind, received_at=NOW)
    assert timing.occurred_at == expected
    assert (timing.original_at or timing.occurred_at) == NOW + stated


class TestIds:
    def message_id(self, call: dict[str, Any], *, world: World | None = None, **envelope: Any) -> str:
        return (world or World()).judge({"batch": [call], **envelope}).accepted[0].message_id

    def test_the_touchpoint_id_is_the_hash_of_source_and_message_id_and_nothing_else(self) -> None:
        digest = bytearray(hashlib.sha256(b"dev-server\x1fm1").digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
        assert take(make_track()).id == UUID(bytes=bytes(digest))
        assert take(make_track(event="Else", userId="other")).id == UUID(bytes=bytes(digest))
        assert UUID(bytes=bytes(digest)).version == 8

    def test_another_source_gives_another_touchpoint(self) -> None:
        assert take(make_track()).id != take(make_track(), source=BROWSER).id

    def test_the_same_message_id_on_any_route_is_the_same_touchpoint(self) -> None:
        single = World().judge(make_track(), kind="track").accepted[0]
        assert single.id == World().judge({"batch": [make_track()]}).accepted[0].id

    def test_a_message_id_may_be_a_number(self) -> None:
        assert self.message_id(make_track(messageId=17)) == "17"

    @pytest.mark.parametrize("missing", [None, ""])
    def test_without_one_a_byte_identical_resend_repeats_it_where_the_request_says_when_it_was_sent(
        self, missing: object
    ) -> None:
        call = make_track(messageId=missing)
        sent = at(timedelta())
        assert self.message_id(call, sentAt=sent) == self.message_id(call, sentAt=sent)

    def test_a_derived_id_differs_by_source_sent_at_index_and_bytes(self) -> None:
        call = make_track(messageId=None)
        sent, later = at(timedelta()), at(MINUTE)
        batch = World().judge({"batch": [call, call], "sentAt": sent})
        ids = {accepted.message_id for accepted in batch.accepted}
        ids.add(self.message_id(call, sentAt=later))
        ids.add(self.message_id({**call, "event": "Else"}, sentAt=sent))
        ids.add(World().judge({"batch": [call], "sentAt": sent}, source=BROWSER).accepted[0].message_id)
        assert len(ids) == 5

    def test_without_sent_at_nothing_tells_a_resend_from_a_second_call(self) -> None:
        world = World()
        call = make_track(messageId=None)
        assert self.message_id(call, world=world) != self.message_id(call, world=world)

    def test_a_derived_id_is_short_enough_for_the_limit(self) -> None:
        assert len(self.message_id(make_track(messageId=None), sentAt=at(timedelta()))) <= 100

    def test_a_message_id_of_more_than_a_hundred_characters_is_refused(self) -> None:
        assert self.message_id(make_track(messageId="x" * 100)) == "x" * 100
        assert refuse(make_track(messageId="x" * 101)).reason is Reason.MESSAGE_ID_TOO_LONG

    def test_a_message_id_twice_in_one_request_is_accepted_twice_with_one_id(self) -> None:
        accepted = World().judge({"batch": [make_track(), make_track()]}).accepted
        assert len(accepted) == 2
        assert accepted[0].id == accepted[1].id

    def test_the_envelopes_message_id_is_not_the_items(self) -> None:
        world = World()
        receipt = world.judge({"batch": [make_track(messageId=None)], "messageId": "of-the-envelope"}, source=SERVER)
        assert receipt.accepted[0].message_id != "of-the-envelope"
