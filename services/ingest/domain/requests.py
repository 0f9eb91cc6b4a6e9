"""A request's body as a list of items and what its envelope says about all of them. Looks into no item."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Raw, Struct

from services.ingest.domain.calls import (
    UNREADABLE,
    Members,
    NotStrict,
    is_body_plain,
    is_suspect,
    is_too_deep,
    may_be_deep,
    read_object,
)
from services.ingest.domain.limits import BATCH_EVENTS, REPEATED_BYTES
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.times import NO_SKEW, compute_skew, read_instant
from services.ingest.domain.tolerant import NOT_JSON, Cleaner, encode, parse, split_batch

_NO_BATCH: Final = Refusal(Reason.INVALID, "`batch` must be a list of calls")
_CONTEXT_TOO_LARGE: Final = Refusal(
    Reason.BATCH_TOO_LARGE, f"larger than {REPEATED_BYTES} bytes with its context under each of its calls"
)
_NOT_AN_OBJECT: Final = Refusal(Reason.NOT_AN_OBJECT, "the body is no JSON object")


class _Envelope(Struct, rename="camel"):
    batch: list[Raw]
    write_key: str | None = None
    sent_at: str | None = None
    context: Raw | None = None


class _Keyed(Struct, rename="camel"):
    write_key: str | None = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_MEMBERS: Final = msgspec.json.Decoder(Members)
_KEYED: Final = msgspec.json.Decoder(_Keyed)


class Batch(Struct, frozen=True):
    """Items of a request, each as sent. `context` is merged under every item, `sent_at` stands for those that have none.
    `is_plain`: no item needs a look for what decoders let pass and nobody can store.

    `wrap` makes a body of its own out of some of the items, with all that the envelope says: what is parked can be sent again.
    """

    items: Sequence[bytes | Raw]
    wrap: Callable[[Sequence[bytes]], bytes]
    write_key: str | None = None
    sent_at: str | None = None
    context: Members | None = None
    is_plain: bool = False

    def split_off_excess(self) -> tuple["Batch", list[bytes]]:
        """The items that a batch may hold, and those behind them."""
        excess = [bytes(item) for item in self.items[BATCH_EVENTS:]]
        return (msgspec.structs.replace(self, items=self.items[:BATCH_EVENTS]), excess) if excess else (self, excess)


def read_single(body: bytes) -> Batch:
    """One call is its own envelope."""
    return Batch([body], wrap=lambda items: items[0])


def read_batch(body: bytes) -> Batch | Refusal:
    """`{"batch": [...], "sentAt", "context", "writeKey"}`. Refused where no items can be found."""
    try:
        envelope = _ENVELOPE.decode(body)
    except UNREADABLE:
        return _read_tolerant(body)
    context = _read_shared_context(envelope.context)
    return _to_batch(envelope.batch, envelope.write_key, envelope.sent_at, context, is_plain=is_body_plain(body))


def _to_batch(
    items: Sequence[bytes | Raw],
    write_key: str | None,
    sent_at: str | None,
    context: Members | None,
    *,
    is_plain: bool = False,
) -> Batch | Refusal:
    if context and len(items) * sum(len(bytes(member)) for member in context.values()) > REPEATED_BYTES:
        return _CONTEXT_TOO_LARGE
    said: dict[str, object] = {"sentAt": sent_at, "context": context}
    rest = b"".join(b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(value) for name, value in said.items() if value)

    def wrap(some: Sequence[bytes]) -> bytes:
        return b'{"batch":[' + b",".join(some) + b"]" + rest + b"}"

    return Batch(items, wrap, write_key, sent_at, context, is_plain)


def _read_tolerant(body: bytes) -> Batch | Refusal:
    split = split_batch(body, "batch")
    if split is None:
        value = parse(body)
        if isinstance(value, Refusal):
            return NOT_JSON
        return _NO_BATCH if isinstance(value, dict) else _NOT_AN_OBJECT
    envelope, items = split
    if items and all(is_not_json(item) for item in items):
        return NOT_JSON
    write_key, sent_at = (_read_text(envelope.get(name)) for name in ("writeKey", "sentAt"))
    return _to_batch(items, write_key, sent_at, _read_context(envelope.get("context")))


def is_not_json(item: bytes) -> bool:
    """Whether not even the tolerant reader makes anything of it. (Something nested too deep is JSON.)"""
    value = parse(item)
    return isinstance(value, Refusal) and value.reason is Reason.NOT_JSON


def _read_text(data: bytes | None) -> str | None:
    value = Cleaner().clean(parse(data)) if data else None
    return value if isinstance(value, str) else None


def _read_shared_context(raw: Raw | None) -> Members | None:
    """What is merged under every call must be known to be clean, or each of them would have to be repaired."""
    if raw is None:
        return None
    data = bytes(raw)
    try:
        payload = read_object(raw)
    except (NotStrict, *UNREADABLE):
        return _read_context(data)
    if is_suspect(data) or (may_be_deep(data) and is_too_deep(payload)):
        return _read_context(data)
    return _MEMBERS.decode(raw) or None


def _read_context(data: bytes | None) -> Members | None:
    """The shared context, cleaned; without it where it can't be: nothing in it is worth losing the calls for."""
    if not data:
        return None
    cleaner = Cleaner()
    value = cleaner.clean(parse(data))
    if not isinstance(value, dict) or cleaner.too_deep or cleaner.not_finite:
        return None
    return {str(name): Raw(encode(member)) for name, member in value.items()} or None


def find_write_key(data: bytes | Raw) -> str | None:
    """The `writeKey` an object carries, if it can be read at all."""
    try:
        return _KEYED.decode(data).write_key
    except UNREADABLE:
        value = parse(bytes(data))
    key = value.get("writeKey") if isinstance(value, dict) else None
    return key if isinstance(key, str) else None


def find_batch_key(batch: Batch) -> str | None:
    """The envelope's key, else the first item's (browsers write it into each)."""
    return batch.write_key or (find_write_key(batch.items[0]) if batch.items else None)


class Skew:
    """How wrong the sender's clock is, by the envelope's `sentAt` or an item's own."""

    __slots__ = ("_received_at", "_sent_at", "_shared")

    def __init__(self, received_at: datetime, sent_at: str | None) -> None:
        self._received_at = received_at
        self._sent_at = sent_at
        self._shared = self._compute(sent_at)

    def of(self, sent_at: str | None) -> timedelta | None:
        """None where the `sentAt` that counts can't be read."""
        return self._shared if sent_at is None or sent_at == self._sent_at else self._compute(sent_at)

    def _compute(self, sent_at: str | None) -> timedelta | None:
        if not sent_at:
            return NO_SKEW
        instant = read_instant(sent_at)
        return None if instant is None else compute_skew(self._received_at, instant)
