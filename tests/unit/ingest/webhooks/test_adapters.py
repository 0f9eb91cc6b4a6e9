"""WooCommerce, Intercom, Typeform and mail: what becomes of what they send."""

import json
from decimal import Decimal
from typing import Any

import pytest

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint
from services.ingest.domain.webhooks.payloads import read_payload
from tests.support.webhooks import encode_form, make_sns


def read(provider: str, body: Any, **headers: str) -> Reading:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reading = ADAPTERS[provider].read(Delivery(data, {name.replace("_", "-"): value for name, value in headers.items()}))
    assert isinstance(reading, Reading), reading
    return reading


def read_one(provider: str, body: Any, **headers: str) -> Touchpoint:
    (touchpoint,) = read(provider, body, **headers).touchpoints
    return touchpoint


WOO_ORDER = {
    "id": 727,
    "number": "727",
    "status": "processing",
    "currency": "USD",
    "date_created_gmt": "2026-03-22T19:28:02",
    "date_modified_gmt": "2026-03-22T19:30:08",
    "discount_total": "0.00",
    "shipping_total": "10.00",
    "total": "29.35",
    "total_tax": "1.35",
    "customer_id": 26,
    "payment_method": "bacs",
    "billing": {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "phone": "(555) 555-5555"},
    "line_items": [
        {"product_id": 93, "variation_id": 0, "name": "Woo", "quantity": 2, "sku": "w", "price": 3, "total": "6.00"},
        {"product_id": 22, "variation_id": 23, "name": "Ship", "quantity": 1, "sku": "Bar3", "price": 12, "total": "12.00"},
    ],
    "coupon_lines": [],
    "refunds": [],
}


class TestWooCommerce:
    def read(self, topic: str, **changes: Any) -> Reading:
        return read("woocommerce", {**WOO_ORDER, **changes}, x_wc_webhook_topic=topic, x_wc_webhook_delivery_id="d1")

    def test_a_new_order(self) -> None:
        assert list(self.read("order.created").touchpoints) == [
            {
                "id": "d1",
                "name": "Order Completed",
                "occurred_at": "2026-03-22T19:28:02.000Z",
                "identifiers": {"woocommerce_customer": "26", "email": "ada@example.com", "phone": "(555) 555-5555"},
                "properties": {
                    "order_id": "727",
                    "order_number": "727",
                    "status": "processing",
                    "currency": "USD",
                    "total": Decimal("29.35"),
                    "tax": Decimal("1.35"),
                    "shipping": Decimal("10.00"),
                    "discount": Decimal("0.00"),
                    "payment_method": "bacs",
                    "products": [
                        {"product_id": "93", "sku": "w", "name": "Woo", "price": 3, "quantity": 2},
                        {"product_id": "22", "variant": "23", "sku": "Bar3", "name": "Ship", "price": 12, "quantity": 1},
                    ],
                },
            }
        ]

    @pytest.mark.parametrize("status", ["pending", "failed", "checkout-draft"])
    def test_an_order_that_is_not_paid_is_none_yet(self, status: str) -> None:
        reading = self.read("order.created", status=status)
        assert (list(reading.touchpoints), list(reading.ignored)) == ([], [f"order.created:{status}"])

    def test_a_cancelled_order(self) -> None:
        (touchpoint,) = self.read("order.updated", status="cancelled").touchpoints
        assert (touchpoint["name"], touchpoint["occurred_at"]) == ("Order Cancelled", "2026-03-22T19:30:08.000Z")

    def test_refunds_stand_in_the_order_and_are_the_same_in_each_delivery(self) -> None:
        refunds = [{"id": 1, "reason": "broken", "total": "-5.00"}, {"id": 2, "reason": "", "total": "-1.50"}]
        order, first, second = self.read("order.updated", refunds=refunds).touchpoints
        assert order["name"] == "Order Updated"
        assert first["properties"] == {
            "refund_id": "1",
            "order_id": "727",
            "currency": "USD",
            "total": Decimal("5.00"),
            "reason": "broken",
        }
        assert (second["properties"]["refund_id"], second["properties"]["total"]) == ("2", Decimal("1.50"))
        later = self.read("order.updated", refunds=refunds, status="refunded").touchpoints
        assert [first["id"], second["id"]] == [later[1]["id"], later[2]["id"]] == ["refund:727:1", "refund:727:2"]

    def test_a_guest_has_no_number(self) -> None:
        assert "woocommerce_customer" not in self.read("order.created", customer_id=0).touchpoints[0]["identifiers"]

    def test_a_customer(self) -> None:
        customer = {"id": 25, "email": "ada@example.com", "first_name": "Ada", "billing": {"city": "Berlin", "country": "DE"}}
        touchpoint = read_one("woocommerce", customer, x_wc_webhook_topic="customer.created", x_wc_webhook_delivery_id="d2")
        assert (touchpoint["kind"], touchpoint["identifiers"]) == (
            "identify",
            {"woocommerce_customer": "25", "email": "ada@example.com"},
        )
        assert touchpoint["traits"] == {"first_name": "Ada", "address": {"city": "Berlin", "country": "DE"}}

    def test_what_means_nothing_is_ignored_by_name(self) -> None:
        assert list(self.read("coupon.created").ignored) == ["coupon.created"]
        assert list(read("woocommerce", {"id": 1}).ignored) == ["no topic"]


