"""One call as its sender made it: read, made safe to pass on, not yet judged.

The strict reader is the road of nearly all calls. What it refuses the tolerant one repairs, and the strict one reads it again, so
that both roads give the same.
"""

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from libs.identity import to_text
from services.ingest.domain.identifiers import Claim, SourceRules, collect_claims, collect_previous
from services.ingest.domain.limits import DEPTH, KEYS
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.tolerant import TOO_DEEP, TOO_MANY_KEYS, Cleaner, count_keys, encode, is_deeper_than, parse
from services.ingest.domain.vocabulary import ORDER_STEPS, Kind, is_kind, name_call

Object = dict[str, object]
Scalar = str | int | float | None
Members = dict[str, Raw]

ABSENT: Final = Raw(b"")


class Item(Struct, rename="camel"):
    """A tracking call on the wire. Ids may be numbers; objects stay the bytes they were sent as."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    user_id: Scalar = None
    anonymous_id: Scalar = None
    group_id: Scalar = None
    previous_id: Scalar = None
    message_id: Scalar = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    channel: str | None = None
    write_key: str | None = None
    properties: Raw = ABSENT
    traits: Raw = ABSENT
    context: Raw = ABSENT


class Payload(Struct, frozen=True):
    """A JSON object that passes through: its bytes, and what they say."""

    raw: Raw
    value: Object


EMPTY: Final = Payload(Raw(b"{}"), {})


class Call(Struct):
    """A call of any route. `claims` name whom it is about, `previous` whom an alias says that was before.

    `name` is what a track call says happened, or what a page or screen is called.
    """

    kind: Kind
    name: str | None
    category: str | None
    message_id: str | None
    claims: list[Claim]
    previous: list[Claim]
    timestamp: str | None
    original_timestamp: str | None
    sent_at: str | None
    channel: str | None
    group_id: str | None
    properties: Payload
    traits: Payload
    context: Payload
    flags: tuple[Flag, ...] = ()


_ITEM: Final = msgspec.json.Decoder(Item)
_ANY: Final = msgspec.json.Decoder()
_MEMBERS: Final = msgspec.json.Decoder(Members)
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a strict decoder may raise over any bytes."""

_LONG_INTEGER: Final = 309
_LEAST_MEMBER: Final = 5
_SEEN: Final = re.compile(rb"[0-9]{3}")
_SEEN_IN_BODY: Final = re.compile(rb"[0-9]{10}")
_ENDLESS: Final = re.compile(rb"[0-9]{309}")

_IDS: Final = ("userId", "anonymousId", "groupId", "previousId", "messageId")
_TEXTS: Final = ("type", "event", "name", "category", "channel", "writeKey")
_TIMES: Final = ("timestamp", "originalTimestamp", "sentAt")
_OBJECTS: Final = ("properties", "traits", "context")


class NotStrict(ValueError):
    """Readable, but not as it stands: the tolerant reader's business."""


def read_call(
    data: bytes, *, kind: Kind | None, source: SourceRules, shared_context: Members | None = None, is_known_plain: bool = False
) -> Call | Refusal:
    """Read one call. `kind` is the path's and wins over `type`; `shared_context` is the batch's, merged under the call's own.

    `is_known_plain`: the call's batch was looked at as a whole, see `is_body_plain`.
    """
    try:
        if is_known_plain or not is_suspect(data):
            return _read_strict(data, kind, source, shared_context)
        repaired = repair_item(data, kind)
    except (NotStrict, *UNREADABLE):
        repaired = repair_item(data, kind)
    if isinstance(repaired, Refusal):
        return repaired
    clean, flags = repaired
    call = _read_strict(clean, kind, source, shared_context)
    if isinstance(call, Call):
        call.flags = flags
    return call


def _read_strict(data: bytes, kind: Kind | None, source: SourceRules, shared_context: Members | None) -> Call | Refusal:
    item = _ITEM.decode(data)
    if kind is None:
        stated = item.type.lower() if item.type else None
        if not is_kind(stated):
            return Refusal(Reason.UNKNOWN_KIND, "`type` is none of track, identify, page, screen, group, alias")
        kind = stated
    context = item.context if shared_context is None else _merge_under(item.context, shared_context)
    properties = EMPTY if item.properties is ABSENT else read_object(item.properties)
    traits = EMPTY if item.traits is ABSENT else read_object(item.traits)
    context_payload = EMPTY if context is ABSENT else read_object(context)
    if may_be_deep(data) and is_too_deep(properties, traits, context_payload):
        return TOO_DEEP
    if may_have_many_keys(data) and has_too_many_keys(properties, traits, context_payload):
        return TOO_MANY_KEYS
    if kind == "identify" and not traits.value:
        # rudder-sdk-python's identify has its traits in the context alone.
        traits = _read_context_traits(context, context_payload.value)
    return Call(
        kind,
        item.event if kind == "track" else item.name,
        item.category,
        _to_text(item.message_id),
        collect_claims(
            kind,
            user_id=item.user_id,
            anonymous_id=item.anonymous_id,
            traits=traits.value,
            context=context_payload.value,
            source=source,
        ),
        collect_previous(item.previous_id, item.user_id, item.anonymous_id, source=source) if kind == "alias" else [],
        item.timestamp,
        item.original_timestamp,
        item.sent_at,
        item.channel,
        _to_text(item.group_id) or None,
        properties,
        traits,
        context_payload,
    )


