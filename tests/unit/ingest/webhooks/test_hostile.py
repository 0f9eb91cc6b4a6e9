"""Whatever comes: no adapter raises, what it makes can be judged, and the proofs only say yes or no."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.catalogue import ADAPTERS, MAPPED
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.handlers.take_webhooks import judge
from tests.support.intake import NOW, SERVER, World
from tests.support.webhooks import SECRET

PROVIDERS = {**ADAPTERS, **MAPPED}
INTAKE = World().intake
KEYS = sorted(
    [
        "id",
        "type",
        "event",
        "topic",
        "data",
        "object",
        "item",
        "email",
        "msg",
        "msys",
        "message_event",
        "payload",
        "message",
        "events",
        "detail",
        "event-data",
        "recipient",
        "timestamp",
        "created",
        "occurred_at",
        "amount",
        "amount_refunded",
        "currency",
        "total",
        "total_price",
        "line_items",
        "refunds",
        "refund_line_items",
        "transactions",
        "status",
        "customer",
        "billing",
        "answers",
        "field",
        "form_response",
        "hidden",
        "definition",
        "response",
        "user",
        "rating",
        "Message",
        "Type",
        "SubscribeURL",
        "mail",
        "bounce",
        "bouncedRecipients",
        "destination",
        "headers",
        "name",
        "value",
        "tags",
        "metadata",
        "source",
        "author",
        "contacts",
        "conversation_parts",
        "requester_id",
        "events_by_user",
        "event_data",
        "delivery_info",
        "mode",
        "payment_status",
        "previous_attributes",
        "charges",
        "plan",
        "items",
        "price",
        "entry",
        "changes",
        "leadgen_id",
        "field_data",
        "event_type",
        "event_data",
        "person",
        "score",
        "MessageSid",
        "CallSid",
        "mandrill_events",
        "signature",
        "token",
        "auth",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *(
                "orders/create",
                "charge.refunded",
                "Bounce",
                "failed",
                "checkout.session.completed",
                "zen:event-type:ticket.created",
            ),
            *("contact.lead.created", "form_response", "survey_response.created", "completed", "leadgen", "payment", "paid"),
            *("Notification", '{"event": "open"}', '[{"event": "send", "msg": 5}]', "2026-01-01T00:00:00Z", "9" * 40, "1e400"),
            *("NaN", "\x00"),
        ]
    )
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(KEYS), st.text(max_size=20), max_size=5).map(
        lambda fields: "&".join(f"{name}={value}" for name, value in fields.items()).encode("utf-8", "replace")
    )
)
TOPICS = st.sampled_from(
    [
        "orders/create",
        "refunds/create",
        "customers/create",
        "checkouts/create",
        "order.created",
        "order.updated",
        "customer.created",
        "x",
    ]
)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@given(body=BODIES, topic=TOPICS)
def test_any_body_to_any_adapter_is_read_or_refused_and_what_is_read_can_be_judged(name: str, body: bytes, topic: str) -> None:
    headers = {"x-shopify-topic": topic, "x-wc-webhook-topic": topic, "svix-id": "m"}
    reading = PROVIDERS[name].read(Delivery(body, headers))
    assert isinstance(reading, Reading | Refusal)
    if isinstance(reading, Reading):
        receipt = judge(INTAKE, Arrival(SERVER, f"/v1/webhooks/{name}/shop", NOW), reading.touchpoints, body)
        assert len(receipt.accepted) + len(receipt.rejected) == len(reading.touchpoints)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@given(body=BODIES, header=st.text(max_size=30))
def test_any_proof_of_any_body_is_one_or_is_none(name: str, body: bytes, header: str) -> None:
    names = [
        "authorization",
        "stripe-signature",
        "svix-id",
        "svix-timestamp",
        "svix-signature",
        "x-postal-signature",
        "signature",
    ]
    provider = PROVIDERS[name]
    headers = dict.fromkeys([*names, "x-twilio-email-event-webhook-signature", "x-zendesk-webhook-signature-timestamp"], header)
    delivery = Delivery(body, headers, ("https://x.example/é",), {"token": header}, certificate=body)
    assert provider.scheme.verify(delivery, [SECRET, "é\ud800"], NOW) in (True, False)
    assert provider.is_greeting(delivery) in (True, False)
    if provider.find_certificate is not None:
        assert provider.find_certificate(delivery, [SECRET]) is None
