"""WooCommerce: orders with their refunds, and customers. The topic stands in a header; what an order is, its status says."""

import re
from typing import Final

from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint, hash_body, name_message
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import (
    Object,
    as_amount,
    as_list,
    as_object,
    as_text,
    compact,
    first,
    format_instant,
    negate,
    pick,
)

HEADERS: Final = ("x-wc-webhook-topic", "x-wc-webhook-delivery-id")

_UNPAID: Final = frozenset({"pending", "failed", "checkout-draft", "auto-draft", "trash"})
_PING: Final = re.compile(rb"webhook_id=\d{1,20}")


def is_ping(delivery: Delivery) -> bool:
    """What a shop sends, unsigned, when its webhook is saved."""
    return _PING.fullmatch(delivery.body.strip()) is not None


def read_woocommerce(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    body, topic = as_object(payload), delivery.headers.get("x-wc-webhook-topic", "").lower()
    delivery_id = delivery.headers.get("x-wc-webhook-delivery-id") or hash_body(delivery.body)
    if topic in ("order.created", "order.updated"):
        touchpoints = _read_order(topic, body, delivery_id)
    elif topic in ("customer.created", "customer.updated"):
        touchpoints = [_read_customer(body, delivery_id)]
    else:
        touchpoints = []
    return Reading(touchpoints, [] if touchpoints else [_name_ignored(topic, body)])


def _name_ignored(topic: str, body: Object) -> str:
    status = as_text(body.get("status"))
    return f"{topic}:{status}" if topic.startswith("order.") and status in _UNPAID else topic or "no topic"


def _read_order(topic: str, order: Object, delivery_id: str) -> list[Touchpoint]:
    status = as_text(order.get("status"))
    if status in _UNPAID:
        return []
    name = "Order Cancelled" if status == "cancelled" else "Order Completed" if topic == "order.created" else "Order Updated"
    order_id, identifiers, currency = as_text(order.get("id")), _identify(order), as_text(order.get("currency"))
    modified = format_instant(first(order.get("date_modified_gmt"), order.get("date_created_gmt")))
    created = format_instant(order.get("date_created_gmt"))
    touchpoint: Touchpoint = {
        "id": name_message(delivery_id),
        "name": name,
        "occurred_at": first(created, modified) if topic == "order.created" else modified,
        "identifiers": identifiers,
        "properties": compact(
            {
                "order_id": order_id,
                "order_number": as_text(order.get("number")),
                "status": status,
                "currency": currency,
                "total": as_amount(order.get("total")),
                "tax": as_amount(order.get("total_tax")),
                "shipping": as_amount(order.get("shipping_total")),
                "discount": as_amount(order.get("discount_total")),
                "coupon": as_text(pick(order, "coupon_lines", 0, "code")),
                "payment_method": as_text(order.get("payment_method")),
                "products": [_read_line(as_object(line)) for line in as_list(order.get("line_items"))],
            }
        ),
    }
    refunds = [as_object(refund) for refund in as_list(order.get("refunds"))]
    return [touchpoint, *(_read_refund(refund, order_id, currency, identifiers, modified) for refund in refunds)]


def _read_refund(
    refund: Object, order_id: str | None, currency: str | None, identifiers: dict[str, object], modified: str | None
) -> Touchpoint:
    """Its message id is its own: the order tells of it in each later delivery again."""
    refund_id = as_text(refund.get("id"))
    return {
        "id": name_message("refund", order_id, refund_id),
        "name": "Order Refunded",
        "occurred_at": modified,
        "identifiers": identifiers,
        "properties": compact(
            {
                "refund_id": refund_id,
                "order_id": order_id,
                "currency": currency,
                "total": negate(refund.get("total")),
                "reason": as_text(refund.get("reason")),
            }
        ),
    }


def _read_line(line: Object) -> dict[str, object]:
    variation = as_text(line.get("variation_id"))
    return compact(
        {
            "product_id": as_text(line.get("product_id")),
            "variant": variation if variation != "0" else None,
            "sku": as_text(line.get("sku")),
            "name": as_text(line.get("name")),
            "price": as_amount(line.get("price")),
            "quantity": as_amount(line.get("quantity")),
        }
    )


def _read_customer(customer: Object, delivery_id: str) -> Touchpoint:
    billing = as_object(customer.get("billing"))
    return {
        "id": name_message(delivery_id),
        "kind": "identify",
        "occurred_at": format_instant(first(customer.get("date_modified_gmt"), customer.get("date_created_gmt"))),
        "identifiers": compact(
            {
                "woocommerce_customer": as_text(customer.get("id")),
                "email": as_text(first(customer.get("email"), billing.get("email"))),
                "phone": as_text(billing.get("phone")),
            }
        ),
        "traits": compact(
            {
                "first_name": as_text(first(customer.get("first_name"), billing.get("first_name"))),
                "last_name": as_text(first(customer.get("last_name"), billing.get("last_name"))),
                "username": as_text(customer.get("username")),
                "company": as_text(billing.get("company")),
                "address": compact(
                    {
                        "street": as_text(billing.get("address_1")),
                        "city": as_text(billing.get("city")),
                        "state": as_text(billing.get("state")),
                        "postal_code": as_text(billing.get("postcode")),
                        "country": as_text(billing.get("country")),
                    }
                ),
            }
        ),
    }


def _identify(order: Object) -> dict[str, object]:
    """A guest's customer number is 0."""
    billing, customer = as_object(order.get("billing")), as_text(order.get("customer_id"))
    return compact(
        {
            "woocommerce_customer": customer if customer != "0" else None,
            "email": as_text(billing.get("email")),
            "phone": as_text(billing.get("phone")),
        }
    )
