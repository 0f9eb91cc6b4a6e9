"""Stripe: payments, refunds, subscriptions and customers. Amounts come in minor units and leave as exact decimals.

A payment is an order. Its id is the payment intent's, which sessions, invoices, charges and refunds all name: told by several
events, it is one order. An invoice or charge that is told by its intent as well says nothing of its own.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from libs.orders.currencies import exponent_of
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint, hash_body, name_message
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import Object, as_list, as_object, as_text, compact, first, format_instant, pick

_OWN_EXPONENTS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's minor unit isn't that of ISO 4217."""
_NO_EVENT: Final = Refusal(Reason.INVALID, "the body is no Stripe event")
_PAID: Final = ("paid", "no_payment_required")


def read_stripe(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    event = as_object(payload)
    topic = as_text(event.get("type"))
    if topic is None:
        return _NO_EVENT
    write = _WRITERS.get(topic)
    touchpoint = None if write is None else write(as_object(pick(event, "data", "object")), event)
    if touchpoint is None:
        return Reading(ignored=[topic])
    touchpoint["id"] = name_message(as_text(event.get("id")) or hash_body(delivery.body))
    touchpoint["occurred_at"] = format_instant(event.get("created"))
    return Reading([touchpoint])


def from_minor_units(amount: object, currency: object) -> object:
    """An exact decimal; None where nothing is stated."""
    if not isinstance(amount, int) or isinstance(amount, bool):
        return amount
    code = (as_text(currency) or "").upper()
    return Decimal(amount).scaleb(-_OWN_EXPONENTS.get(code, exponent_of(code)))


def _currency(thing: Object) -> str | None:
    code = as_text(thing.get("currency"))
    return None if code is None else code.upper()


def _write_session(session: Object, _event: Object) -> Touchpoint | None:
    """Of a subscription's checkout the invoice tells; a setup is no payment; what isn't paid yet is told when it is."""
    if session.get("mode") not in ("payment", None) or session.get("payment_status") not in _PAID:
        return None
    details, currency = as_object(session.get("customer_details")), _currency(session)
    totals = as_object(session.get("total_details"))
    return {
        "name": "Order Completed",
        "identifiers": _identify(
            session.get("customer"),
            first(details.get("email"), session.get("customer_email")),
            details.get("phone"),
            session.get("client_reference_id"),
        ),
        "properties": compact(
            {
                "order_id": as_text(first(session.get("payment_intent"), session.get("id"))),
                "checkout_id": as_text(session.get("id")),
                "currency": currency,
                "total": from_minor_units(session.get("amount_total"), currency),
                "tax": from_minor_units(totals.get("amount_tax"), currency),
                "shipping": from_minor_units(totals.get("amount_shipping"), currency),
                "discount": from_minor_units(totals.get("amount_discount"), currency),
            }
        ),
    }


def _write_intent(intent: Object, _event: Object) -> Touchpoint | None:
    currency = _currency(intent)
    billing = as_object(pick(intent, "charges", "data", 0, "billing_details"))
    return {
        "name": "Order Completed",
        "identifiers": _identify(intent.get("customer"), first(intent.get("receipt_email"), billing.get("email"))),
        "properties": compact(
            {
                "order_id": as_text(intent.get("id")),
                "currency": currency,
                "total": from_minor_units(first(intent.get("amount_received"), intent.get("amount")), currency),
                "description": as_text(intent.get("description")),
            }
        ),
    }


def _write_charge(charge: Object, _event: Object) -> Touchpoint | None:
    """Only a charge of its own, from before there were intents."""
    if charge.get("payment_intent") is not None or charge.get("captured") is False:
        return None
    currency = _currency(charge)
    return {
        "name": "Order Completed",
        "identifiers": _identify_charge(charge),
        "properties": compact(
            {
                "order_id": as_text(charge.get("id")),
                "currency": currency,
                "total": from_minor_units(charge.get("amount"), currency),
                "description": as_text(charge.get("description")),
            }
        ),
    }


def _write_refund(charge: Object, event: Object) -> Touchpoint | None:
    """The event tells what has been refunded in all, and what had been before: the difference is this refund.

    Its id stands in the event of older API versions only; the sum so far names it as well.
    """
    currency, so_far = _currency(charge), charge.get("amount_refunded")
    before = pick(event, "data", "previous_attributes", "amount_refunded")
    if not isinstance(so_far, int) or isinstance(so_far, bool):
        return None
    amount = so_far - before if isinstance(before, int) and 0 <= before <= so_far else so_far
    named = pick(charge, "refunds", "data", 0, "id")
    charge_id = as_text(charge.get("id"))
    return {
        "name": "Order Refunded",
        "identifiers": _identify_charge(charge),
        "properties": compact(
            {
                "refund_id": as_text(named) or f"{charge_id}:{so_far}",
                "order_id": as_text(first(charge.get("payment_intent"), charge_id)),
                "currency": currency,
                "total": from_minor_units(amount, currency),
                "reason": as_text(pick(charge, "refunds", "data", 0, "reason")),
            }
        ),
    }


def _write_invoice(invoice: Object, _event: Object) -> Touchpoint | None:
    """An order where it names its intent, or where there can be none (paid by other means); else the intent's event is it."""
    intent, currency = as_text(invoice.get("payment_intent")), _currency(invoice)
    is_order = intent is not None or invoice.get("paid_out_of_band") is True
    return {
        "name": "Order Completed" if is_order else "Invoice Paid",
        "identifiers": _identify(invoice.get("customer"), invoice.get("customer_email"), invoice.get("customer_phone")),
        "properties": compact(
            {
                "order_id": (intent or as_text(invoice.get("id"))) if is_order else None,
                "invoice_id": as_text(invoice.get("id")),
                "subscription_id": as_text(
                    first(invoice.get("subscription"), pick(invoice, "parent", "subscription_details", "subscription"))
                ),
                "currency": currency,
                "total": from_minor_units(invoice.get("amount_paid"), currency),
                "subtotal": from_minor_units(invoice.get("subtotal"), currency),
                "tax": from_minor_units(invoice.get("tax"), currency),
            }
        ),
    }


def _write_failed_invoice(invoice: Object, _event: Object) -> Touchpoint | None:
    currency = _currency(invoice)
    return {
        "name": "Payment Failed",
        "identifiers": _identify(invoice.get("customer"), invoice.get("customer_email"), invoice.get("customer_phone")),
        "properties": compact(
            {
                "invoice_id": as_text(invoice.get("id")),
                "currency": currency,
                "total": from_minor_units(invoice.get("amount_due"), currency),
                "attempt": invoice.get("attempt_count"),
            }
        ),
    }


def _write_subscription(subscription: Object, event: Object) -> Touchpoint | None:
    name = _SUBSCRIPTIONS[as_text(event.get("type")) or ""]
    item = as_object(pick(subscription, "items", "data", 0))
    price = as_object(first(item.get("price"), item.get("plan"), subscription.get("plan")))
    currency = as_text(first(subscription.get("currency"), price.get("currency")))
    return {
        "name": name,
        "identifiers": _identify(subscription.get("customer")),
        "properties": compact(
            {
                "subscription_id": as_text(subscription.get("id")),
                "status": as_text(subscription.get("status")),
                "plan_id": as_text(price.get("id")),
                "product_id": as_text(price.get("product")),
                "currency": None if currency is None else currency.upper(),
                "price": from_minor_units(first(price.get("unit_amount"), price.get("amount")), currency),
                "quantity": first(item.get("quantity"), subscription.get("quantity")),
                "cancel_at": format_instant(subscription.get("cancel_at")),
                "trial_end": format_instant(subscription.get("trial_end")),
            }
        ),
    }


def _write_customer(customer: Object, _event: Object) -> Touchpoint | None:
    address = as_object(customer.get("address"))
    street = " ".join(text for text in map(as_text, (address.get("line1"), address.get("line2"))) if text)
    return {
        "kind": "identify",
        "identifiers": _identify(
            customer.get("id"), customer.get("email"), customer.get("phone"), pick(customer, "metadata", "user_id")
        ),
        "traits": compact(
            {
                "name": as_text(customer.get("name")),
                "language": as_text(first(*as_list(customer.get("preferred_locales")))),
                "address": compact(
                    {
                        "street": street,
                        "city": as_text(address.get("city")),
                        "state": as_text(address.get("state")),
                        "postal_code": as_text(address.get("postal_code")),
                        "country": as_text(address.get("country")),
                    }
                ),
            }
        ),
    }


def _identify_charge(charge: Object) -> dict[str, object]:
    billing = as_object(charge.get("billing_details"))
    return _identify(charge.get("customer"), first(billing.get("email"), charge.get("receipt_email")), billing.get("phone"))


def _identify(customer: object, email: object = None, phone: object = None, user_id: object = None) -> dict[str, object]:
    """`customer` is an id, or the customer where the event was expanded. `user_id`: the business's own word for who it is."""
    customer_id = pick(customer, "id") if isinstance(customer, dict) else customer
    return compact(
        {
            "user_id": as_text(user_id),
            "stripe_customer": as_text(customer_id),
            "email": as_text(email),
            "phone": as_text(phone),
        }
    )


_SUBSCRIPTIONS: Final = {
    "customer.subscription.created": "Subscription Started",
    "customer.subscription.updated": "Subscription Updated",
    "customer.subscription.deleted": "Subscription Cancelled",
}
_WRITERS: Final[dict[str, Callable[[Object, Object], Touchpoint | None]]] = {
    "checkout.session.completed": _write_session,
    "checkout.session.async_payment_succeeded": _write_session,
    "payment_intent.succeeded": _write_intent,
    "charge.succeeded": _write_charge,
    "charge.captured": _write_charge,
    "charge.refunded": _write_refund,
    "invoice.paid": _write_invoice,
    "invoice.payment_failed": _write_failed_invoice,
    **dict.fromkeys(_SUBSCRIPTIONS, _write_subscription),
    "customer.created": _write_customer,
    "customer.updated": _write_customer,
}
