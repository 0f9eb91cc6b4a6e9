"""Mail providers that sign what they send: SendGrid, Mandrill, Resend, MailerSend, Mailtrap, Postal, Unisender Go."""

from typing import Final

from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.mail import Events, MailEvent, as_address, as_tags, as_word, each_object, read_json_text
from services.ingest.domain.webhooks.values import as_instant, as_list, as_object, as_text, first, pick

# SendGrid

_SENDGRID_KINDS: Final = {
    "processed": "queued",
    "dropped": "rejected",
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}
_SENDGRID_REASONS: Final = {
    "invalid": "invalid",
    "unsubscribed address": "unsubscribed",
    "bounced address": "bounced",
    "bounce": "bounced",
    "blocked": "blocked",
    "spam reporting address": "spam",
    "spam content (if spam checker app enabled)": "spam",
    "expired": "timed_out",
}
_SENDGRID_FIELDS: Final = frozenset(
    [
        "anymail_id",
        "asm_group_id",
        "attempt",
        "bounce_classification",
        "category",
        "cert_err",
        "curr_asm_group_id",
        "email",
        "event",
        "ip",
        "marketing_campaign_id",
        "marketing_campaign_name",
        "newsletter",
        "nlvx_campaign_id",
        "nlvx_campaign_split_id",
        "nlvx_user_id",
        "pool",
        "post_type",
        "reason",
        "response",
        "send_at",
        "sg_content_type",
        "sg_event_id",
        "sg_machine_open",
        "sg_message_id",
        "smtp-id",
        "status",
        "timestamp",
        "tls",
        "type",
        "url",
        "url_offset",
        "useragent",
    ]
)


def read_sendgrid(payload: object, _delivery: Delivery) -> Events:
    for event in each_object(payload):
        name = as_text(event.get("event")) or "unknown"
        kind = _SENDGRID_KINDS.get(name, "unknown")
        reason = None
        if kind == "rejected":
            reason = _SENDGRID_REASONS.get((as_text(event.get("reason")) or "").lower(), "other")
        elif kind == "bounced":
            reason = "blocked" if event.get("type") == "blocked" else "bounced"
        yield MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(event.get("email")),
            message_id=as_text(first(event.get("anymail_id"), event.get("smtp-id"), event.get("sg_message_id"))),
            event_id=as_text(event.get("sg_event_id")),
            timestamp=as_instant(event.get("timestamp")),
            reject_reason=reason,
            mta_response=as_word(event.get("response")) or (as_word(event.get("reason")) if kind == "bounced" else None),
            description=as_word(event.get("reason")) if kind == "rejected" else None,
            click_url=as_text(event.get("url")),
            user_agent=as_text(event.get("useragent")),
            ip=as_text(event.get("ip")),
            campaign_id=as_text(event.get("marketing_campaign_id")),
            tags=as_tags(event.get("category")),
            metadata={name: value for name, value in event.items() if name not in _SENDGRID_FIELDS},
        )


# Mandrill

_MANDRILL_KINDS: Final = {
    "send": "sent",
    "deferral": "deferred",
    "hard_bounce": "bounced",
    "soft_bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "spam": "complained",
    "unsub": "unsubscribed",
    "reject": "rejected",
    "delivered": "delivered",
}
_MANDRILL_REASONS: Final = {"hard_bounce": "bounced", "soft_bounce": "bounced", "reject": "blocked", "spam": "spam"}


def read_mandrill(payload: object, _delivery: Delivery) -> Events:
    """A form whose one field is JSON."""
    for event in each_object(read_json_text(pick(payload, "mandrill_events")) or []):
        message, name = as_object(event.get("msg")), as_text(first(event.get("event"), event.get("type"))) or "unknown"
        yield MailEvent(
            name=name,
            event_type=_MANDRILL_KINDS.get(name, "unknown") if "event" in event else "unknown",
            recipient=as_text(first(message.get("email"), pick(event, "reject", "email"))),
            message_id=as_text(first(message.get("_id"), event.get("_id"))),
            timestamp=as_instant(event.get("ts")),
            reject_reason=_MANDRILL_REASONS.get(name),
            description=as_word(first(message.get("bounce_description"), pick(event, "reject", "reason"))),
            mta_response=as_word(message.get("diag")),
            click_url=as_text(event.get("url")),
            user_agent=as_text(event.get("user_agent")),
            ip=as_text(event.get("ip")),
            subject=as_text(message.get("subject")),
            tags=as_tags(message.get("tags")),
            metadata=as_object(message.get("metadata")),
        )