def make_conversation(topic: str, **changes: Any) -> dict[str, Any]:
    item = {
        "type": "conversation",
        "id": "147",
        "state": "open",
        "priority": "not_priority",
        "admin_assignee_id": 814860,
        "source": {
            "subject": "<p>Where is it?</p>",
            "body": "<p>My order &amp; me<br>wait</p>",
            "delivered_as": "customer_initiated",
            "author": {"type": "user", "id": "c1", "email": "ada@example.com", "name": "Ada"},
        },
        "contacts": {"contacts": [{"type": "contact", "id": "c1", "external_id": "u1"}]},
        **changes,
    }
    return {"type": "notification_event", "id": "notif_1", "topic": topic, "created_at": 1772355600, "data": {"item": item}}


class TestIntercom:
    def test_a_conversation_is_a_ticket(self) -> None:
        assert read_one("intercom", make_conversation("conversation.user.created")) == {
            "id": "notif_1",
            "name": "Support Ticket Opened",
            "channel": "support",
            "occurred_at": "2026-03-01T09:00:00.000Z",
            "identifiers": {"user_id": "u1", "intercom_contact": "c1", "email": "ada@example.com"},
            "properties": {
                "ticket_id": "147",
                "subject": "Where is it?",
                "body": "My order & me\nwait",
                "priority": "not_priority",
                "status": "open",
                "agent": "814860",
                "via": "customer_initiated",
            },
        }

    @pytest.mark.parametrize(
        ("topic", "state", "name"),
        [
            ("conversation.user.replied", "open", "Support Ticket Updated"),
            ("conversation.admin.replied", "open", "Support Ticket Updated"),
            ("conversation.admin.replied", "closed", "Support Ticket Solved"),
            ("conversation.admin.closed", "closed", "Support Ticket Solved"),
            ("conversation.admin.opened", "open", "Support Ticket Reopened"),
        ],
    )
    def test_what_becomes_of_it(self, topic: str, state: str, name: str) -> None:
        assert read_one("intercom", make_conversation(topic, state=state))["name"] == name

    def test_the_latest_reply_is_the_body_and_staff_is_nobodys_identifier(self) -> None:
        parts = {"conversation_parts": [{"body": "<p>soon</p>", "author": {"type": "admin", "id": "1"}}]}
        author = {"type": "admin", "id": "1", "email": "staff@example.com"}
        item = make_conversation("conversation.admin.replied", conversation_parts=parts, source={"author": author})
        touchpoint = read_one("intercom", item)
        assert touchpoint["properties"]["body"] == "soon"
        assert touchpoint["identifiers"] == {"user_id": "u1", "intercom_contact": "c1"}

    def test_a_rating_is_an_answered_survey(self) -> None:
        rating = {"rating": 5, "remark": "fast", "teammate": {"id": 9}}
        touchpoint = read_one("intercom", make_conversation("conversation.rating.added", conversation_rating=rating))
        assert touchpoint["name"] == "Survey Answered"
        assert touchpoint["properties"] == {
            "survey_type": "csat",
            "survey_id": "intercom_conversation_rating",
            "score": 5,
            "comment": "fast",
            "ticket_id": "147",
            "agent": "9",
        }

    def test_contacts_leads_and_withdrawals(self) -> None:
        contact = {"id": "c1", "role": "user", "external_id": "u1", "email": "a@example.com", "name": "Ada"}
        event = {"id": "n", "created_at": 1, "topic": "contact.user.created", "data": {"item": contact}}
        assert read_one("intercom", event)["traits"] == {"name": "Ada"}
        assert read_one("intercom", {**event, "topic": "contact.unsubscribed"})["name"] == "Unsubscribed"
        lead = {**event, "topic": "contact.lead.created", "data": {"item": {**contact, "role": "lead"}}}
        touchpoint = read_one("intercom", lead)
        assert (touchpoint["name"], touchpoint["properties"]) == ("Lead Captured", {"lead_source": "intercom"})
        assert touchpoint["identifiers"] == {"intercom_contact": "c1", "email": "a@example.com"}

    def test_a_ping_is_ignored(self) -> None:
        assert list(read("intercom", {"topic": "ping", "data": {}}).ignored) == ["ping"]


