"""`POST /v1/touchpoints`, our own plain JSON: unknown members refuse the whole request, a bad value only its touchpoint."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from libs.identity import normalise_kind
from services.ingest.domain.calls import (
    ABSENT,
    EMPTY,
    UNREADABLE,
    Call,
    NotStrict,
    Scalar,
    has_too_many_keys,
    is_suspect,
    is_too_deep,
    may_be_deep,
    may_have_many_keys,
    read_object,
    refuse_number,
)
from services.ingest.domain.identifiers import Claim, SourceRules, collect_previous
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.requests import Batch, is_not_json
from services.ingest.domain.times import read_instant
from services.ingest.domain.tolerant import NOT_JSON, TOO_DEEP, TOO_MANY_KEYS, Cleaner, encode, parse, split_batch
from services.ingest.domain.vocabulary import KIND_NAMES, Channel, Kind

_QUOTED: Final = re.compile(r"'.*'", re.DOTALL)


class Touchpoint(Struct, forbid_unknown_fields=True):
    """One touchpoint of the request. `id` is the message id; `identifiers` name whom it is about, and nothing else does."""

    identifiers: dict[str, Scalar]
    name: str | None = None
    id: str | None = None
    kind: Kind = "track"
    occurred_at: str | None = None
    channel: Channel | None = None
    group_id: Scalar = None
    previous_id: Scalar = None
    properties: Raw = ABSENT
    traits: Raw = ABSENT
    context: Raw = ABSENT


class _Envelope(Struct, forbid_unknown_fields=True):
    touchpoints: list[Raw]


class UnknownMembers(NamedTuple):
    """Names no such object has: most likely a typing error, which silence would turn into lost data."""

    names: tuple[str, ...]


_TOUCHPOINT: Final = msgspec.json.Decoder(Touchpoint)
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_FIELDS: Final = frozenset(Touchpoint.__struct_fields__)


def read_own_batch(body: bytes) -> Batch | Refusal | UnknownMembers:
    """`{"touchpoints": [...]}`. Refused where no items can be found."""
    try:
        return Batch(_ENVELOPE.decode(body).touchpoints, _wrap)
    except UNREADABLE:
        split = split_batch(body, "touchpoints")
    if split is None:
        value = parse(body)
        if isinstance(value, Refusal):
            return NOT_JSON
        return Refusal(Reason.INVALID, "`touchpoints` must be a list of touchpoints")
    envelope, items = split
    if items and all(is_not_json(item) for item in items):
        return NOT_JSON
    return UnknownMembers(tuple(sorted(envelope))) if envelope else Batch(items, _wrap)


def _wrap(items: Sequence[bytes]) -> bytes:
    return b'{"touchpoints":[' + b",".join(items) + b"]}"


def read_own_call(data: bytes, *, source: SourceRules) -> Call | Refusal | UnknownMembers:
    """Read one touchpoint. Characters that can't be stored are replaced; a value of a wrong type is not guessed at."""
    try:
        if not is_suspect(data):
            return _read_strict(data, source)
        value = parse(data)
    except (NotStrict, *UNREADABLE):
        value = parse(data)
    if isinstance(value, Refusal):
        return value
    if not isinstance(value, dict):
        return Refusal(Reason.NOT_AN_OBJECT, "the touchpoint is no JSON object")
    unknown = value.keys() - _FIELDS
    return UnknownMembers(tuple(sorted(unknown))) if unknown else _read_repaired(value, source)


def _read_repaired(value: dict[str, object], source: SourceRules) -> Call | Refusal:
    cleaner = Cleaner()
    clean = cleaner.clean(value)
    if cleaner.too_deep:
        return TOO_DEEP
    if cleaner.not_finite:
        return refuse_number(value.get("kind", "track"), value.get("name"))
    try:
        call = _read_strict(encode(clean), source)
    except NotStrict:
        return Refusal(Reason.INVALID, "`properties`, `traits` and `context` are objects")
    except msgspec.ValidationError as error:
        return Refusal(Reason.INVALID, _QUOTED.sub("a value", str(error)))
    if isinstance(call, Call) and cleaner.replaced:
        call.flags = (Flag.CHARACTERS_REPLACED,)
    return call


def _read_strict(data: bytes, source: SourceRules) -> Call | Refusal:
    said = _TOUCHPOINT.decode(data)
    properties, traits, context = (
        EMPTY if raw is ABSENT else read_object(raw) for raw in (said.properties, said.traits, said.context)
    )
    if may_be_deep(data) and is_too_deep(properties, traits, context):
        return TOO_DEEP
    if may_have_many_keys(data) and has_too_many_keys(properties, traits, context):
        return TOO_MANY_KEYS
    if said.occurred_at is not None and read_instant(said.occurred_at) is None:
        return Refusal(Reason.INVALID, "`occurred_at` is no RFC 3339 instant")
    claims = [(normalise_kind(kind), value) for kind, value in said.identifiers.items()]
    known: list[Claim] = [(kind, value) for kind, value in claims if kind is not None]
    if len(known) < len(claims):
        return Refusal(Reason.INVALID, "an identifier kind is a short word of letters, digits, `_`, `.` and `-`")
    named = said.identifiers
    return Call(
        said.kind,
        said.name if said.name != KIND_NAMES.get(said.kind) else None,
        None,
        said.id,
        known,
        collect_previous(said.previous_id, named.get("user_id"), named.get("anonymous_id"), source=source)
        if said.kind == "alias"
        else [],
        said.occurred_at,
        None,
        None,
        said.channel,
        None if said.group_id is None else str(said.group_id),
        properties,
        traits,
        context,
    )
