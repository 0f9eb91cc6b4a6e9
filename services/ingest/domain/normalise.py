"""From a call to the draft of a touchpoint, or to the one reason why it is refused. Pure: the time of receipt is an argument."""

from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.orders.statements import Money, OrderLine, OrderStatement
from libs.vocabulary import CATALOGUE
from services.ingest.domain.aliases import add_standard_names
from services.ingest.domain.calls import Call, Object, Payload
from services.ingest.domain.campaigns import Origin, derive_origin
from services.ingest.domain.consents import ConsentWord, read_consents
from services.ingest.domain.devices import Device, read_device
from services.ingest.domain.identifiers import IdentifierBook, Named, SourceRules
from services.ingest.domain.limits import NAME_CHARS
from services.ingest.domain.orders import read_order
from services.ingest.domain.pages import Page, read_page
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.times import Timing, correct_time
from services.ingest.domain.tolerant import encode, to_decimal
from services.ingest.domain.vocabulary import (
    CONSENT_NAMES,
    ORDER_STEPS,
    Channel,
    Kind,
    OrderStep,
    choose_channel,
    is_like_standard,
    name_call,
)

I = TypeVar("I")  # noqa: E741 - an identifier

_STANDARD: Final = frozenset(CATALOGUE.names)
_EXACT: Final = msgspec.json.Decoder(Object, float_hook=to_decimal)


class _Stated(Struct, frozen=True):
    """The properties as they are to be recorded, and what they say of an order."""

    properties: Raw
    order: OrderStatement | None = None
    money: Money | None = None
    lines: tuple[OrderLine, ...] = ()
    flags: tuple[Flag, ...] = ()


class Draft(Struct, Generic[I]):
    """Everything decided about a touchpoint but its id and source, which the caller has."""

    kind: Kind
    name: str
    channel: Channel
    occurred_at: datetime
    original_at: datetime | None
    identifiers: list[Named[I]]
    previous: list[Named[I]]
    group_id: str | None
    properties: Raw
    traits: Raw
    context: Raw
    order: OrderStatement | None
    money: Money | None
    lines: tuple[OrderLine, ...]
    page: Page | None
    device: Device | None
    origin: Origin | None
    consents: tuple[ConsentWord, ...]
    flags: tuple[Flag, ...]


def normalise(
    call: Call,
    *,
    touchpoint_id: UUID,
    source: SourceRules,
    received_at: datetime,
    skew: timedelta,
    book: IdentifierBook[I],
    user_agent: str | None = None,
) -> Draft[I] | Refusal:
    """Judge a call: whom it is about, what it is called, when it happened, what it says of orders, consent and campaigns.

    `user_agent`: the request's, where a visitor's own browser sent it.
    """
    name = name_call(call.kind, call.name)
    if name is None:
        return Refusal(Reason.NAME_MISSING, "a track call without `event`")
    if len(name) > NAME_CHARS:
        return Refusal(Reason.NAME_TOO_LONG, f"a name of more than {NAME_CHARS} characters")
    identifiers = book.name_all(call.claims, verified=source.verified)
    if isinstance(identifiers, Refusal):
        return identifiers
    previous = book.name_all(call.previous, verified=source.verified) if call.previous else []
    if isinstance(previous, Refusal):
        if previous.reason is not Reason.NO_IDENTIFIER:
            return previous
        previous = []
    stated = _read_properties(name, call, touchpoint_id, source.default_currency)
    if isinstance(stated, Refusal):
        return stated
    timing = _read_time(name, call, skew, received_at)
    context, properties = call.context.value, call.properties.value
    consents, consent_flags = read_consents(name, properties, context)
    return Draft(
        call.kind,
        name,
        choose_channel(call.channel, source.default_channel, call.kind),
        timing.occurred_at,
        timing.original_at,
        identifiers,
        previous,
        call.group_id,
        stated.properties,
        call.traits.raw,
        call.context.raw,
        stated.order,
        stated.money,
        stated.lines,
        read_page(call.kind, context, properties),
        read_device(context, user_agent),
        derive_origin(context),
        consents,
        call.flags + stated.flags + timing.flags + consent_flags,
    )


def _read_time(name: str, call: Call, skew: timedelta, received_at: datetime) -> Timing:
    timing = correct_time(call.timestamp, call.original_timestamp, skew=skew, received_at=received_at)
    if name in CONSENT_NAMES and timing.occurred_at > received_at:
        # Consent counts from its receipt at the latest: a clock that is ahead must not outlast a later withdrawal.
        return Timing(received_at, timing.original_at or timing.occurred_at, timing.flags)
    return timing


def _read_properties(name: str, call: Call, touchpoint_id: UUID, default_currency: str) -> _Stated | Refusal:
    if call.kind != "track":
        return _Stated(_add_page_names(call) if call.kind in ("page", "screen") else call.properties.raw)
    if name not in _STANDARD:
        return _Stated(call.properties.raw, flags=(Flag.NAME_LIKE_STANDARD,) if is_like_standard(name) else ())
    payload = add_standard_names(name, call.properties)
    flags: tuple[Flag, ...] = () if payload is call.properties else (Flag.ALIASES,)
    step = ORDER_STEPS.get(name)
    return (
        _Stated(payload.raw, flags=flags) if step is None else _read_order(step, payload, flags, touchpoint_id, default_currency)
    )


def _read_order(
    step: OrderStep, payload: Payload, flags: tuple[Flag, ...], touchpoint_id: UUID, default_currency: str
) -> _Stated | Refusal:
    """Decoded a second time, now to the decimals that were sent."""
    properties = _EXACT.decode(payload.raw)
    reading = read_order(step, properties, touchpoint_id=str(touchpoint_id), default_currency=default_currency)
    if isinstance(reading, Refusal):
        return reading
    raw = Raw(encode(properties)) if reading.changed else payload.raw
    return _Stated(raw, reading.statement, reading.money, reading.lines, flags + reading.flags)


def _add_page_names(call: Call) -> Raw:
    """A page's name and category belong to its properties; only browsers write them there too."""
    own = call.properties.value
    missing = {
        field: text for field, text in (("name", call.name), ("category", call.category)) if text and own.get(field) is None
    }
    if not missing:
        return call.properties.raw
    members = msgspec.json.decode(call.properties.raw, type=dict[str, Raw])
    return Raw(msgspec.json.encode({**members, **missing}))