def _to_text(value: Scalar) -> str | None:
    return value if value is None or type(value) is str else to_text(value)


def is_suspect(data: bytes) -> bool:
    """Whether it may hold what decoders let pass and nobody can store: a NUL, or an integer that no double can hold.

    The first look nearly always says no. (Of 309 digits in a row at least three are seen in every hundredth byte.)
    """
    if b"\\" in data and b"\\u0000" in data:
        return True
    return len(data) >= _LONG_INTEGER and _SEEN.search(data[::100]) is not None and _ENDLESS.search(data) is not None


def is_body_plain(body: bytes) -> bool:
    """Whether none of a batch's calls is suspect, by one look at all of them. (Of 309 digits in a row ten are seen.)"""
    return (b"\\" not in body or b"\\u0000" not in body) and _SEEN_IN_BODY.search(body[:: _LONG_INTEGER // 10]) is None


def may_be_deep(data: bytes) -> bool:
    """Few brackets can't be nested deep."""
    return data.count(b"{") + data.count(b"[") > DEPTH


def is_too_deep(*payloads: Payload) -> bool:
    return any(is_deeper_than(payload.value, DEPTH - 1) for payload in payloads)


def may_have_many_keys(data: bytes) -> bool:
    """A member is at least five bytes (`"":0,`) and one of them a colon: most calls are too short to be looked at."""
    return len(data) > _LEAST_MEMBER * KEYS and data.count(b":") > KEYS


def has_too_many_keys(*payloads: Payload) -> bool:
    return sum(count_keys(payload.value) for payload in payloads) > KEYS


def read_object(raw: Raw) -> Payload:
    """Decoded for two reasons: rules look into it, and it proves that the bytes are UTF-8 with numbers that a double can hold."""
    value = _ANY.decode(raw)
    if type(value) is dict:
        return Payload(raw, value)
    if value is None:
        return EMPTY
    raise NotStrict


def _merge_under(own: Raw, shared: Members) -> Raw:
    """The call's own members win, each as a whole. A context that is no object is left for `read_object` to refuse."""
    if own is ABSENT or bytes(own) == b"null":
        return Raw(msgspec.json.encode(shared))
    try:
        members = _MEMBERS.decode(own)
    except msgspec.ValidationError:
        return own
    return Raw(msgspec.json.encode({**shared, **members}))


def _read_context_traits(context: Raw, value: Object) -> Payload:
    traits = value.get("traits")
    if not isinstance(traits, dict):
        return EMPTY
    return Payload(Raw(bytes(_MEMBERS.decode(context)["traits"])), traits)


def repair_item(data: bytes, kind: Kind | None) -> tuple[bytes, tuple[Flag, ...]] | Refusal:
    """An item's known members as clean JSON of the right types, and what had to be changed; refused where that can't be."""
    value = parse(data)
    if isinstance(value, Refusal):
        return value
    if not isinstance(value, dict):
        return Refusal(Reason.NOT_AN_OBJECT, "the call is no JSON object")
    cleaner = Cleaner()
    flags: set[Flag] = set()
    clean: Object = {}
    for fields, fit in ((_IDS, _fit_id), (_TEXTS, _fit_text), (_TIMES, _fit_time), (_OBJECTS, _fit_object)):
        for field in fields:
            if value.get(field) is not None:
                clean[field], flag = fit(cleaner.clean(value[field], 1))
                if flag is not None:
                    flags.add(flag)
    if cleaner.too_deep:
        return TOO_DEEP
    if cleaner.not_finite:
        return refuse_number(kind or clean.get("type"), clean.get("event"))
    if cleaner.replaced:
        flags.add(Flag.CHARACTERS_REPLACED)
    return encode(clean), tuple(sorted(flags))


def refuse_number(kind: object, event: object) -> Refusal:
    """For a call that holds a number no double can: in an order it is taken for an amount."""
    if kind == "track" and isinstance(event, str) and name_call("track", event) in ORDER_STEPS:
        return Refusal(Reason.AMOUNT_INVALID, "the order holds a number that is not finite")
    return Refusal(Reason.NUMBER_NOT_FINITE, "the call holds a number that is not finite")


def _fit_id(value: object) -> tuple[object, Flag | None]:
    """Ids may be numbers, but no truth values, lists or objects."""
    if isinstance(value, str) or to_text(value) is not None:
        return value, None
    return None, Flag.FIELD_DROPPED


def _fit_text(value: object) -> tuple[object, Flag | None]:
    if isinstance(value, str):
        return value, None
    text = to_text(value)
    return text, Flag.FIELD_DROPPED if text is None else Flag.TEXT_AS_NUMBER


def _fit_time(value: object) -> tuple[object, Flag | None]:
    """A number could be seconds or milliseconds: it is not guessed."""
    return (value, None) if isinstance(value, str) else (None, Flag.TIMESTAMP_UNREADABLE)


def _fit_object(value: object) -> tuple[object, Flag | None]:
    return (value, None) if isinstance(value, dict) else (None, Flag.FIELD_DROPPED)
