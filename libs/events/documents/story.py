"""The people and ids that the examples are about. One identity key of zeros makes the fragment ids, so anyone can check them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.events.touchpoints import Identifier, TouchpointRecorded, compute_touchpoint_id
from libs.identity import IdentityKey, strength_key

KEY: Final = IdentityKey(bytes(32))
NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
VERSIONS: Final = 1 << 40  # generation 1: version = generation << 40 | n

ADA: Final = UUID("019ca8f1-6c00-7000-8000-0000000000ad")
"""Profile made by the anonymous visit, which survives the merge: its row is the earlier one."""
ADA_BEFORE: Final = UUID("019ca8f2-5660-7000-8000-0000000000ae")
"""Profile made by the order of the same person before she was known to be the visitor; absorbed."""
BEN: Final = UUID("019ca8f5-0000-7000-8000-0000000000be")


def minutes(count: float) -> datetime:
    """That many minutes after noon of the first day."""
    return NOON + timedelta(minutes=count)


def name(kind: str, value: str, *, verified: bool = True) -> Identifier:
    """An identifier, normalised already, with its fragment."""
    return Identifier(kind, value, KEY.fragment_id(kind, value), verified)


def to_raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def touch(message_id: str, called: str, at: datetime, *named: Identifier, **more: Any) -> TouchpointRecorded:
    """A touchpoint received 120 ms after it happened. `properties`, `traits` and `context` may be given as objects."""
    source_id = more.pop("source_id", "dev-server")
    fields: dict[str, Any] = {"kind": "track", "channel": "server", "received_at": at + timedelta(milliseconds=120)}
    raw: dict[str, Any] = {key: to_raw(more.pop(key)) for key in ("properties", "traits", "context") if key in more}
    return TouchpointRecorded(
        id=compute_touchpoint_id(source_id, message_id),
        message_id=message_id,
        source_id=source_id,
        name=called,
        occurred_at=at,
        identifiers=tuple(sorted(named, key=lambda one: strength_key(one.kind, one.value))),
        **{**fields, **raw, **more},
    )


def view(profile_id: UUID, version: int, updated_at: datetime, **parts: Any) -> msgspec.Raw:
    """The 360-degree view as `GET /v1/profiles/{id}` shows it. What isn't given is there with zeros and nulls."""
    aggregates: dict[str, Any] = {
        "orders": {
            "count": 0,
            "occasions": 0,
            "first_at": None,
            "last_at": None,
            "gross_minor": {},
            "refunds_minor": {},
            "net_minor": {},
            "average_minor": {},
        },
        "web": {"page_views": 0, "sessions": 0, "last_at": None},
        "support": {"tickets": 0, "tickets_open": 0, "csat_latest": None},
        "social": {"mentions": 0, "sentiment_average": None},
        "reviews": {"count": 0, "rating_average": None},
        "surveys": {"nps_latest": None},
        "messages": {},
    }
    defaults: dict[str, Any] = {
        "first_seen_at": updated_at,
        "last_seen_at": updated_at,
        "identifiers": [],
        "traits": {},
        "attribution": {"first": {}, "last": {}},
        "consent": [],
        "lead": {"stage": None, "since": None},
        "accounts": [],
        "segments": [],
        "loyalty": {"program": "default", "balance": 0, "pending": 0, "tier": None},
        "computed": {},
        "scores": {},
    }
    aggregates = {**aggregates, **parts.pop("aggregates", {})}
    return to_raw({"id": profile_id, "version": version, "updated_at": updated_at, **defaults, "aggregates": aggregates, **parts})


def show(identifier: Identifier, since: datetime) -> dict[str, Any]:
    """An identifier as the view lists it."""
    return {
        "kind": identifier.kind,
        "value": identifier.value,
        "fragment": identifier.fragment,
        "verified": identifier.verified,
        "since": since,
        "first_seen_at": since,
        "last_seen_at": since,
    }


VISITOR: Final = name("anonymous_id", "b0a1c2d3-visitor")
USER: Final = name("user_id", "u1")
EMAIL: Final = name("email", "ada@example.com")
CARD: Final = name("loyalty_card", "9900123456789")
PHONE: Final = name("phone", "+491701234567")
BENS_EMAIL: Final = name("email", "ben@example.org")