def test_a_typeform_response_is_an_answered_survey() -> None:
    fields = [
        {"id": "f1", "title": "Recommend us?", "type": "nps", "ref": "nps"},
        {"id": "f2", "title": "Why?", "type": "long_text"},
    ]
    answers = [
        {"type": "number", "number": 9, "field": {"id": "f1", "type": "nps", "ref": "nps"}},
        {"type": "text", "text": "nice", "field": {"id": "f2", "type": "long_text"}},
        {"type": "email", "email": "ada@example.com", "field": {"id": "f3", "type": "email", "ref": "mail"}},
        {"type": "choice", "choice": {"label": "Berlin"}, "field": {"id": "f4", "type": "multiple_choice", "ref": "city"}},
    ]
    body = {
        "event_id": "LtWXD3crgy",
        "event_type": "form_response",
        "form_response": {
            "form_id": "lT4Z3j",
            "token": "a3a12ec67a1365927098a606107fac15",
            "submitted_at": "2026-01-18T18:17:02Z",
            "hidden": {"user_id": "u1", "campaign": "spring"},
            "definition": {"id": "lT4Z3j", "title": "How are we?", "fields": fields},
            "answers": answers,
        },
    }
    assert read_one("typeform", body) == {
        "id": "LtWXD3crgy",
        "name": "Survey Answered",
        "occurred_at": "2026-01-18T18:17:02.000Z",
        "identifiers": {"user_id": "u1", "email": "ada@example.com"},
        "properties": {
            "survey_type": "nps",
            "survey_id": "lT4Z3j",
            "survey_name": "How are we?",
            "response_id": "a3a12ec67a1365927098a606107fac15",
            "score": 9,
            "comment": "nice",
            "answers": {"nps": 9, "Why?": "nice", "mail": "ada@example.com", "city": "Berlin"},
            "hidden": {"campaign": "spring"},
        },
    }
    assert list(read("typeform", {"event_type": "form_response_partial"}).ignored) == ["form_response_partial"]


