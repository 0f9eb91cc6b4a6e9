"""Intercom: conversations as support tickets, ratings, contacts."""

from typing import Final

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint, hash_body, name_message
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import (
    Object,
    as_list,
    as_object,
    as_plain_text,
    as_text,
    compact,
    first,
    format_instant,
    pick,
)

_NO_EVENT: Final = Refusal(Reason.INVALID, "the body is no Intercom notification")
_CONVERSATIONS: Final = {
    "conversation.user.created": "Support Ticket Opened",
    "conversation.user.replied": "Support Ticket Updated",
    "conversation.admin.replied": "Support Ticket Updated",
    "conversation.admin.assigned": "Support Ticket Updated",
    "conversation.admin.closed": "Support Ticket Solved",
    "conversation.admin.opened": "Support Ticket Reopened",
    "ticket.created": "Support Ticket Opened",
    "ticket.state.updated": "Support Ticket Updated",
}
_RATED: Final = frozenset({"conversation.rating.added", "conversation.rating.remarked", "conversation.rating.remark"})
_CONTACTS: Final = frozenset(
    {
        "contact.created",
        "contact.user.created",
        "contact.user.updated",
        "contact.lead.updated",
        "contact.lead.signed_up",
        "contact.email.updated",
        "contact.added_email",
        "contact.lead.added_email",
        "user.created",
        "user.email.updated",
    }
)
_LEADS: Final = frozenset({"contact.lead.created"})
_UNSUBSCRIBED: Final = frozenset({"contact.unsubscribed", "contact.user.unsubscribed", "user.unsubscribed"})
_CLOSED: Final = frozenset({"closed", "resolved"})
_STAFF: Final = frozenset({"admin", "bot", "team"})


def read_intercom(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    event = as_object(payload)
    topic, item = as_text(event.get("topic")), as_object(pick(event, "data", "item"))
    if topic is None:
        return _NO_EVENT
    touchpoint = _write(topic, item)
    if touchpoint is None:
        return Reading(ignored=[topic])
    touchpoint["id"] = name_message(as_text(event.get("id")) or hash_body(delivery.body))
    touchpoint["occurred_at"] = format_instant(event.get("created_at"))
    return Reading([touchpoint])


def _write(topic: str, item: Object) -> Touchpoint | None:
    if topic in _CONVERSATIONS:
        return _write_conversation(_name_conversation(topic, item), item)
    if topic in _RATED:
        return _write_rating(item)
    if topic in _UNSUBSCRIBED:
        return {"name": "Unsubscribed", "channel": "email", "identifiers": _identify(item), "properties": {}}
    if topic in _LEADS:
        return {
            "name": "Lead Captured",
            "identifiers": _identify(item),
            "properties": {"lead_source": "intercom"},
            "traits": _read_traits(item),
        }
    if topic in _CONTACTS:
        return {"kind": "identify", "identifiers": _identify(item), "traits": _read_traits(item)}
    return None


def _name_conversation(topic: str, item: Object) -> str:
    """What happens to a closed conversation leaves it closed: the last word about it has to say so."""
    name = _CONVERSATIONS[topic]
    state = as_text(first(pick(item, "ticket_state", "category"), item.get("ticket_state"), item.get("state")))
    return "Support Ticket Solved" if name == "Support Ticket Updated" and state in _CLOSED else name


def _write_conversation(name: str, item: Object) -> Touchpoint:
    parts = as_list(pick(item, "conversation_parts", "conversation_parts"))
    latest = as_object(parts[-1]) if parts else {}
    source = as_object(first(item.get("source"), item.get("conversation_message")))
    attributes = as_object(item.get("ticket_attributes"))
    return {
        "name": name,
        "channel": "support",
        "identifiers": _identify_writer(item),
        "properties": compact(
            {
                "ticket_id": as_text(item.get("id")),
                "subject": as_plain_text(first(source.get("subject"), item.get("title"), attributes.get("_default_title_"))),
                "body": as_plain_text(first(latest.get("body"), source.get("body"), attributes.get("_default_description_"))),
                "priority": as_text(item.get("priority")),
                "status": as_text(item.get("state")),
                "agent": as_text(first(item.get("admin_assignee_id"), pick(item, "assignee", "id"))),
                "via": as_text(source.get("delivered_as")),
            }
        ),
    }


def _write_rating(item: Object) -> Touchpoint:
    rating = as_object(item.get("conversation_rating"))
    return {
        "name": "Survey Answered",
        "channel": "support",
        "identifiers": _identify_writer(item),
        "properties": compact(
            {
                "survey_type": "csat",
                "survey_id": "intercom_conversation_rating",
                "score": rating.get("rating") if isinstance(rating.get("rating"), int) else None,
                "comment": as_plain_text(rating.get("remark")),
                "ticket_id": as_text(item.get("id")),
                "agent": as_text(first(pick(rating, "teammate", "id"), pick(rating, "admin", "id"))),
            }
        ),
    }


def _identify_writer(item: Object) -> dict[str, object]:
    """Whose conversation it is: its first contact, else who began it, unless that was staff."""
    contact = as_object(first(pick(item, "contacts", "contacts", 0), pick(item, "contacts", 0), item.get("user")))
    author = as_object(first(pick(item, "source", "author"), pick(item, "conversation_message", "author")))
    if as_text(author.get("type")) in _STAFF:
        author = {}
    same = not contact or not author or as_text(contact.get("id")) == as_text(author.get("id"))
    return {**(_identify(author) if same else {}), **_identify(contact)}


def _identify(contact: Object) -> dict[str, object]:
    """A lead's user id is Intercom's own invention."""
    is_lead = first(contact.get("role"), contact.get("type")) == "lead"
    return compact(
        {
            "user_id": None if is_lead else as_text(first(contact.get("external_id"), contact.get("user_id"))),
            "intercom_contact": as_text(contact.get("id")),
            "email": as_text(contact.get("email")),
            "phone": as_text(contact.get("phone")),
        }
    )


def _read_traits(contact: Object) -> dict[str, object]:
    location = as_object(first(contact.get("location"), contact.get("location_data")))
    return compact(
        {
            "name": as_text(contact.get("name")),
            "language": as_text(first(contact.get("language_override"), contact.get("browser_language"))),
            "city": as_text(first(location.get("city"), location.get("city_name"))),
            "country": as_text(first(location.get("country_code"), location.get("country"), location.get("country_name"))),
        }
    )
