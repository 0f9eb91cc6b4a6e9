"""From a call to the draft of a touchpoint, or to the one reason why it is refused. Pure: the time of receipt is an argument."""

from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.orders.statements import OrderStatement
from services.ingest.domain.calls import Call, Object, Payload
from services.ingest.domain.campaigns import Origin, derive_origin
from services.ingest.domain.consents import ConsentWord, read_consents
from services.ingest.domain.identifiers import IdentifierBook, Named, SourceRules
from services.ingest.domain.limits import NAME_CHARS
from services.ingest.domain.orders import add_standard_names, read_order
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.times import Timing, correct_time
from services.ingest.domain.tolerant import encode, to_decimal
from services.ingest.domain.vocabulary import (
    CONSENT_NAMES,
    ORDER_STEPS,
    Channel,
    Kind,
    choose_channel,
    has_products,
    name_call,
)

I = TypeVar("I")  # noqa: E741 - an identifier

_EXACT: Final = msgspec.json.Decoder(Object, float_hook=to_decimal)


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
) -> Draft[I] | Refusal:
    """Judge a call: whom it is about, what it is called, when it happened, what it says of orders, consent and campaigns."""
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
    properties, order, flags = stated
    occurred_at, original_at, time_flags = _read_time(name, call, skew, received_at)
    consents, consent_flags = read_consents(name, call.properties.value, call.context.value)
    return Draft(
        call.kind,
        name,
        choose_channel(call.channel, source.default_channel, call.kind),
        occurred_at,
        original_at,
        identifiers,
        previous,
        call.group_id,
        properties,
        call.traits.raw,
        call.context.raw,
        order,
        derive_origin(call.context.value),
        consents,
        call.flags + flags + time_flags + consent_flags,
    )


def _read_time(name: str, call: Call, skew: timedelta, received_at: datetime) -> Timing:
    timing = correct_time(call.timestamp, call.original_timestamp, skew=skew, received_at=received_at)
    if name in CONSENT_NAMES and timing.occurred_at > received_at:
        # Consent counts from its receipt at the latest: a clock that is ahead must not outlast a later withdrawal.
        return Timing(received_at, timing.original_at or timing.occurred_at, timing.flags)
    return timing


def _read_properties(
    name: str, call: Call, touchpoint_id: UUID, default_currency: str
) -> tuple[Raw, OrderStatement | None, tuple[Flag, ...]] | Refusal:
    if call.kind == "track" and has_products(name):
        return _read_commerce(name, call.properties, touchpoint_id, default_currency)
    if call.kind in ("page", "screen"):
        return _add_page_names(call), None, ()
    return call.properties.raw, None, ()


def _read_commerce(
    name: str, payload: Payload, touchpoint_id: UUID, default_currency: str
) -> tuple[Raw, OrderStatement | None, tuple[Flag, ...]] | Refusal:
    """Properties under their standard names (as sent where nothing had to change), the order's statement, and flags."""
    properties = _EXACT.decode(payload.raw)
    renamed = add_standard_names(properties)
    flags: tuple[Flag, ...] = (Flag.ALIASES,) if renamed else ()
    step = ORDER_STEPS.get(name)
    if step is None:
        return (Raw(encode(properties)) if renamed else payload.raw), None, flags
    reading = read_order(step, properties, touchpoint_id=str(touchpoint_id), default_currency=default_currency)
    if isinstance(reading, Refusal):
        return reading
    changed = renamed or reading.changed
    return (Raw(encode(properties)) if changed else payload.raw), reading.statement, flags + reading.flags


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
