"""Public payloads of Shopify and Stripe, written by others: read without a loss, and their amounts to the last digit."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.handlers.take_webhooks import judge
from tests.support.intake import NOW, SERVER, World

STRIPE_TOUCHPOINTS = {
    "charge.refunded": "Order Refunded",
    "checkout.session.completed.payment_mode": "Order Completed",
    "customer.created": None,
    "customer.subscription.created": "Subscription Started",
    "customer.subscription.deleted": "Subscription Cancelled",
    "customer.subscription.updated": "Subscription Updated",
    "customer.updated": None,
    "invoice.payment_failed": "Payment Failed",
    "payment_intent.succeeded": "Order Completed",
}


def read(provider: str, body: bytes, **headers: str) -> Reading:
    reading = ADAPTERS[provider].read(Delivery(body, {name.replace("_", "-"): value for name, value in headers.items()}))
    assert isinstance(reading, Reading), reading
    return reading


def test_every_stripe_event_is_a_touchpoint_or_ignored_by_its_name(shared_data: Path) -> None:
    told: dict[str, Any] = {}
    reasons: Counter[str] = Counter()
    files = sorted((shared_data / "webhooks/stripe_events").glob("*.json"))
    for path in files:
        body = path.read_bytes()
        reading = read("stripe", body)
        if reading.ignored:
            assert list(reading.ignored) == [json.loads(body)["type"]]
            continue
        told[path.stem] = reading.touchpoints[0].get("name")
        receipt = judge(World().intake, Arrival(SERVER, "/v1/webhooks/stripe/shop", NOW), reading.touchpoints, body)
        reasons.update(rejected.reason for rejected in receipt.rejected)
    assert len(files) == 88
    assert {name: told.get(name, "nothing") for name in STRIPE_TOUCHPOINTS} == STRIPE_TOUCHPOINTS
    assert set(reasons) <= {"no_identifier"}, "test accounts have payments of nobody, and nothing else to refuse"


@pytest.mark.parametrize(
    ("file", "order_id", "total"),
    [("shopify_go/order.json", "123456", "10.00"), ("shopify_python_api/order.json", "450789469", "409.94")],
)
def test_shopifys_orders_are_orders(file: str, order_id: str, total: str, shared_data: Path) -> None:
    order = json.loads((shared_data / "webhooks" / file).read_text())
    body = json.dumps(order.get("order", order)).encode()
    reading = read("shopify", body, x_shopify_topic="orders/create", x_shopify_webhook_id="w1")
    (touchpoint,) = reading.touchpoints
    assert touchpoint["name"] == "Order Completed"
    assert touchpoint["properties"]["order_id"] == order_id
    assert touchpoint["properties"]["total"] == Decimal(total)
    world = World()
    receipt = judge(world.intake, Arrival(SERVER, "/v1/webhooks/shopify/shop", NOW), reading.touchpoints, body)
    assert (len(receipt.accepted), receipt.rejected) == (1, [])


def test_shopifys_refund_is_a_refund_of_its_order(shared_data: Path) -> None:
    refund = json.loads((shared_data / "webhooks/shopify_python_api/refund.json").read_text())["refund"]
    (touchpoint,) = read("shopify", json.dumps(refund).encode(), x_shopify_topic="refunds/create").touchpoints
    assert touchpoint["name"] == "Order Refunded"
    assert touchpoint["identifiers"] == {"shopify_order": touchpoint["properties"]["order_id"]}
    paid_back = [
        Decimal(one["amount"]) for one in refund["transactions"] if one["kind"] == "refund" and one["status"] == "success"
    ]
    assert touchpoint["properties"]["total"] == sum(paid_back, Decimal(0))
