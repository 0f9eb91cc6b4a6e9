"""Webhooks that are a mapping: those that came along, and what somebody may write."""

import json
from decimal import Decimal
from time import process_time
from typing import Any

import pytest

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.tolerant import encode
from services.ingest.domain.webhooks.catalogue import MAPPED, find_provider
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.domain.webhooks.mappings import CompiledMapping, compile_mapping
from tests.support.webhooks import encode_form

SIGNATURE = {"scheme": "hmac", "header": "X-Sig"}


def read(provider: str, body: Any) -> Reading:
    reading = MAPPED[provider].read(Delivery(body if isinstance(body, bytes) else json.dumps(body).encode()))
    assert isinstance(reading, Reading), reading
    return reading


def compile_rules(*rules: dict[str, Any], **changes: Any) -> CompiledMapping:
    compiled = compile_mapping({"signature": SIGNATURE, "touchpoints": list(rules), **changes})
    assert isinstance(compiled, CompiledMapping), compiled
    return compiled


def apply(mapping: CompiledMapping, body: bytes, **headers: str) -> Reading:
    reading = mapping.read(Delivery(body, {name.replace("_", "-"): value for name, value in headers.items()}))
    assert isinstance(reading, Reading), reading
    return reading


class TestThoseThatCameAlong:
    def test_delighted(self) -> None:
        person = {"id": "5975", "email": "ada@example.com", "name": "Ada", "created_at": 1732186784}
        answer = {"id": "5435", "person": person, "survey_type": "nps", "score": 9, "comment": "Great", "updated_at": 1732187444}
        body = {"event_type": "survey_response.updated", "event_id": "b8d0", "event_data": {**answer, "person_properties": None}}
        (touchpoint,) = read("delighted", body).touchpoints
        assert (touchpoint["id"], touchpoint["name"], touchpoint["occurred_at"]) == (
            "b8d0",
            "Survey Answered",
            "2024-11-21T11:10:44.000Z",
        )
        assert touchpoint["identifiers"] == {"delighted_person": "5975", "email": "ada@example.com"}
        assert touchpoint["properties"] == {
            "survey_type": "nps",
            "survey_id": "delighted",
            "response_id": "5435",
            "score": 9,
            "comment": "Great",
        }
        gone = {"event_type": "unsubscribe.created", "event_id": "u", "event_data": {"person": person}}
        assert [one["name"] for one in read("delighted", gone).touchpoints] == ["Unsubscribed"]

    def test_satismeter(self) -> None:
        user = {"name": "Homer", "email": "homer@example.com", "userId": "1234"}
        response = {
            "rating": 0,
            "feedback": "D'oh",
            "created": "2026-07-31T19:48:07.648Z",
            "user": user,
            "id": "r1",
            "category": "detractor",
        }
        (touchpoint,) = read("satismeter", {"response": response, "event": "completed"}).touchpoints
        assert touchpoint["identifiers"] == {"user_id": "1234", "email": "homer@example.com"}
        assert touchpoint["properties"] == {
            "survey_type": "nps",
            "response_id": "r1",
            "score": 0,
            "comment": "D'oh",
            "category": "detractor",
        }
        assert list(read("satismeter", {"response": response, "event": "dismissed"}).ignored) == ["dismissed"]

    @pytest.mark.parametrize(
        ("fields", "name", "phone"),
        [
            ({"MessageSid": "SM1", "MessageStatus": "sent", "To": "+491", "From": "+492"}, "SMS Sent", "+491"),
            ({"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+491", "From": "+492"}, "SMS Delivered", "+491"),
            ({"MessageSid": "SM1", "MessageStatus": "failed", "To": "+491", "ErrorCode": "30003"}, "SMS Bounced", "+491"),
            ({"MessageSid": "SM1", "SmsStatus": "received", "From": "+493", "To": "+492", "Body": "hi"}, "SMS Received", "+493"),
            (
                {"CallSid": "CA1", "CallStatus": "completed", "Direction": "inbound", "From": "+493", "To": "+492"},
                "Call Completed",
                "+493",
            ),
        ],
    )
    def test_twilio(self, fields: dict[str, str], name: str, phone: str) -> None:
        (touchpoint,) = read("twilio", encode_form(fields)).touchpoints
        assert (touchpoint["name"], touchpoint["identifiers"]) == (name, {"phone": phone})

    def test_twilio_counts_a_calls_seconds_and_ignores_what_is_on_its_way(self) -> None:
        fields = {"CallSid": "CA1", "CallStatus": "completed", "Direction": "outbound-api", "To": "+491", "CallDuration": "61"}
        (touchpoint,) = read("twilio", encode_form(fields)).touchpoints
        assert touchpoint["properties"] == {"call_id": "CA1", "direction": "outbound", "seconds": 61, "outcome": "completed"}
        assert list(read("twilio", encode_form({"MessageSid": "S", "MessageStatus": "queued"})).ignored) == ["queued:"]

    def test_meta_leads_by_their_number_or_with_their_answers(self) -> None:
        value = {"leadgen_id": "444", "form_id": "555", "page_id": "1", "created_time": 1772355600}
        body = {"object": "page", "entry": [{"id": "1", "time": 1, "changes": [{"field": "leadgen", "value": value}]}]}
        (touchpoint,) = read("meta_leads", body).touchpoints
        assert (touchpoint["id"], touchpoint["name"], touchpoint["channel"]) == ("444", "Lead Captured", "social")
        assert touchpoint["identifiers"] == {"meta_lead": "444"}
        answers = [{"name": "email", "values": ["ada@example.com"]}, {"name": "full_name", "values": ["Ada Lovelace"]}]
        (touchpoint,) = read(
            "meta_leads", {"id": "444", "created_time": "2026-03-01T09:00:00+0000", "field_data": answers}
        ).touchpoints
        assert (touchpoint["id"], touchpoint["occurred_at"]) == ("444", "2026-03-01T09:00:00.000Z")
        assert touchpoint["identifiers"] == {"meta_lead": "444", "email": "ada@example.com"}
        assert touchpoint["traits"] == {"name": "Ada Lovelace"}
        other = {"entry": [{"changes": [{"field": "feed", "value": {}}]}]}
        assert list(read("meta_leads", other).ignored) == ["feed"]


