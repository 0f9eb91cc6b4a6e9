"""Mailgun: the JSON of today, and the form of before, which legacy webhooks still send."""

from collections.abc import Mapping
from typing import Final

from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.mail import Events, MailEvent, as_address, as_tags, as_word, read_json_text
from services.ingest.domain.webhooks.values import Object, as_instant, as_list, as_object, as_text, first, pick

_MAILGUN_KINDS: Final = {
    "accepted": "queued",
    "rejected": "rejected",
    "delivered": "delivered",
    "failed": "bounced",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "complained": "complained",
    "dropped": "rejected",
    "bounced": "bounced",
}
_MAILGUN_REASONS: Final = {
    "bounce": "bounced",
    "suppress-bounce": "bounced",
    "suppress-complaint": "spam",
    "suppress-unsubscribe": "unsubscribed",
}
_MAILGUN_CODES: Final = {"499": "timed_out", "605": "bounced", "606": "unsubscribed", "607": "spam"}
_MAILGUN_FIELDS: Final = frozenset(
    [
        "Message-Id",
        "X-Mailgun-Sid",
        "attachment-count",
        "body-plain",
        "campaign-id",
        "campaign-name",
        "city",
        "client-name",
        "client-os",
        "client-type",
        "code",
        "country",
        "description",
        "device-type",
        "domain",
        "error",
        "event",
        "h",
        "ip",
        "mailing-list",
        "message-headers",
        "message-id",
        "notification",
        "reason",
        "recipient",
        "region",
        "signature",
        "tag",
        "timestamp",
        "token",
        "url",
        "user-agent",
        "X-Mailgun-Tag",
        "X-Mailgun-Variables",
    ]
)


def read_mailgun(payload: object, _delivery: Delivery) -> Events:
    body = as_object(payload)
    data = body.get("event-data")
    if isinstance(data, Mapping):
        return [_read_mailgun_event(body, data)]
    return [_read_mailgun_form(body)] if "event" in body else []


def _read_mailgun_event(body: Object, data: Object) -> MailEvent:
    name = as_text(data.get("event")) or "unknown"
    headers, status = as_object(pick(data, "message", "headers")), as_object(data.get("delivery-status"))
    kind = _MAILGUN_KINDS.get(name, "unknown")
    reason = None
    if name == "failed":
        kind = "deferred" if data.get("severity") == "temporary" else "bounced"
        reason = _MAILGUN_REASONS.get(as_text(data.get("reason")) or "", "other")
    elif name == "rejected":
        reason = "other"
    message_id = as_text(headers.get("message-id"))
    return MailEvent(
        name=name,
        event_type=kind,
        recipient=first(as_text(data.get("recipient")), as_address(headers.get("to"))),
        message_id=None if message_id is None else f"<{message_id}>",
        event_id=as_text(pick(body, "signature", "token")),
        timestamp=as_instant(data.get("timestamp")),
        reject_reason=reason,
        description=first(as_word(status.get("description")), as_word(pick(data, "reject", "reason")))
        or as_word(status.get("description")),
        mta_response=as_word(status.get("message")),
        click_url=as_text(data.get("url")),
        user_agent=as_text(pick(data, "client-info", "user-agent")),
        ip=as_text(data.get("ip")),
        subject=as_text(headers.get("subject")),
        campaign_id=as_text(pick(data, "campaigns", 0, "id")),
        tags=as_tags(data.get("tags")),
        metadata=as_object(data.get("user-variables")),
        # Its token is the delivery's; a second try may well have another.
        once=as_text(data.get("id")),
    )


def _read_mailgun_form(fields: Object) -> MailEvent:
    """Custom variables stand among the fields, and repeat their names where they clash: the first is Mailgun's own."""
    own = {name: value[0] if isinstance(value, list) and value and name != "tag" else value for name, value in fields.items()}
    name = as_text(own.get("event")) or "unknown"
    code = as_text(own.get("code")) or ""
    reason = None
    if name in ("bounced", "dropped"):
        reason = _MAILGUN_CODES.get(code) or ("bounced" if code.startswith("5") else "other")
    return MailEvent(
        name=name,
        event_type=_MAILGUN_KINDS.get(name, "unknown"),
        recipient=as_text(own.get("recipient")),
        message_id=as_text(first(own.get("Message-Id"), own.get("message-id"))),
        event_id=as_text(own.get("token")),
        timestamp=as_instant(own.get("timestamp")),
        reject_reason=reason,
        description=as_text(own.get("description")),
        mta_response=as_text(first(own.get("error"), own.get("notification"))),
        click_url=as_text(own.get("url")),
        user_agent=as_text(own.get("user-agent")),
        ip=as_text(own.get("ip")),
        campaign_id=as_text(own.get("campaign-id")),
        tags=as_tags(first(fields.get("tag"), fields.get("X-Mailgun-Tag"))),
        metadata=_read_mailgun_variables(fields),
    )


def _read_mailgun_variables(fields: Object) -> Object:
    """The header that was sent along holds them apart; without it, every field that isn't Mailgun's own is one."""
    headers = as_list(read_json_text(first(fields.get("message-headers"))))
    for header in headers:
        if pick(header, 0) == "X-Mailgun-Variables":
            return as_object(read_json_text(pick(header, 1)))
    return {name: value for name, value in fields.items() if name not in _MAILGUN_FIELDS}
