"""Shopify: orders, refunds, checkouts and customers. The topic stands in a header.

Amounts are what was paid and paid back: orders and refunds state `total` (Shopify's `total_price`, its refund transactions), and
no `revenue`, since a refund doesn't come split into goods, tax and shipping. A refund names no customer, so an order's id is an
identifier too (`shopify_order`): by it the refund finds whose it is.
"""

from collections.abc import Callable
from decimal import Decimal
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
    pick,
)

HEADERS: Final = ("x-shopify-topic", "x-shopify-webhook-id", "x-shopify-triggered-at", "x-shopify-shop-domain")

_ORDER_NAMES: Final = {
    "orders/create": ("Order Completed", "created_at"),
    "orders/updated": ("Order Updated", "updated_at"),
    "orders/paid": ("Order Updated", "updated_at"),
    "orders/fulfilled": ("Order Updated", "updated_at"),
    "orders/partially_fulfilled": ("Order Updated", "updated_at"),
    "orders/cancelled": ("Order Cancelled", "cancelled_at"),
}
_PAID_BACK: Final = ("success", "pending")


def read_shopify(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    body, topic = as_object(payload), delivery.headers.get("x-shopify-topic", "").lower()
    write = _WRITERS.get(topic)
    touchpoint = None if write is None else write(topic, body)
    if touchpoint is None:
        return Reading(ignored=[topic or "no topic"])
    touchpoint.setdefault("id", name_message(topic, delivery.headers.get("x-shopify-webhook-id") or hash_body(delivery.body)))
    if touchpoint.get("occurred_at") is None:
        touchpoint["occurred_at"] = format_instant(delivery.headers.get("x-shopify-triggered-at"))
    shop = delivery.headers.get("x-shopify-shop-domain")
    if shop and "properties" in touchpoint:
        touchpoint["properties"].setdefault("affiliation", shop)
    return Reading([touchpoint])


def _write_order(topic: str, order: Object) -> Touchpoint | None:
    name, time = _ORDER_NAMES[topic]
    order_id = as_text(order.get("id"))
    identifiers = _identify(order)
    if identifiers and order_id is not None:
        identifiers["shopify_order"] = order_id
    return {
        "name": name,
        "occurred_at": format_instant(first(order.get(time), order.get("updated_at"), order.get("created_at"))),
        "identifiers": identifiers,
        "properties": compact(
            {
                "order_id": order_id,
                "order_number": as_text(order.get("name")),
                "checkout_id": as_text(order.get("checkout_token")),
                "status": as_text(order.get("financial_status")),
                "fulfillment_status": as_text(order.get("fulfillment_status")),
                "cancel_reason": as_text(order.get("cancel_reason")),
                "test": True if order.get("test") is True else None,
                **_read_amounts(order),
            }
        ),
    }


def _write_checkout(_topic: str, checkout: Object) -> Touchpoint | None:
    """A checkout is told of again with each thing typed in, and mostly before anybody is named: the first named word counts."""
    identifiers, token = _identify(checkout), as_text(checkout.get("token"))
    if not identifiers or token is None:
        return None
    return {
        "id": name_message("checkout", token),
        "name": "Checkout Started",
        "occurred_at": format_instant(checkout.get("created_at")),
        "identifiers": identifiers,
        "properties": compact(
            {
                "checkout_id": token,
                "cart_id": as_text(checkout.get("cart_token")),
                "checkout_url": as_text(checkout.get("abandoned_checkout_url")),
                "value": as_amount(checkout.get("total_price")),
                **_read_amounts(checkout),
            }
        ),
    }


def _read_amounts(order: Object) -> dict[str, object]:
    return {
        "currency": as_text(first(order.get("currency"), order.get("presentment_currency"))),
        "total": as_amount(order.get("total_price")),
        "subtotal": as_amount(order.get("subtotal_price")),
        "tax": as_amount(order.get("total_tax")),
        "shipping": as_amount(pick(order, "total_shipping_price_set", "shop_money", "amount")),
        "discount": as_amount(order.get("total_discounts")),
        "coupon": as_text(pick(order, "discount_codes", 0, "code")),
        "products": [_read_line(as_object(line)) for line in as_list(order.get("line_items"))],
    }


def _read_line(line: Object) -> dict[str, object]:
    return compact(
        {
            "product_id": as_text(line.get("product_id")),
            "variant": as_text(line.get("variant_id")),
            "sku": as_text(line.get("sku")),
            "name": as_text(first(line.get("title"), line.get("name"))),
            "brand": as_text(line.get("vendor")),
            "price": as_amount(line.get("price")),
            "quantity": as_amount(line.get("quantity")),
            "discount": as_amount(line.get("total_discount")),
        }
    )


def _write_refund(_topic: str, refund: Object) -> Touchpoint | None:
    order_id = as_text(refund.get("order_id"))
    transactions = [as_object(one) for one in as_list(refund.get("transactions"))]
    paid_back = [one for one in transactions if one.get("kind") == "refund" and one.get("status") in _PAID_BACK]
    lines = [as_object(line) for line in as_list(refund.get("refund_line_items"))]
    return {
        "name": "Order Refunded",
        "occurred_at": format_instant(first(refund.get("processed_at"), refund.get("created_at"))),
        "identifiers": compact({"shopify_order": order_id}),
        "properties": compact(
            {
                "refund_id": as_text(refund.get("id")),
                "order_id": order_id,
                # Nothing paid back (goods only taken back into stock) is a refund of zero, not of what is left.
                "total": _sum([one.get("amount") for one in paid_back]),
                "currency": as_text(pick(paid_back, 0, "currency")),
                "products": [
                    {**_read_line(as_object(line.get("line_item"))), **compact({"quantity": as_amount(line.get("quantity"))})}
                    for line in lines
                ],
            }
        ),
    }


def _sum(amounts: list[object]) -> object:
    """Their exact sum; the first that is no amount, so that it is judged for what it is."""
    numbers = [as_amount(amount) for amount in amounts]
    wrong = [number for number in numbers if not isinstance(number, Decimal | int) or isinstance(number, bool)]
    return wrong[0] if wrong else sum((Decimal(str(number)) for number in numbers), Decimal(0))


def _write_customer(_topic: str, customer: Object) -> Touchpoint | None:
    address = as_object(customer.get("default_address"))
    phone = as_text(first(customer.get("phone"), address.get("phone")))
    return {
        "kind": "identify",
        "occurred_at": format_instant(first(customer.get("updated_at"), customer.get("created_at"))),
        "identifiers": compact(
            {"shopify_customer": as_text(customer.get("id")), "email": as_text(customer.get("email")), "phone": phone}
        ),
        "traits": compact(
            {
                "first_name": as_text(customer.get("first_name")),
                "last_name": as_text(customer.get("last_name")),
                "address": compact(
                    {
                        "street": as_text(address.get("address1")),
                        "city": as_text(address.get("city")),
                        "state": as_text(address.get("province")),
                        "postal_code": as_text(address.get("zip")),
                        "country": as_text(address.get("country_code")),
                    }
                ),
                "tags": as_text(customer.get("tags")),
            }
        ),
    }


def _identify(order: Object) -> dict[str, object]:
    customer = as_object(order.get("customer"))
    return compact(
        {
            "shopify_customer": as_text(customer.get("id")),
            "email": as_text(first(order.get("email"), order.get("contact_email"), customer.get("email"))),
            "phone": as_text(first(order.get("phone"), customer.get("phone"))),
        }
    )


_WRITERS: Final[dict[str, Callable[[str, Object], Touchpoint | None]]] = {
    **dict.fromkeys(_ORDER_NAMES, _write_order),
    "checkouts/create": _write_checkout,
    "checkouts/update": _write_checkout,
    "refunds/create": _write_refund,
    "customers/create": _write_customer,
    "customers/update": _write_customer,
}