class TestWritingOne:
    def test_events_conditions_headers_and_functions(self) -> None:
        mapping = compile_rules(
            {
                "when": "event.type == 'sale' && headers.\"x-shop\" == 'north'",
                "name": "Order Completed",
                "id": "join('-', [headers.\"x-shop\", to_string(event.no)])",
                "occurred_at": "event.at",
                "identifiers": {"email": "lower(trim(event.mail))", "card": "split(event.ids, ';')[1]"},
                "properties": {
                    "order_id": "to_string(event.no)",
                    "total": "minor(event.cents, event.currency)",
                    "tax": "decimal(event.tax)",
                    "exact": "event.exact",
                    "currency": "upper(event.currency)",
                    "store": "lookup(body.stores, event.store)",
                    "first": "parse_json(event.more).a",
                },
                "traits": {"plan": "'gold'"},
            },
            events="body.events",
            topic="event.type",
            headers=["X-Shop"],
        )
        body = (
            b'{"stores": {"7": "Berlin"}, "events": [{"type": "sale", "no": 5, "at": 1772355600123, "mail": " Ada@Example.com ",'
            b'"ids": "a;b", "cents": 1999, "currency": "eur", "tax": "3.10", "exact": 0.10, "store": 7, "more": "{\\"a\\": 1}"},'
            b'{"type": "visit"}]}'
        )
        reading = apply(mapping, body, x_shop="north")
        (touchpoint,) = reading.touchpoints
        assert touchpoint == {
            "id": "north-5",
            "kind": "track",
            "name": "Order Completed",
            "channel": None,
            "group_id": None,
            "occurred_at": "2026-03-01T09:00:00.123Z",
            "identifiers": {"email": "ada@example.com", "card": "b"},
            "properties": {
                "order_id": "5",
                "total": Decimal("19.99"),
                "tax": Decimal("3.10"),
                "exact": Decimal("0.10"),
                "currency": "EUR",
                "store": "Berlin",
                "first": 1,
            },
            "traits": {"plan": "gold"},
            "context": {},
        }
        assert b'"tax":3.10' in encode(touchpoint)
        assert list(reading.ignored) == ["visit"]
        assert list(apply(mapping, body, x_shop="south").ignored) == ["sale", "visit"]

    def test_an_event_may_become_several_touchpoints_with_ids_of_their_own(self) -> None:
        rule = {"name": "A", "id": "event.id", "identifiers": {"email": "event.mail"}}
        reading = apply(compile_rules(rule, {**rule, "name": "B"}), b'{"id": "1", "mail": "a@example.com"}')
        assert [one["id"] for one in reading.touchpoints] == ["1:0", "1:1"]

    def test_without_an_id_the_event_itself_is_one(self) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": "event.mail"}}, events="body")
        first, second, third = (
            apply(mapping, body).touchpoints for body in (b'[{"mail":"a"},{"mail":"b"}]', b'[{"mail":"b"}]', b'{"mail":"a"}')
        )
        assert first[1]["id"] == second[0]["id"]
        assert len({one["id"] for one in (*first, *third)}) == 3

    @pytest.mark.parametrize(
        ("document", "place"),
        [
            ({}, "#/mapping"),
            ({"signature": {"scheme": "none"}, "touchpoints": []}, "#/mapping"),
            ({"signature": SIGNATURE, "touchpoints": []}, "#/mapping/touchpoints"),
            ({"signature": SIGNATURE, "touchpoints": [{"identifiers": {"email": "a"}}]}, "#/mapping/touchpoints/0/name"),
            ({"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {}}]}, "#/mapping/touchpoints/0/identifiers"),
            (
                {"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {"email": "a b"}}]},
                "#/mapping/touchpoints/0/identifiers/email",
            ),
            (
                {"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {"email": "a"}}], "events": ""},
                "#/mapping/events",
            ),
            (
                {"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {"email": "a" * 3000}}]},
                "#/mapping/touchpoints/0/identifiers/email",
            ),
            (
                {"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {"email": "a"}}], "headers": ["a b"]},
                "#/mapping/headers/0",
            ),
        ],
    )
    def test_what_is_wrong_with_one_is_told_by_its_place(self, document: dict[str, Any], place: str) -> None:
        errors = compile_mapping(document)
        assert isinstance(errors, list)
        assert place in [error.pointer for error in errors]

    @pytest.mark.parametrize("expression", ["length(event.mail)", "sum(event.mail)", "nothing_of_that_name(@)", "&event"])
    def test_one_that_cannot_be_applied_refuses_the_body(self, expression: str) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": expression}})
        assert isinstance(mapping.read(Delivery(b'{"mail": 5}')), Refusal)

    def test_one_that_multiplies_what_it_sees_is_stopped(self) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": " | ".join(["[@, @, @, @]"] * 40)}})
        assert isinstance(mapping.read(Delivery(b"{}")), Refusal)

    @pytest.mark.parametrize(
        "expression",
        [
            "length([@,@] | " + " | ".join(["[@,@][]"] * 28) + ")",
            "to_string(" + " | ".join(["[@,@]"] * 28) + ")",
            "(" + " | ".join(["[@,@]"] * 28) + ") == (" + " | ".join(["[@,@]"] * 28) + ")",
            "contains([" + " | ".join(["[@,@]"] * 28) + "], " + " | ".join(["[@,@]"] * 28) + ")",
            "join(event.u, body.l)",
            "length(to_string([body.l, body.l, body.l, body.l, body.l] | [@, @, @, @, @][] | [@, @, @, @, @]))",
            "body.l[*].[@, @, @, @, @] | length(@)",
            "length(body.l | map(&[@, @, @, @, @], @))",
            "sort_by(body.l, &join('', [@, @, @, @, @]))",
            "[event.u, event.u, event.u, event.u, event.u, event.u, event.u] | map(&upper(@), @)",
        ],
    )
    def test_one_that_costs_too_much_ends_at_once_with_a_refusal(self, expression: str) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": "event.mail"}, "properties": {"much": expression}})
        body = json.dumps({"mail": "a@b.c", "u": "x" * 300_000, "l": ["y"] * 5000}).encode()
        started = process_time()
        assert mapping.read(Delivery(body)) == Refusal(Reason.INVALID, "the mapping can't be applied: BudgetExceeded")
        assert process_time() - started < 2

    def test_events_that_are_much_larger_written_out_are_refused(self) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": "'a@b.c'"}}, events=" | ".join(["[@,@]"] * 28))
        assert isinstance(mapping.read(Delivery(b"{}")), Refusal)

    @pytest.mark.parametrize("expression", ["[" * 70 + "@" + "]" * 70, " | ".join(["@"] * 80), "[" + ",".join(["@"] * 500) + "]"])
    def test_one_too_deep_or_of_too_many_parts_is_none(self, expression: str) -> None:
        errors = compile_mapping({"signature": SIGNATURE, "touchpoints": [{"name": "A", "identifiers": {"email": expression}}]})
        assert isinstance(errors, list)
        assert "an expression " in errors[0].detail

    def test_a_large_body_is_within_the_budget(self) -> None:
        mapping = compile_rules(
            {"name": "A", "identifiers": {"email": "mail"}, "properties": {"all": "length(to_string(body))"}},
            events="body.l[?kind == 'a'][] | [:3]",
        )
        body = json.dumps({"l": [{"kind": "a", "note": "x" * 300}] * 3000}).encode()
        (one, *_) = apply(mapping, body).touchpoints
        assert one["properties"]["all"] > 900_000

    def test_one_of_ones_own_goes_before_one_that_came_along_and_never_before_an_adapter(self) -> None:
        mapping = compile_rules({"name": "A", "identifiers": {"email": "event.mail"}})
        own, adapter = find_provider("delighted", mapping), find_provider("stripe", mapping)
        assert own is not None
        assert adapter is not None
        assert own.read == mapping.read
        assert adapter.read != mapping.read
        assert find_provider("unheard_of", None) is None
