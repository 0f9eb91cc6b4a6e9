"""What becomes of mail, in one form for all mail providers, and the touchpoints of it.

A provider's adapter only says where things stand in its events. The kinds are those that mail tools have in common.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from typing import Final

from libs.kit.times import format_utc
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint, hash_parts, name_message
from services.ingest.domain.webhooks.payloads import read_json, read_payload
from services.ingest.domain.webhooks.values import as_list, as_object, as_text, compact

TOUCHPOINTS: Final = {
    "sent": "Email Sent",
    "delivered": "Email Delivered",
    "opened": "Email Opened",
    "clicked": "Email Link Clicked",
    "bounced": "Email Bounced",
    "rejected": "Email Dropped",
    "failed": "Email Dropped",
    "complained": "Email Marked as Spam",
    "unsubscribed": "Unsubscribed",
    "subscribed": "Email Subscribed",
}
"""Kinds that are no touchpoint (queued, deferred, autoresponded, unknown) say nothing about the customer."""

_MESSAGE_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class MailEvent:
    """`event_type`: as django-anymail and others name them. `name` is the provider's own word, for what is ignored.

    `reject_reason`: invalid, bounced, timed_out, blocked, spam, unsubscribed or other. `once` is what a second delivery of the
    same event repeats where `event_id` isn't it.
    """

    name: str
    event_type: str
    recipient: str | None
    message_id: str | None = None
    event_id: str | None = None
    timestamp: datetime | None = None
    reject_reason: str | None = None
    description: str | None = None
    mta_response: str | None = None
    click_url: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    subject: str | None = None
    campaign_id: str | None = None
    tags: list[object] = field(default_factory=list)
    metadata: Mapping[str, object] = field(default_factory=dict)
    once: str | None = None


Events = Iterable[MailEvent]
ReadEvents = Callable[[object, Delivery], Events]


def build_reader(read: ReadEvents) -> Callable[[Delivery], Reading | Refusal]:
    """The reader of a provider out of what finds its events."""

    def read_delivery(delivery: Delivery) -> Reading | Refusal:
        payload = read_payload(delivery.body)
        return payload if isinstance(payload, Refusal) else write_touchpoints(read(payload, delivery))

    return read_delivery


def write_touchpoints(events: Events) -> Reading:
    touchpoints: list[Touchpoint] = []
    ignored: list[str] = []
    for event in events:
        name = TOUCHPOINTS.get(event.event_type)
        if name is None:
            ignored.append(event.name)
        else:
            touchpoints.append(_write(name, event))
    return Reading(touchpoints, ignored)


def _write(name: str, event: MailEvent) -> Touchpoint:
    time = None if event.timestamp is None else format_utc(event.timestamp)
    return {
        "id": name_message("mail", _name_event(event)),
        "name": name,
        "channel": "email",
        "occurred_at": time,
        "identifiers": compact({"email": event.recipient}),
        "properties": compact(
            {
                "email_id": event.message_id,
                "email_subject": event.subject,
                "campaign_id": event.campaign_id,
                "link_url": event.click_url,
                "reason": event.reject_reason,
                "description": _cut(event.description),
                "mta_response": _cut(event.mta_response),
                "tags": event.tags,
                "metadata": dict(event.metadata),
            }
        ),
        "context": compact({"userAgent": event.user_agent, "ip": event.ip}),
    }


def _name_event(event: MailEvent) -> str:
    """Event ids of some providers are the message's or the delivery's: only with all that tells events apart do they name one."""
    if event.once is not None:
        return hash_parts(event.once, event.event_type, event.recipient)
    return hash_parts(
        event.event_id, event.event_type, event.message_id, event.recipient, event.timestamp, event.click_url, event.name
    )


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_MESSAGE_CHARS]


def as_word(value: object) -> str | None:
    """A text as sent, an empty one too."""
    return value if isinstance(value, str) else as_text(value)


def as_tags(value: object) -> list[object]:
    """A list of tags, or the one there is."""
    if isinstance(value, list):
        return value
    text = as_text(value)
    return [] if text is None else [text]


def as_address(value: object) -> str | None:
    """The address in `Name <address>`."""
    text = as_text(value)
    return None if text is None else parseaddr(text)[1] or None


def each_object(payload: object) -> Iterable[Mapping[str, object]]:
    """The events of a body that is a list of them, or one."""
    return [as_object(one) for one in (as_list(payload) if isinstance(payload, list) else [payload])]


def read_json_text(value: object) -> object:
    """JSON that stands as text in JSON or in a form."""
    text = as_text(value)
    found = None if text is None else read_json(text.encode("utf-8", "replace"))
    return None if isinstance(found, Refusal) else found
