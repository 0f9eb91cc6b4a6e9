"""CloudEvents 1.0 as touchpoints: which attribute says what (cloudevents.io, core specification 1.0.2 and its JSON format).

| of the event | becomes |
|---|---|
| `id` and `source` | the message id: the specification makes the pair unique, and so is the SHA-256 of the two |
| `type` | the name: that of the vocabulary which its end spells, else itself (`com.shop.order.completed.v1`: `Order Completed`) |
| `time` | when it happened; the time of receipt where it is missing |
| `subject` | an identifier, `kind:value`; of the kind user_id where it names none |
| `data` | the properties (the traits, for the name `Identified`); its members that name somebody are identifiers too |
| `channel` | an extension attribute of ours: the channel |

All attributes stand in the touchpoint's context, under `cloudevent`.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Raw, Struct

from libs.identity import normalise_kind
from libs.vocabulary import find_spelled
from services.ingest.domain.calls import (
    ABSENT,
    EMPTY,
    UNREADABLE,
    Call,
    NotStrict,
    Object,
    Payload,
    is_suspect,
    is_too_deep,
    may_be_deep,
    read_object,
    refuse_number,
)
from services.ingest.domain.identifiers import Claim, SourceRules
from services.ingest.domain.message_ids import SEPARATOR
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.requests import Batch, is_not_json
from services.ingest.domain.times import read_instant
from services.ingest.domain.tolerant import NOT_JSON, TOO_DEEP, Cleaner, encode, parse, split_batch
from services.ingest.domain.vocabulary import Kind

_VERSION: Final = re.compile(r"\.v\d+$")
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_JSON_TYPE: Final = re.compile(r"\s*[^/;]+/(?:json|[^/;]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_KINDS: Final[dict[str, Kind]] = {"Identified": "identify", "Page Viewed": "page", "Screen Viewed": "screen"}
_MEMBERS_THAT_NAME: Final = {
    "user_id": "user_id",
    "userId": "user_id",
    "anonymous_id": "anonymous_id",
    "anonymousId": "anonymous_id",
    "loyalty_card": "loyalty_card",
    "email": "email",
    "phone": "phone",
}
_INCOMPLETE: Final = Refusal(
    Reason.INVALID, "a CloudEvent has `specversion` 1.0, `id`, `source` and `type`, all texts that say something"
)
_NO_TIME: Final = Refusal(Reason.INVALID, "`time` is no RFC 3339 instant")
_NO_OBJECT: Final = Refusal(Reason.INVALID, "`data` is no JSON object")


class CloudEvent(Struct):
    """An event in the JSON format. Extension attributes other than `channel` are read past."""

    specversion: str
    id: str
    source: str
    type: str
    time: str | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    channel: str | None = None
    data: Raw = ABSENT
    data_base64: str | None = None


_EVENT: Final = msgspec.json.Decoder(CloudEvent)
_NO_ATTRIBUTES: Final = frozenset({"data", "data_base64", "datacontenttype"})
_LIST: Final = msgspec.json.Decoder(list[Raw])


def read_cloud_batch(body: bytes) -> Batch | Refusal:
    """The events of the JSON batch format. Refused where no items can be found."""
    try:
        return Batch(_LIST.decode(body), _wrap)
    except UNREADABLE:
        split = split_batch(b'{"events":' + body.removeprefix(b"\xef\xbb\xbf") + b"}", "events")
    if split is None:
        return NOT_JSON if isinstance(parse(body), Refusal) else Refusal(Reason.INVALID, "a batch is a list of CloudEvents")
    items = split[1]
    return NOT_JSON if items and all(is_not_json(item) for item in items) else Batch(items, _wrap)


def read_cloud_event(body: bytes) -> Batch | Refusal:
    """One event in structured mode, as a batch of one."""
    return NOT_JSON if is_not_json(body) else Batch([body], _wrap)


def _wrap(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def to_structured(attributes: dict[str, str], content_type: str | None, data: bytes) -> bytes:
    """A request in binary mode as an event in the JSON format, with nothing lost of what came."""
    event: Object = {name: text for name, text in attributes.items() if name not in _NO_ATTRIBUTES}
    if content_type is not None:
        event["datacontenttype"] = content_type
    if not data:
        return encode(event)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if (content_type is None or _JSON_TYPE.fullmatch(content_type)) and not is_not_json(data):
        return b'{"data":' + data + b"," + encode(event)[1:] if event else b'{"data":' + data + b"}"
    return encode({**event, "data_base64": base64.b64encode(data).decode()})


def read_cloud_call(data: bytes, *, source: SourceRules) -> Call | Refusal:
    """Read one event. Characters that can't be stored are replaced; a value of a wrong type is not guessed at."""
    try:
        if not is_suspect(data):
            return _read_strict(data, source)
        value = parse(data)
    except (NotStrict, *UNREADABLE):
        value = parse(data)
    if isinstance(value, Refusal):
        return value
    if not isinstance(value, dict):
        return Refusal(Reason.NOT_AN_OBJECT, "the event is no JSON object")
    return _read_repaired(value, source)


