"""Outgoing webhooks: queued with the change they tell of, signed, sent to public addresses alone, tried again for days."""

from libs.durable.webhooks.client import DeliveryFailed, WebhookClient
from libs.durable.webhooks.guard import UrlRefused, check_url
from libs.durable.webhooks.lane import WebhookLane
from libs.durable.webhooks.model import (
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Message,
    make_secret,
    sign,
    write_body,
)
from libs.durable.webhooks.store import PostgresWebhooks
from libs.durable.webhooks.tables import create_webhooks, drop_webhooks, webhooks_tables

__all__ = [
    "Delivery",
    "DeliveryFailed",
    "DeliveryState",
    "Endpoint",
    "EndpointState",
    "Message",
    "PostgresWebhooks",
    "UrlRefused",
    "WebhookClient",
    "WebhookLane",
    "check_url",
    "create_webhooks",
    "drop_webhooks",
    "make_secret",
    "sign",
    "webhooks_tables",
    "write_body",
]