# Resend

_RESEND_KINDS: Final = {
    "email.sent": "sent",
    "email.delivered": "delivered",
    "email.delivery_delayed": "deferred",
    "email.complained": "complained",
    "email.bounced": "bounced",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.failed": "failed",
    "email.suppressed": "rejected",
}


def read_resend(payload: object, delivery: Delivery) -> Events:
    event = as_object(payload)
    data, name = as_object(event.get("data")), as_text(event.get("type")) or "unknown"
    headers = {as_text(pick(one, "name")): pick(one, "value") for one in as_list(data.get("headers"))}
    bounce, kind = as_object(data.get("bounce")), _RESEND_KINDS.get(name, "unknown")
    message = as_word(bounce.get("message")) or ""
    is_suppressed = "suppressed sending" in message or bounce.get("type") == "Suppressed"
    return [
        MailEvent(
            name=name,
            event_type=kind,
            recipient=as_address(pick(data, "to", 0) if isinstance(data.get("to"), list) else data.get("to")),
            message_id=as_text(data.get("email_id")),
            event_id=delivery.headers.get("svix-id"),
            timestamp=as_instant(event.get("created_at")),
            reject_reason=("blocked" if is_suppressed else "bounced") if kind == "bounced" else None,
            description=message or None,
            click_url=as_text(pick(data, "click", "link")),
            user_agent=as_text(pick(data, "click", "userAgent")),
            ip=as_text(pick(data, "click", "ipAddress")),
            subject=as_text(data.get("subject")),
            campaign_id=as_text(data.get("broadcast_id")),
            tags=as_list(read_json_text(headers.get("X-Tags"))),
            metadata=as_object(read_json_text(headers.get("X-Metadata"))),
        )
    ]


# MailerSend

_MAILERSEND_KINDS: Final = {
    "sent": "sent",
    "delivered": "delivered",
    "soft_bounced": "bounced",
    "hard_bounced": "bounced",
    "opened": "opened",
    "opened_unique": "opened",
    "clicked": "clicked",
    "clicked_unique": "clicked",
    "unsubscribed": "unsubscribed",
    "spam_complaint": "complained",
    "deferred": "deferred",
}


def read_mailersend(payload: object, _delivery: Delivery) -> Events:
    data = as_object(pick(payload, "data"))
    name = as_text(data.get("type")) or (as_text(pick(payload, "type")) or "unknown").removeprefix("activity.")
    kind, email, more = _MAILERSEND_KINDS.get(name, "unknown"), as_object(data.get("email")), as_object(data.get("morph"))
    return [
        MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(pick(email, "recipient", "email")),
            message_id=as_text(pick(email, "message", "id")),
            event_id=as_text(data.get("id")),
            timestamp=as_instant(data.get("created_at")),
            reject_reason={"bounced": "bounced", "complained": "spam", "unsubscribed": "unsubscribed"}.get(kind),
            description=as_word(first(more.get("readable_reason"), more.get("reason"))),
            click_url=as_text(more.get("url")),
            ip=as_text(more.get("ip")),
            subject=as_text(email.get("subject")),
            tags=as_tags(email.get("tags")),
        )
    ]


# Mailtrap

_MAILTRAP_KINDS: Final = {
    "delivery": "delivered",
    "open": "opened",
    "click": "clicked",
    "bounce": "bounced",
    "soft bounce": "deferred",
    "spam": "complained",
    "unsubscribe": "unsubscribed",
    "reject": "rejected",
    "suspension": "deferred",
}
_MAILTRAP_REASONS: Final = {
    "bounce": "bounced",
    "soft bounce": "other",
    "suspension": "other",
    "spam": "spam",
    "unsubscribe": "unsubscribed",
    "reject": "blocked",
}


