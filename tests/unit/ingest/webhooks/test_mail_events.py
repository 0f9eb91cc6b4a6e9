"""One event of each mail provider, of our own, and the touchpoint it is."""

import json
from typing import Any

import pytest

from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from tests.support.webhooks import encode_form, make_sns

ADA = "ada@example.com"
AT = 1772355600
TIME = "2026-03-01T09:00:00Z"
URL = "https://shop.example/spring"

SES = {
    "eventType": "Click",
    "mail": {"messageId": "m1", "destination": [ADA]},
    "click": {"link": URL, "timestamp": TIME, "userAgent": "UA"},
}
EVENTS: list[tuple[str, Any, str]] = [
    ("brevo", {"event": "click", "email": ADA, "ts_epoch": AT * 1000, "message-id": "m1", "link": URL}, "Email Link Clicked"),
    ("brevo", {"event": "hard_bounce", "email": ADA, "ts_epoch": AT * 1000, "message-id": "m1"}, "Email Bounced"),
    (
        "mailersend",
        {
            "type": "activity.opened",
            "data": {
                "id": "a1",
                "type": "opened",
                "created_at": TIME,
                "email": {"message": {"id": "m1"}, "recipient": {"email": ADA}},
            },
        },
        "Email Opened",
    ),
    (
        "mailgun",
        {
            "event-data": {
                "event": "unsubscribed",
                "timestamp": AT,
                "recipient": ADA,
                "message": {"headers": {"message-id": "m1"}},
            }
        },
        "Unsubscribed",
    ),
    ("mailjet", [{"event": "sent", "time": AT, "MessageID": "m1", "email": ADA}], "Email Delivered"),
    ("mailjet", {"event": "spam", "time": AT, "MessageID": "m1", "email": ADA}, "Email Marked as Spam"),
    ("mailtrap", {"events": [{"event": "delivery", "timestamp": AT, "message_id": "m1", "email": ADA}]}, "Email Delivered"),
    (
        "postal",
        {"event": "MessageSent", "timestamp": AT, "uuid": "u", "payload": {"message": {"id": "m1", "to": ADA}}},
        "Email Delivered",
    ),
    ("postmark", {"RecordType": "Open", "MessageID": "m1", "ReceivedAt": TIME, "Recipient": ADA}, "Email Opened"),
    (
        "postmark",
        {"RecordType": "Bounce", "Type": "ManuallyDeactivated", "MessageID": "m1", "BouncedAt": TIME, "Email": ADA},
        "Email Dropped",
    ),
    (
        "postmark",
        {"RecordType": "SubscriptionChange", "SuppressSending": False, "MessageID": "m1", "ChangedAt": TIME, "Recipient": ADA},
        "Email Subscribed",
    ),
    ("resend", {"type": "email.sent", "created_at": TIME, "data": {"email_id": "m1", "to": [f"Ada <{ADA}>"]}}, "Email Sent"),
    ("sendgrid", [{"event": "dropped", "reason": "Invalid", "timestamp": AT, "smtp-id": "m1", "email": ADA}], "Email Dropped"),
    (
        "sparkpost",
        [{"msys": {"message_event": {"type": "delivery", "timestamp": str(AT), "transmission_id": "m1", "rcpt_to": ADA}}}],
        "Email Delivered",
    ),
    (
        "unisender_go",
        {
            "events_by_user": [
                {
                    "events": [
                        {
                            "event_name": "transactional_email_status",
                            "event_data": {"status": "spam", "job_id": "m1", "email": ADA, "event_time": "2026-03-01 09:00:00"},
                        }
                    ]
                }
            ]
        },
        "Email Marked as Spam",
    ),
    ("amazon_ses", make_sns(SES, Timestamp=TIME), "Email Link Clicked"),
]


def read(provider: str, body: Any) -> Reading:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reading = ADAPTERS[provider].read(Delivery(data))
    assert isinstance(reading, Reading)
    return reading


@pytest.mark.parametrize(("provider", "body", "name"), EVENTS)
def test_an_event_is_a_touchpoint_of_its_recipient(provider: str, body: Any, name: str) -> None:
    (touchpoint,) = read(provider, body).touchpoints
    assert (touchpoint["name"], touchpoint["channel"]) == (name, "email")
    assert touchpoint["identifiers"] == {"email": ADA}
    assert touchpoint["occurred_at"] == "2026-03-01T09:00:00.000Z"
    assert touchpoint["properties"]["email_id"].strip("<>") == "m1"
    assert touchpoint == read(provider, body).touchpoints[0]
    if name == "Email Link Clicked":
        assert touchpoint["properties"]["link_url"] == URL


def test_mandrills_form_holds_many() -> None:
    events = [
        {"event": kind, "ts": AT, "_id": "m1", "msg": {"email": ADA, "_id": "m1"}} for kind in ("open", "unsub", "deferral")
    ]
    reading = read("mandrill", encode_form({"mandrill_events": json.dumps(events)}))
    assert [touchpoint["name"] for touchpoint in reading.touchpoints] == ["Email Opened", "Unsubscribed"]
    assert len({touchpoint["id"] for touchpoint in reading.touchpoints}) == 2
    assert list(reading.ignored) == ["deferral"]


@pytest.mark.parametrize(
    ("provider", "body", "topic"),
    [
        ("mailgun", {"event-data": {"event": "failed", "severity": "temporary", "recipient": ADA}}, "failed"),
        ("sendgrid", [{"event": "processed", "email": ADA}], "processed"),
        ("postal", {"event": "MessageSent", "payload": {"message": {"direction": "incoming"}}}, "MessageSent:incoming"),
        ("postmark", {"RecordType": "Inbound"}, "Inbound"),
        ("resend", {"type": "contact.created"}, "contact.created"),
    ],
)
def test_what_says_nothing_of_a_customer_is_ignored_by_name(provider: str, body: Any, topic: str) -> None:
    assert (list(read(provider, body).touchpoints), list(read(provider, body).ignored)) == ([], [topic])
