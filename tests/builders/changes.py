"""Records of profile-changes as the profile service publishes them, made by hand: what followers are tested with."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from libs.events import codec, topics
from libs.events.codec import decode
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import AppliedTouchpoint, Member, ProfileChanged
from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.identity import IdentityKey
from libs.orders.statements import OrderStatement

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = IdentityKey(bytes(range(32)))


def fragment_of(kind: str, value: str) -> UUID:
    return KEY.fragment_id(kind, value)


def make_touchpoint(
    name: str = "Page Viewed", *, minute: int = 0, order: OrderStatement | None = None, **changes: Any
) -> TouchpointRecorded:
    at = NOON + timedelta(minutes=minute)
    touchpoint_id = changes.pop("id", None) or uuid4()
    return TouchpointRecorded(
        id=touchpoint_id,
        message_id=str(touchpoint_id),
        source_id="test",
        kind="track",
        name=name,
        channel=changes.pop("channel", "server"),
        occurred_at=at,
        received_at=at,
        identifiers=(Identifier("user_id", "u1", fragment_of("user_id", "u1")),),
        order=order,
        **changes,
    )


def make_order(step: str, order_id: str | None, amount: str | None = None, **changes: Any) -> OrderStatement:
    currency = changes.pop("currency", "EUR" if step in ("completed", "updated") else None)
    return OrderStatement(step=step, order_id=order_id, amount=amount, currency=currency, **changes)  # type: ignore[arg-type]


def make_change(
    profile_id: UUID,
    version: int,
    *,
    fragments: tuple[UUID, ...],
    applied: tuple[tuple[UUID, TouchpointRecorded], ...] = (),
    membership: int = 1,
    snapshot: dict[str, Any] | None = None,
    **changes: Any,
) -> ProfileChanged:
    fields: dict[str, Any] = {
        "profile_id": profile_id,
        "version": version,
        "changed_at": NOON,
        "founding": fragments[0] if fragments else UUID(int=0),
        "parts": ("orders",),
        "causes": ("touchpoint",),
        "members": tuple(Member(fragment, membership, "user_id", fragment) for fragment in fragments),
        "touchpoints": tuple(AppliedTouchpoint(fragment, msgspec.Raw(msgspec.json.encode(body))) for fragment, body in applied),
        "snapshot": msgspec.Raw(msgspec.json.encode(snapshot if snapshot is not None else {})),
    }
    return ProfileChanged(**(fields | changes))


def to_incoming(outgoing: Outgoing, *, offset: int = 0) -> Incoming:
    """The record as a consumer would get it."""
    return Incoming(outgoing.topic, 0, offset, outgoing.key, outgoing.value, dict(outgoing.headers), outgoing.timestamp_ms or 0)


def to_record(change: ProfileChanged, *, offset: int = 0) -> Incoming:
    outgoing = codec.encode(
        change,
        topic=topics.PROFILE_CHANGES,
        key=change.profile_id,
        event_id=f"{change.profile_id}:{change.version}",
        source="profile",
        time=change.changed_at,
        received_ms=0,
    )
    return to_incoming(outgoing, offset=offset)


def read_events(outgoing: list[Outgoing] | tuple[Outgoing, ...]) -> list[Any]:
    """What was to be published, decoded."""
    return [decode(to_incoming(record)) for record in outgoing]