def read_mailtrap(payload: object, _delivery: Delivery) -> Events:
    for event in each_object(pick(payload, "events") or []):
        name = as_text(event.get("event")) or "unknown"
        yield MailEvent(
            name=name,
            event_type=_MAILTRAP_KINDS.get(name, "unknown"),
            recipient=as_text(event.get("email")),
            message_id=as_text(event.get("message_id")),
            event_id=as_text(event.get("event_id")),
            timestamp=as_instant(event.get("timestamp")),
            reject_reason=_MAILTRAP_REASONS.get(name),
            description=as_word(event.get("reason")),
            mta_response=as_word(event.get("response")),
            click_url=as_text(event.get("url")),
            user_agent=as_text(event.get("user_agent")),
            ip=as_text(event.get("ip")),
            tags=as_tags(event.get("category")),
            metadata=as_object(event.get("custom_variables")),
        )


# Postal

_POSTAL_KINDS: Final = {
    "MessageSent": "delivered",
    "MessageDelayed": "deferred",
    "MessageDeliveryFailed": "failed",
    "MessageHeld": "queued",
    "MessageBounced": "bounced",
    "MessageLinkClicked": "clicked",
    "MessageLoaded": "opened",
}


def read_postal(payload: object, _delivery: Delivery) -> Events:
    """Mail that came in has events of the same names: they are nobody's touchpoint."""
    data, name = as_object(pick(payload, "payload")), as_text(pick(payload, "event")) or "unknown"
    message = as_object(first(data.get("original_message"), data.get("message")))
    kind = "bounced" if "bounce" in data else _POSTAL_KINDS.get(name, "unknown")
    time = as_instant(pick(payload, "timestamp"))
    if message.get("direction") == "incoming":
        return [MailEvent(f"{name}:incoming", "inbound", None)]
    return [
        MailEvent(
            name=name,
            event_type=kind,
            recipient=as_text(message.get("to")),
            message_id=as_text(message.get("id")),
            event_id=as_text(pick(payload, "uuid")),
            timestamp=None if time is None else time.replace(microsecond=0),
            reject_reason="bounced" if kind == "bounced" else None,
            description=as_word(data.get("details")),
            mta_response=as_word(data.get("output")),
            click_url=as_text(data.get("url")),
            user_agent=as_text(data.get("user_agent")),
            ip=as_text(data.get("ip_address")),
            subject=as_text(message.get("subject")),
            tags=as_tags(message.get("tag")),
        )
    ]


# Unisender Go

_UNISENDER_KINDS: Final = {
    "sent": "sent",
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "subscribed": "subscribed",
    "spam": "complained",
    "soft_bounced": "deferred",
    "hard_bounced": "bounced",
}


def read_unisender_go(payload: object, _delivery: Delivery) -> Events:
    """Events by user and list, or the one event where the webhook says so."""
    users = as_list(pick(payload, "events_by_user"))
    events = [as_object(event) for user in users for event in as_list(pick(user, "events"))] if users else [as_object(payload)]
    for event in events:
        data = as_object(event.get("event_data")) or event
        name, details = as_text(data.get("status")) or as_text(event.get("event_name")) or "unknown", data.get("delivery_info")
        metadata = dict(as_object(data.get("metadata")))
        named = metadata.pop("anymail_id", None)
        is_status = event.get("event_name") == "transactional_email_status"
        yield MailEvent(
            name=name,
            event_type=_UNISENDER_KINDS.get(name, "unknown") if is_status else "unknown",
            recipient=as_text(data.get("email")),
            message_id=as_text(first(named, data.get("job_id"))),
            timestamp=as_instant(data.get("event_time")),
            reject_reason="bounced" if name in ("soft_bounced", "hard_bounced") else None,
            description=as_word(first(pick(details, "delivery_status"), data.get("comment"))),
            mta_response=as_word(pick(details, "destination_response")),
            click_url=as_text(data.get("url")),
            user_agent=as_text(pick(details, "user_agent")),
            ip=as_text(pick(details, "ip")),
            metadata=metadata,
        )