class TestMail:
    def test_a_click_says_who_which_mail_and_where_to(self) -> None:
        event = {
            "email": "ada@example.com",
            "timestamp": 1772355600,
            "smtp-id": "<m1@example.com>",
            "event": "click",
            "url": "https://shop.example/a",
            "useragent": "Mozilla/5.0",
            "ip": "192.0.2.1",
            "sg_event_id": "e1",
            "category": "spring",
        }
        touchpoint = read_one("sendgrid", [event])
        assert {**touchpoint, "id": "…"} == {
            "id": "…",
            "name": "Email Link Clicked",
            "channel": "email",
            "occurred_at": "2026-03-01T09:00:00.000Z",
            "identifiers": {"email": "ada@example.com"},
            "properties": {"email_id": "<m1@example.com>", "link_url": "https://shop.example/a", "tags": ["spring"]},
            "context": {"userAgent": "Mozilla/5.0", "ip": "192.0.2.1"},
        }
        assert touchpoint["id"] == read_one("sendgrid", [event])["id"]
        assert touchpoint["id"] != read_one("sendgrid", [{**event, "sg_event_id": "e2"}])["id"]

    def test_mailguns_second_try_with_another_token_is_the_same_event(self) -> None:
        data = {"event": "opened", "id": "o1", "recipient": "ada@example.com", "timestamp": 1772355600.25}
        first, second = (
            read_one("mailgun", {"signature": {"token": token, "timestamp": "1"}, "event-data": data}) for token in ("a", "b")
        )
        assert first == second

    def test_a_bounce_of_several_people_is_a_touchpoint_of_each(self) -> None:
        bounced = [{"emailAddress": "a@example.com", "diagnosticCode": "550"}, {"emailAddress": "b@example.com"}]
        event = {
            "eventType": "Bounce",
            "mail": {"messageId": "m"},
            "bounce": {"bounceType": "Permanent", "bouncedRecipients": bounced},
        }
        first, second = read("amazon_ses", make_sns(event)).touchpoints
        assert (first["identifiers"], second["identifiers"]) == ({"email": "a@example.com"}, {"email": "b@example.com"})
        assert first["properties"] == {"email_id": "m", "reason": "bounced", "description": "Permanent", "mta_response": "550"}
        assert first["id"] != second["id"]

    def test_leaving_one_list_of_many_is_no_withdrawal(self) -> None:
        details = {"newTopicPreferences": {"unsubscribeAll": False}}
        event = {"eventType": "Subscription", "mail": {"destination": ["a@example.com"]}, "subscription": details}
        assert list(read("amazon_ses", make_sns(event)).ignored) == ["Subscription"]
        details["newTopicPreferences"]["unsubscribeAll"] = True
        assert read_one("amazon_ses", make_sns(event))["name"] == "Unsubscribed"

    def test_sns_is_confirmed_only_at_its_own_address(self) -> None:
        url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
        confirmation = make_sns({}, Type="SubscriptionConfirmation", SubscribeURL=url)
        assert read("amazon_ses", confirmation).confirm_url == url
        for other in ("http://169.254.169.254/latest", "https://evil.example/", None):
            refused = ADAPTERS["amazon_ses"].read(Delivery(json.dumps({**confirmation, "SubscribeURL": other}).encode()))
            assert isinstance(refused, Refusal)
        assert list(read("amazon_ses", make_sns({}, Type="UnsubscribeConfirmation")).ignored) == ["UnsubscribeConfirmation"]


class TestBodies:
    def test_a_multipart_form_is_read_and_its_files_are_not(self) -> None:
        body = (
            b'--xyz\r\nContent-Disposition: form-data; name="event"\r\n\r\nopened\r\n'
            b'--xyz\r\nContent-Disposition: form-data; name="tag"\r\n\r\na\r\n'
            b'--xyz\r\nContent-Disposition: form-data; name="tag"\r\n\r\nb\r\n'
            b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n\r\nsecret\r\n--xyz--\r\n'
        )
        assert read_payload(body) == {"event": "opened", "tag": ["a", "b"]}

    def test_numbers_keep_their_literal_and_odd_characters_are_replaced(self) -> None:
        assert read_payload(b'{"a": 1.10, "b": "x\\u0000", "c": NaN}') == {"a": Decimal("1.10"), "b": "x\ufffd", "c": None}
        assert read_payload(encode_form({"a": "1"})) == {"a": "1"}

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", Reason.NOT_JSON),
            (b"{", Reason.NOT_JSON),
            (b"plain text", Reason.NOT_JSON),
            (b"5", Reason.NOT_AN_OBJECT),
            (b'"a"', Reason.NOT_AN_OBJECT),
            (b"--", Reason.NOT_JSON),
            (b"--x\r\nnothing", Reason.NOT_JSON),
            (b"&".join([b"a=1"] * 3000), Reason.NOT_JSON),
            (b"[" * 500 + b"]" * 500, Reason.TOO_DEEP),
        ],
    )
    def test_what_cannot_be_read_is_refused_by_name(self, body: bytes, reason: Reason) -> None:
        refusal = read_payload(body)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason
