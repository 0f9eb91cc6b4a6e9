"""Thirteen mail providers' events become what a public corpus expects of them, and touchpoints that say the same."""

import ast
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.domain.webhooks.mail import TOUCHPOINTS, MailEvent, ReadEvents
from services.ingest.domain.webhooks.mail_mailgun import read_mailgun
from services.ingest.domain.webhooks.mail_signed import (
    read_mailersend,
    read_mailtrap,
    read_mandrill,
    read_postal,
    read_resend,
    read_sendgrid,
    read_unisender_go,
)
from services.ingest.domain.webhooks.mail_unsigned import (
    read_brevo,
    read_mailjet,
    read_postmark,
    read_ses_event,
    read_sparkpost,
)
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import as_object
from tests.support.webhooks import encode_form

READERS: dict[str, ReadEvents] = {
    "amazon_ses": lambda payload, _: read_ses_event(
        as_object(payload), as_object(json.loads(str(as_object(payload)["Message"])))
    ),
    "brevo": read_brevo,
    "mailersend": read_mailersend,
    "mailgun": read_mailgun,
    "mailjet": read_mailjet,
    "mailtrap": read_mailtrap,
    "mandrill": read_mandrill,
    "postal": read_postal,
    "postmark": read_postmark,
    "resend": read_resend,
    "sendgrid": read_sendgrid,
    "sparkpost": read_sparkpost,
    "unisender_go": read_unisender_go,
}
CASES = {
    "amazon_ses": 10,
    "brevo": 16,
    "mailersend": 8,
    "mailgun": 20,
    "mailjet": 9,
    "mailtrap": 9,
    "mandrill": 5,
    "postal": 6,
    "postmark": 9,
    "resend": 8,
    "sendgrid": 10,
    "sparkpost": 14,
    "unisender_go": 10,
}
OTHERWISE: dict[tuple[str, str], str] = {
    # The corpus' library can be told to count first opens apart; we always count them.
    ("sparkpost", "SparkPostDeliveryTestCase.test_initial_open_event_as_unknown"): "opened",
}


def read_instant(expression: str) -> datetime:
    """`datetime(...)` and `datetime.fromtimestamp(...)` as the corpus writes them, without running them."""
    call = ast.parse(expression, mode="eval").body
    assert isinstance(call, ast.Call)
    if isinstance(call.func, ast.Attribute):
        return datetime.fromtimestamp(ast.literal_eval(call.args[0]), UTC)
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    zone: Any = UTC
    if isinstance(named["tzinfo"], ast.Call):
        offset = ast.unparse(named["tzinfo"].args[0]).split("*")
        zone = timezone(timedelta(minutes=int(offset[0]) * int(offset[1])))
    numbers = [ast.literal_eval(argument) for argument in call.args]
    micros = ast.literal_eval(named["microsecond"]) if "microsecond" in named else 0
    return datetime(*numbers, microsecond=micros, tzinfo=zone).astimezone(UTC)


def build_delivery(provider: str, case: dict[str, Any]) -> Delivery:
    """The corpus holds the event; what its tests put around it is put around it here."""
    payload, expected = case["payload"], case["expected_event"]
    raw = next(
        payload[name]
        for name in ("raw_event", "raw_events", "raw_ses_event", "raw_sns_message", "data", "payload")
        if name in payload
    )
    if provider == "amazon_ses" and "raw_ses_event" in payload:
        stated = expected.get("timestamp", {}).get("$expr")
        time = read_instant(stated).isoformat().replace("+00:00", "Z") if stated else None
        raw = {"Type": "Notification", "MessageId": expected.get("event_id"), "Timestamp": time, "Message": json.dumps(raw)}
    if provider == "mandrill":
        return Delivery(encode_form({"mandrill_events": json.dumps(raw)}))
    if "Legacy" in case["test"]:
        if "metadata" in payload:
            raw = {**raw, "message-headers": json.dumps([["X-Mailgun-Variables", json.dumps(payload["metadata"])]])}
        return Delivery(encode_form(raw))
    headers = {"svix-id": "msg_2W2D3qXLS5fOaPja1GDg7rF2CwB"} if provider == "resend" else {}
    return Delivery(json.dumps(raw).encode(), headers)


def compare(event: MailEvent, expected: dict[str, Any], payload: dict[str, Any], changed: str | None) -> None:
    for name, value in expected.items():
        if name == "esp_event":
            continue
        actual = getattr(event, name)
        wanted = value
        if isinstance(value, dict) and "$expr" in value:
            wanted = payload["metadata"] if value["$expr"] == "metadata" else read_instant(value["$expr"])
        if name == "event_type" and changed is not None:
            wanted = changed
        if name == "metadata":
            wanted = wanted or {}
        if name == "message_id" and wanted is not None:
            wanted = str(wanted)
        assert actual == wanted, name


def check_touchpoint(event: MailEvent, reading: Reading) -> None:
    """The touchpoint names the recipient and the mail; what is no touchpoint is ignored by name."""
    name = TOUCHPOINTS.get(event.event_type)
    if name is None:
        assert event.name in reading.ignored
        return
    touchpoint = reading.touchpoints[-1]
    assert touchpoint["name"] == name
    assert touchpoint["channel"] == "email"
    assert touchpoint["identifiers"].get("email") == event.recipient
    assert touchpoint["properties"].get("email_id") == event.message_id
    assert touchpoint["properties"].get("link_url") == event.click_url
    assert (touchpoint["occurred_at"] is None) == (event.timestamp is None)


@pytest.mark.parametrize("provider", sorted(READERS))
def test_every_event_of_the_corpus_is_read_as_expected(provider: str, shared_data: Path) -> None:
    cases = json.loads((shared_data / f"webhooks/email_anymail/{provider}.json").read_text())
    checked = 0
    for case in cases:
        delivery, expected = build_delivery(provider, case), case["expected_event"]
        payload = read_payload(delivery.body)
        assert not isinstance(payload, Refusal), case["test"]
        events = list(READERS[provider](payload, delivery))
        reading = ADAPTERS[provider].read(delivery)
        assert isinstance(reading, Reading)
        assert len(reading.touchpoints) + len(reading.ignored) == len(events)
        if expected:
            compare(events[-1], expected, case["payload"], OTHERWISE.get((provider, case["test"])))
            check_touchpoint(events[-1], reading)
        checked += 1
    assert checked == CASES[provider]