def _read_repaired(value: Object, source: SourceRules) -> Call | Refusal:
    cleaner = Cleaner()
    clean = cleaner.clean(value)
    if cleaner.too_deep:
        return TOO_DEEP
    if cleaner.not_finite:
        return refuse_number("track", name_type(str(value.get("type"))))
    try:
        call = _read_strict(encode(clean), source)
    except NotStrict:
        return _NO_OBJECT
    except msgspec.ValidationError:
        return _INCOMPLETE
    if isinstance(call, Call) and cleaner.replaced:
        call.flags = (Flag.CHARACTERS_REPLACED,)
    return call


def _read_strict(data: bytes, source: SourceRules) -> Call | Refusal:
    event = _EVENT.decode(data)
    if event.specversion != "1.0" or not (event.id and event.source and event.type):
        return _INCOMPLETE
    if event.time is not None and read_instant(event.time) is None:
        return _NO_TIME
    payload = _read_data(event)
    if isinstance(payload, Refusal):
        return payload
    if may_be_deep(data) and is_too_deep(payload):
        return TOO_DEEP
    name = name_type(event.type)
    kind = _KINDS.get(name, "track")
    is_identify = kind == "identify"
    return Call(
        kind,
        name if kind == "track" else None,
        None,
        "ce-" + sha256(f"{event.source}{SEPARATOR}{event.id}".encode()).hexdigest(),
        _collect_claims(event.subject, payload.value, source),
        [],
        event.time,
        None,
        None,
        event.channel,
        None,
        EMPTY if is_identify else payload,
        payload if is_identify else EMPTY,
        _to_context(event),
    )


def _read_data(event: CloudEvent) -> Payload | Refusal:
    """`data`, or `data_base64` where that is JSON."""
    if event.data_base64 is None:
        return EMPTY if event.data is ABSENT else read_object(event.data)
    if event.datacontenttype is not None and not _JSON_TYPE.fullmatch(event.datacontenttype):
        return _NO_OBJECT
    try:
        value = parse(base64.b64decode(event.data_base64, validate=True))
    except (binascii.Error, ValueError):
        return _NO_OBJECT
    cleaner = Cleaner()
    clean = cleaner.clean(value)
    if cleaner.too_deep:
        return TOO_DEEP
    if cleaner.not_finite:
        return refuse_number("track", name_type(event.type))
    return read_object(Raw(encode(clean))) if isinstance(clean, dict) else _NO_OBJECT


def name_type(type_: str) -> str:
    """The name that the end of a type spells, the longest that is one; dots, hyphens, underscores or case part its words."""
    words = _WORDS.findall(_VERSION.sub("", type_))
    for first in range(len(words)):
        name = find_spelled("".join(words[first:]))
        if name is not None:
            return name
    return type_


def _collect_claims(subject: str | None, data: Object, source: SourceRules) -> list[Claim]:
    claims: list[Claim] = []
    if subject:
        kind, colon, value = subject.partition(":")
        known = normalise_kind(kind) if colon and not value.startswith("//") else None
        claims.append((known, value) if known is not None else (source.user_id_kind, subject))
    named = data.get("identifiers")
    if isinstance(named, dict):
        claims.extend((word, value) for key, value in named.items() if (word := normalise_kind(key)) is not None)
    for member, means in _MEMBERS_THAT_NAME.items():
        if member in data:
            claims.append((source.user_id_kind if means == "user_id" else means, data[member]))
    return claims


def _to_context(event: CloudEvent) -> Payload:
    said = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "dataschema": event.dataschema,
    }
    value: Object = {"cloudevent": {name: text for name, text in said.items() if text is not None}}
    return Payload(Raw(encode(value)), value)
