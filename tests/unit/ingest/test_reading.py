"""What the SDKs really send, and what nobody should: every call is read for itself, and none hurts its neighbours."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.calls import Call, is_body_plain, is_suspect, read_call, repair_item
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.requests import Batch, find_batch_key, find_write_key, read_batch
from services.ingest.domain.tolerant import is_deeper_than
from tests.support.intake import SERVER, World, decode_outgoing, make_track, name_all, refuse, take

GOOD = b'{"type":"track","event":"Good","userId":"g"}'


def judge_with_neighbours(item: bytes) -> Any:
    """The item between two good ones: what became of it (the good ones must have been taken)."""
    receipt = World().judge(b'{"batch":[%s,%s,%s]}' % (GOOD, item, GOOD))
    events = decode_outgoing(receipt)
    assert [events[0].name, events[-1].name] == ["Good", "Good"]
    assert len(events) == 3
    return receipt.rejected[0] if receipt.rejected else events[1]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"5", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.UNKNOWN_KIND),
        (b'{"type":"audience","userId":"u"}', Reason.UNKNOWN_KIND),
        (b'{"type":"track","userId":"u"}', Reason.NAME_MISSING),
        (b'{"type":"track","event":"E"}', Reason.NO_IDENTIFIER),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":NaN}}', Reason.NUMBER_NOT_FINITE),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":-Infinity}}', Reason.NUMBER_NOT_FINITE),
        (b'{"type":"track","event":"E","userId":"u","context":{"a":[1e400]}}', Reason.NUMBER_NOT_FINITE),
        (b'{"type":"track","event":"E","userId":"u","traits":{"a":%s}}' % (b"9" * 400), Reason.NUMBER_NOT_FINITE),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":%s}}' % (b"9" * 5000), Reason.NUMBER_NOT_FINITE),
        (b'{"type":"track","event":"Order Completed","userId":"u","properties":{"revenue":NaN}}', Reason.AMOUNT_INVALID),
        (b'{"type":"track",}', Reason.NOT_JSON),
        (b'{"type" "track"}', Reason.NOT_JSON),
        (b"nonsense", Reason.NOT_JSON),
        (b'{"type":"track","event":"E","userId":"u","properties":' + b"[" * 5000 + b"]" * 5000 + b"}", Reason.TOO_DEEP),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":' + b"[" * 64 + b"]" * 64 + b"}}", Reason.TOO_DEEP),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":"' + b"x" * 32768 + b'"}}', Reason.EVENT_TOO_LARGE),
    ],
)
def test_a_bad_event_in_a_batch_is_refused_alone(item: bytes, reason: Reason) -> None:
    assert judge_with_neighbours(item).reason is reason


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (rb'{"type":"track","event":"E","userId":"u","properties":{"a":"x\ud800y"}}', "x\ufffdy"),
        (rb'{"type":"track","event":"E","userId":"u","properties":{"a":"x\udc00\ud800"}}', "x\ufffd\ufffd"),
        (rb'{"type":"track","event":"E","userId":"u","properties":{"a":"x\u0000y"}}', "x\ufffdy"),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":"x\xffy"}}', "x\ufffdy"),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":"x\xed\xa0\x80y"}}', "x\ufffd\ufffd\ufffdy"),
    ],
)
def test_characters_that_cannot_be_stored_are_replaced_and_flagged(item: bytes, text: str) -> None:
    touchpoint = judge_with_neighbours(item)
    assert msgspec.json.decode(touchpoint.properties) == {"a": text}
    assert touchpoint.flags == (Flag.CHARACTERS_REPLACED,)


@pytest.mark.parametrize("text", [r"\ud83d\ude00", r"\\u0000", r"\\ud800", r"\u00e4\n\t\"", "é"])
def test_characters_that_only_look_odd_pass_unchanged(text: str) -> None:
    item = f'{{"type":"track","event":"E","userId":"u","properties":{{"a":"{text}"}}}}'.encode()
    touchpoint = judge_with_neighbours(item)
    assert msgspec.json.decode(touchpoint.properties) == json.loads(f'{{"a":"{text}"}}')
    assert touchpoint.flags == ()


def test_odd_characters_in_names_identifiers_and_keys_are_replaced_too() -> None:
    touchpoint = judge_with_neighbours(rb'{"type":"track","event":"E\u0000","userId":"u\ud800","properties":{"k\u0000":1}}')
    assert (touchpoint.name, name_all(touchpoint.identifiers)) == ("E\ufffd", ["user_id:u\ufffd"])
    assert msgspec.json.decode(touchpoint.properties) == {"k\ufffd": 1}


def test_raw_control_characters_are_tolerated() -> None:
    touchpoint = judge_with_neighbours(b'{"type":"track","event":"E","userId":"u","properties":{"a":"x\ny"}}')
    assert msgspec.json.decode(touchpoint.properties) == {"a": "x\ny"}


def test_what_passes_through_is_valid_utf8_without_nul_even_in_members_nobody_looks_at() -> None:
    touchpoint = judge_with_neighbours(b'{"type":"track","event":"E","userId":"u","context":{"app":{"name":"\xff"}}}')
    assert bytes(touchpoint.context).decode() == '{"app":{"name":"\ufffd"}}'


@pytest.mark.parametrize("field", ["properties", "traits", "context"])
@pytest.mark.parametrize("value", [5, "text", [1], True])
def test_an_object_that_is_none_is_dropped_and_flagged(field: str, value: object) -> None:
    touchpoint = take(make_track(**{field: value}))
    assert bytes(getattr(touchpoint, field)) == b"{}"
    assert touchpoint.flags == (Flag.FIELD_DROPPED,)


@pytest.mark.parametrize("field", ["properties", "traits", "context"])
def test_an_object_may_be_null(field: str) -> None:
    touchpoint = take(make_track(**{field: None}))
    assert (bytes(getattr(touchpoint, field)), touchpoint.flags) == (b"{}", ())


def test_python_sends_nulls_for_ids_name_and_category() -> None:
    call = {"type": "page", "userId": "u1", "anonymousId": None, "name": None, "category": None, "groupId": None}
    assert bytes(take(call).properties) == b"{}"


def test_a_name_may_be_a_number() -> None:
    touchpoint = take(make_track(event=404))
    assert (touchpoint.name, touchpoint.flags) == ("404", (Flag.TEXT_AS_NUMBER,))


@pytest.mark.parametrize("value", [True, {}, []])
def test_an_id_that_is_none_is_dropped_and_the_others_count(value: object) -> None:
    touchpoint = take(make_track(userId=value, anonymousId="a1"))
    assert (name_all(touchpoint.identifiers), touchpoint.flags) == (["anonymous_id:a1"], (Flag.FIELD_DROPPED,))


def test_members_nobody_knows_are_ignored() -> None:
    call = make_track(
        _metadata={"bundled": ["x"]}, integrations={"All": True}, version=1, sequence=7, receivedAt="x", writeKey="k"
    )
    assert take(call).flags == ()


def test_payloads_pass_as_the_very_bytes_that_were_sent() -> None:
    properties, context = b'{ "b":1.10, "a" : "\xc3\xa4" }', b'{"x":[1,2 ]}'
    body = b'{"batch":[{"type":"track","event":"E","userId":"u","properties":%s,"context":%s}]}' % (properties, context)
    touchpoint = decode_outgoing(World().judge(body))[0]
    assert (bytes(touchpoint.properties), bytes(touchpoint.context)) == (properties, context)


class TestBatchContext:
    def context(self, batch: Any, own: Any) -> Any:
        return msgspec.json.decode(take(make_track(context=own), context=batch).context)

    def test_java_and_go_put_the_library_into_the_batchs_context_only(self) -> None:
        library = {"name": "analytics-java", "version": "3.5.4"}
        assert self.context({"library": library}, None) == {"library": library}
        assert self.context({"library": library}, {"locale": "de"}) == {"library": library, "locale": "de"}

    def test_the_calls_own_members_win(self) -> None:
        assert self.context({"a": 1, "b": 1}, {"b": 2}) == {"a": 1, "b": 2}

    def test_it_names_customers_too(self) -> None:
        touchpoint = take(make_track(userId=None), context={"traits": {"email": "a@b.c"}})
        assert name_all(touchpoint.identifiers) == ["email:a@b.c"]

    @pytest.mark.parametrize("context", [None, {}, 5, "x", [1]])
    def test_one_that_is_no_object_is_nothing(self, context: object) -> None:
        assert self.context(context, {"b": 2}) == {"b": 2}

    def test_an_odd_character_in_it_hurts_no_call(self) -> None:
        body = b'{"context":{"app":"\xff\\u0000"},"batch":[%s,%s]}' % (GOOD, GOOD)
        assert [bytes(event.context) for event in decode_outgoing(World().judge(body))] == ['{"app":"\ufffd\ufffd"}'.encode()] * 2

    @pytest.mark.parametrize("context", [b'{"a":NaN}', b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"])
    def test_one_that_nobody_could_store_is_left_out(self, context: bytes) -> None:
        body = b'{"context":%s,"batch":[%s]}' % (context, GOOD)
        assert bytes(decode_outgoing(World().judge(body))[0].context) == b"{}"

    def test_a_call_whose_own_context_is_no_object_has_the_batchs(self) -> None:
        assert self.context({"a": 1}, 5) == {"a": 1}


class TestIdentify:
    def test_rudder_python_has_the_traits_in_the_context_alone(self) -> None:
        touchpoint = take({"type": "identify", "userId": "u1", "context": {"traits": {"plan": "gold"}}})
        assert bytes(touchpoint.traits) == b'{"plan":"gold"}'.replace(b":", b": ", 1)

    def test_traits_of_its_own_stand(self) -> None:
        touchpoint = take({"type": "identify", "userId": "u1", "traits": {"a": 1}, "context": {"traits": {"plan": "gold"}}})
        assert msgspec.json.decode(touchpoint.traits) == {"a": 1}

    def test_the_context_of_other_calls_sets_no_traits(self) -> None:
        assert bytes(take(make_track(context={"traits": {"plan": "gold"}})).traits) == b"{}"


class TestEnvelope:
    @pytest.mark.parametrize(
        "body",
        [b"", b"nonsense", b'{"batch":[', b'{"batch":[{]}', b'{"batch":[{"type":"track",}]}', b"\xff", b'{"batch":[nope]}'],
    )
    def test_a_body_in_which_nothing_can_be_read_is_no_json(self, body: bytes) -> None:
        found = read_batch(body)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.NOT_JSON

    @pytest.mark.parametrize("body", [b"{}", b'{"batch":null}', b'{"batch":5}', b'{"batch":{}}'])
    def test_a_body_without_a_batch_is_invalid(self, body: bytes) -> None:
        found = read_batch(body)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.INVALID

    @pytest.mark.parametrize("body", [b"5", b"[]", b'"x"', b"null"])
    def test_a_body_that_is_no_object_is_told_so(self, body: bytes) -> None:
        found = read_batch(body)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.NOT_AN_OBJECT

    def test_an_empty_batch_is_fine(self) -> None:
        assert World().judge({"batch": []}).outgoing == []

    def test_a_byte_order_mark_is_tolerated(self) -> None:
        found = read_batch(b"\xef\xbb\xbf" + b'{"batch":[' + GOOD + b"]}")
        assert isinstance(found, Batch)
        assert len(found.items) == 1

    @pytest.mark.parametrize("sent_at", [5, None, True, {}, []])
    def test_an_envelope_of_odd_values_hurts_no_call(self, sent_at: object) -> None:
        receipt = World().judge({"sentAt": sent_at, "context": 5, "writeKey": 7, "batch": [make_track()]})
        assert len(receipt.accepted) == 1

    def test_the_key_is_the_envelopes_else_the_first_calls(self) -> None:
        for body, key in (
            ({"writeKey": "k1", "batch": [{"writeKey": "k2"}]}, "k1"),
            ({"batch": [{"writeKey": "k2"}, {"writeKey": "k3"}]}, "k2"),
            ({"batch": [{}]}, None),
            ({"batch": []}, None),
            ({"batch": [5]}, None),
        ):
            batch = read_batch(json.dumps(body).encode())
            assert isinstance(batch, Batch)
            assert find_batch_key(batch) == key

    @pytest.mark.parametrize(
        "body", [b'{"writeKey":"k","a":NaN}', b'{"writeKey":"k","a":"\xff"}', b'{"a":"\\ud800","writeKey":"k"}']
    )
    def test_the_key_of_an_odd_call_is_found_all_the_same(self, body: bytes) -> None:
        assert find_write_key(body) == "k"

    @pytest.mark.parametrize("body", [b"nonsense", b"5", b'{"writeKey":5}', b"[" * 100_000])
    def test_what_carries_no_key_carries_none(self, body: bytes) -> None:
        assert find_write_key(body) is None


class TestLimits:
    def test_an_event_of_exactly_the_limit_is_taken(self) -> None:
        call = json.dumps(make_track(properties={"a": ""}))
        call = call.replace('"a": ""', '"a": "' + "x" * (32768 - len(call)) + '"')
        assert len(call) == 32768
        receipt = World().judge(b'{"batch":[' + call.encode() + b"]}")
        assert len(receipt.accepted) == 1

    def test_what_stands_behind_the_first_2500_is_parked_as_one(self) -> None:
        receipt = World().judge(b'{"batch":[' + b",".join([GOOD] * 2503) + b'],"sentAt":"2026-11-22T12:00:00Z"}')
        assert len(receipt.accepted) == 2500
        assert [rejected.index for rejected in receipt.rejected] == [2500, 2501, 2502]
        assert {rejected.reason for rejected in receipt.rejected} == {Reason.TOO_MANY_EVENTS}
        events = decode_outgoing(receipt)
        assert len(events) == 2501
        assert json.loads(events[-1].body) == {"batch": [json.loads(GOOD)] * 3, "sentAt": "2026-11-22T12:00:00Z"}

    @pytest.mark.parametrize(("value", "levels"), [([], 1), ([[]], 2), ({"a": {"b": [1]}}, 3), ([5, {"a": 1}, [[{}]]], 4)])
    def test_depth_counts_lists_and_objects(self, value: object, levels: int) -> None:
        assert not is_deeper_than(value, levels)
        assert is_deeper_than(value, levels - 1)

    @pytest.mark.parametrize("levels", [62, 63])
    def test_the_deepest_call_that_is_taken(self, levels: int) -> None:
        call = b'{"type":"track","event":"E","userId":"u","properties":{"a":%s%s}}' % (b"[" * levels, b"]" * levels)
        receipt = World().judge(b'{"batch":[' + call + b"]}")
        assert bool(receipt.accepted) is (levels == 62)

    def test_a_name_beyond_all_length_is_refused(self) -> None:
        assert refuse(make_track(event="x" * 513)).reason is Reason.NAME_TOO_LONG


class TestParked:
    def test_a_parked_item_carries_its_envelope_so_that_it_can_be_sent_again(self) -> None:
        item = b'{"type":"track","event":"E",  "n":NaN}'
        body = b'{"writeKey":"secret","context":{"library":{"name":"x"}},"sentAt":"2026-11-22T12:00:00Z","batch":[%s]}' % item
        event = decode_outgoing(World().judge(body))[0]
        assert event.body == b'{"batch":[%s],"sentAt":"2026-11-22T12:00:00Z","context":{"library":{"name":"x"}}}' % item
        assert (event.path, event.source_id, event.reason) == ("/v1/batch", "dev-server", "no_identifier")

    def test_the_same_refused_call_is_the_same_rejection(self) -> None:
        events = [decode_outgoing(World().judge({"batch": [make_track(userId=None)]}))[0] for _ in range(2)]
        assert events[0].id == events[1].id

    def test_its_key_is_the_source(self) -> None:
        assert World().judge({"batch": [{}]}).outgoing[0].key == b"dev-server"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["track", "identify", "page", "alias"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "event",
                    "userId",
                    "anonymousId",
                    "properties",
                    "traits",
                    "context",
                    "externalIds",
                    "messageId",
                    "timestamp",
                ]
            )
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(st.lists(JSON, max_size=5))
def test_whatever_comes_is_accepted_or_rejected_and_nothing_is_lost(items: list[object]) -> None:
    receipt = World().judge(json.dumps({"batch": items}).encode())
    indexes = [accepted.index for accepted in receipt.accepted] + [rejected.index for rejected in receipt.rejected]
    assert sorted(indexes) == list(range(len(items)))
    assert len(receipt.outgoing) == len(items)
    for event in decode_outgoing(receipt):
        for raw in (getattr(event, name, msgspec.Raw(b"{}")) for name in ("properties", "traits", "context")):
            assert isinstance(json.loads(bytes(raw).decode()), dict)
            assert b"\\u0000" not in bytes(raw)


@given(st.lists(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), max_size=4), st.binary(max_size=10))
def test_whatever_bytes_come_nothing_is_lost(items: list[bytes], tail: bytes) -> None:
    found = read_batch(b'{"batch":[' + b",".join(items) + b"]}" + tail)
    if isinstance(found, Batch):
        world = World()
        receipt = world.judge(b'{"batch":[' + b",".join(items) + b"]}" + tail)
        assert len(receipt.accepted) + len(receipt.rejected) == len(found.items)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["track", "identify", "page", "group", "alias"])},
        optional={
            "event": st.text(min_size=1, max_size=5),
            "userId": st.text(max_size=5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            "messageId": st.text(max_size=5) | st.integers(),
            "timestamp": st.text(max_size=5),
            "traits": st.dictionaries(st.sampled_from(["email", "phone", "x"]), st.text(max_size=5) | st.integers(), max_size=2),
            "context": st.dictionaries(st.text(max_size=4), st.floats(allow_nan=False, allow_infinity=False), max_size=2),
        },
    )
)
def test_the_tolerant_road_gives_what_the_strict_one_gives(call: dict[str, Any]) -> None:
    data = json.dumps(call, ensure_ascii=False).encode()
    strict = read_call(data, kind=None, source=SERVER)
    repaired = repair_item(data, None)
    assert not isinstance(repaired, Refusal)
    tolerant = read_call(repaired[0], kind=None, source=SERVER)
    assert isinstance(strict, Call)
    assert isinstance(tolerant, Call)
    for name in ("kind", "name", "message_id", "claims", "previous", "timestamp", "group_id"):
        assert getattr(strict, name) == getattr(tolerant, name)
    for name in ("properties", "traits", "context"):
        assert getattr(strict, name).value == getattr(tolerant, name).value


@pytest.mark.parametrize("odd", [b'"\\u0000"', b"9" * 309, b"-" + b"1" * 309, b'"\\\\u0000"'])
@pytest.mark.parametrize("shift", range(0, 31, 3))
def test_a_look_at_the_whole_batch_sees_what_a_look_at_each_call_sees(odd: bytes, shift: int) -> None:
    items = [GOOD, b'{"type":"track","event":"E","userId":"u","properties":{"%s":%s}}' % (b"x" * shift, odd)]
    body = b'{"batch":[%s]}' % b",".join(items)
    assert is_suspect(items[1])
    assert not is_body_plain(body)
    assert is_body_plain(b'{"batch":[%s]}' % b",".join([GOOD] * 200))


@given(st.lists(st.binary(max_size=700) | st.integers(300, 320).map(lambda count: b"7" * count), max_size=4))
def test_no_suspect_call_hides_in_a_plain_batch(items: list[bytes]) -> None:
    if is_body_plain(b",".join(items)):
        assert not any(map(is_suspect, items))
