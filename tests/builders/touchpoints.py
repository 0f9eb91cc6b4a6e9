"""Touchpoints with everything a test doesn't care about filled in."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from msgspec import Raw

from libs.events.touchpoints import Campaign, Channel, ConsentStatement, Device, Identifier, Kind, TouchpointRecorded
from libs.orders.statements import OrderLine, OrderStatement

SPACE = UUID(int=42)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES: dict[str, str] = {
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "identify": "Identified",
    "group": "Grouped",
    "alias": "Aliased",
}


def make_fragment(kind: str, value: str) -> UUID:
    return uuid5(SPACE, f"{kind}:{value}")


def make_identifier(named: str, *, verified: bool = True) -> Identifier:
    """From `kind:value`."""
    kind, _, value = named.partition(":")
    return Identifier(kind=kind, value=value, fragment=make_fragment(kind, value), verified=verified)


def make_touchpoint(
    number: int | str,
    *,
    kind: Kind = "track",
    name: str | None = None,
    by: Sequence[str] = ("user_id:u1",),
    at: datetime | float = START,
    received_at: datetime | None = None,
    channel: Channel = "server",
    properties: Mapping[str, Any] | None = None,
    traits: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    group_id: str | None = None,
    order: OrderStatement | None = None,
    lines: Sequence[OrderLine] = (),
    device: Device | None = None,
    campaign: Campaign | None = None,
    consent: Sequence[ConsentStatement] = (),
    previous: Sequence[str] = (),
    source_id: str = "shop",
) -> TouchpointRecorded:
    """`number` makes the id; `at` may be minutes after `START`; received half a minute later unless said."""
    occurred_at = at if isinstance(at, datetime) else START + timedelta(minutes=at)
    return TouchpointRecorded(
        id=uuid5(SPACE, str(number)) if isinstance(number, str) else UUID(int=number),
        message_id=str(number),
        source_id=source_id,
        kind=kind,
        name=name or NAMES.get(kind, "Product Viewed"),
        channel=channel,
        occurred_at=occurred_at,
        received_at=received_at or occurred_at + timedelta(seconds=30),
        identifiers=tuple(make_identifier(named) for named in by),
        previous=tuple(make_identifier(named) for named in previous),
        group_id=group_id,
        properties=to_raw(properties),
        traits=to_raw(traits),
        context=to_raw(context),
        order=order,
        lines=tuple(lines),
        device=device,
        campaign=campaign,
        consent=tuple(consent),
    )


def to_raw(value: Mapping[str, Any] | None) -> Raw:
    return Raw(json.dumps(value or {}).encode())
