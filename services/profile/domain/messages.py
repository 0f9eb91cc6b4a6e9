"""The last message sent to a customer: a latest word by (t, touchpoint id), kept with the identifier it was folded in."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec
from msgspec import Raw

from libs.kit.times import format_utc, from_micros, to_micros

SENT: Final = frozenset({"Email Sent", "SMS Sent", "Push Sent"})


class LastMessage(msgspec.Struct, array_like=True, frozen=True):
    """`campaign_id` None: the sender named none."""

    t_us: int
    by: UUID
    name: str
    channel: str
    campaign_id: str | None = None


class _Properties(msgspec.Struct):
    campaign_id: object = None


class _Shown(msgspec.Struct):
    name: str
    channel: str
    at: str
    campaign_id: str | None


class Touchpoint(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def properties(self) -> Raw: ...


_properties = msgspec.json.Decoder(_Properties)
_encode = msgspec.json.Encoder().encode


def read_message(touchpoint: Touchpoint) -> LastMessage:
    """Of a touchpoint whose name is in `SENT`."""
    campaign = _properties.decode(touchpoint.properties).campaign_id
    return LastMessage(
        to_micros(touchpoint.occurred_at),
        touchpoint.id,
        touchpoint.name,
        touchpoint.channel,
        campaign if isinstance(campaign, str) else None,
    )


def choose_last(messages: Iterable[LastMessage | None]) -> LastMessage | None:
    sent = [message for message in messages if message is not None]
    return max(sent, key=lambda message: (message.t_us, message.by)) if sent else None


def render_last_message(message: LastMessage | None) -> bytes:
    """The member `last_message` of the view."""
    if message is None:
        return b'"last_message":null'
    at = format_utc(from_micros(message.t_us))
    return b'"last_message":%b' % _encode(_Shown(message.name, message.channel, at, message.campaign_id))
