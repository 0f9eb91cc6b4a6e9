"""Zendesk: what becomes of tickets, and the people who write them. Event subscriptions, or a trigger that sends the same shape.

An event names the requester by Zendesk's number alone; user events join that to an e-mail address, and so does a trigger that
sends `requester_email` (docs/webhooks.md).
"""

from typing import Final

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, Touchpoint, hash_body, name_message
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import Object, as_long_text, as_object, as_text, compact, first, format_instant, pick

_PREFIX: Final = "zen:event-type:"
_NO_EVENT: Final = Refusal(Reason.INVALID, "the body is no Zendesk event")
_SOLVED: Final = frozenset({"solved", "closed"})
_UPDATES: Final = frozenset(
    {
        "ticket.comment_added",
        "ticket.priority_changed",
        "ticket.subject_changed",
        "ticket.agent_assignment_changed",
        "ticket.group_assignment_changed",
        "ticket.tags_changed",
        "ticket.type_changed",
        "ticket.custom_status_changed",
    }
)
_USERS: Final = frozenset({"user.created", "user.name_changed", "user.external_id_changed", "user.identity_created"})


def read_zendesk(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    event = as_object(payload)
    stated = as_text(event.get("type"))
    if stated is None:
        return _NO_EVENT
    topic, detail = stated.removeprefix(_PREFIX), as_object(event.get("detail"))
    touchpoint = _write_ticket(topic, event, detail) if topic.startswith("ticket.") else _write_user(topic, event, detail)
    if touchpoint is None:
        return Reading(ignored=[topic])
    touchpoint["id"] = name_message(as_text(event.get("id")) or hash_body(delivery.body))
    touchpoint["occurred_at"] = format_instant(first(event.get("time"), detail.get("updated_at")))
    return Reading([touchpoint])


def _write_ticket(topic: str, event: Object, detail: Object) -> Touchpoint | None:
    name = _name_ticket(topic, as_object(event.get("event")), _lower(detail.get("status")))
    if name is None:
        return None
    comment = as_object(pick(event, "event", "comment"))
    return {
        "name": name,
        "channel": "support",
        "identifiers": compact(
            {
                "user_id": as_text(detail.get("requester_external_id")),
                "zendesk_user": as_text(detail.get("requester_id")),
                "email": as_text(detail.get("requester_email")),
                "phone": as_text(detail.get("requester_phone")),
            }
        ),
        "properties": compact(
            {
                "ticket_id": as_text(detail.get("id")),
                "subject": as_text(detail.get("subject")),
                "body": as_long_text(first(comment.get("body"), detail.get("description"))),
                "priority": _lower(detail.get("priority")),
                "status": _lower(detail.get("status")),
                "agent": as_text(detail.get("assignee_id")),
                "type": _lower(detail.get("type")),
                "via": as_text(pick(detail, "via", "channel")),
                "tags": detail.get("tags") if isinstance(detail.get("tags"), list) else None,
                "public": comment.get("is_public") if isinstance(comment.get("is_public"), bool) else None,
                "comment_author": as_text(pick(comment, "author", "id")),
            }
        ),
    }


def _name_ticket(topic: str, change: Object, status: str | None) -> str | None:
    """A ticket is open as long as the last word about it isn't Solved: so what happens to a solved one says so again."""
    if topic == "ticket.created":
        return "Support Ticket Opened"
    if topic == "ticket.status_changed":
        previous, status = (_lower(change.get(name)) for name in ("previous", "current"))
        if previous in _SOLVED and status not in _SOLVED:
            return "Support Ticket Reopened"
    elif topic not in _UPDATES:
        return None
    return "Support Ticket Solved" if status in _SOLVED else "Support Ticket Updated"


def _write_user(topic: str, event: Object, detail: Object) -> Touchpoint | None:
    if topic not in _USERS or _lower(detail.get("role")) not in ("end-user", "end_user", None):
        return None
    identity = as_object(pick(event, "event", "identity"))
    own = {_lower(identity.get("type")): as_text(identity.get("value"))} if topic == "user.identity_created" else {}
    return {
        "kind": "identify",
        "channel": "support",
        "identifiers": compact(
            {
                "user_id": as_text(detail.get("external_id")),
                "zendesk_user": as_text(detail.get("id")),
                "email": first(own.get("email"), as_text(detail.get("email"))),
                "phone": first(own.get("phone_number"), as_text(detail.get("phone"))),
            }
        ),
        "traits": compact({"name": as_text(first(detail.get("name"), pick(event, "event", "current")))})
        if topic != "user.external_id_changed"
        else {},
    }


def _lower(value: object) -> str | None:
    text = as_text(value)
    return None if text is None else text.lower()
