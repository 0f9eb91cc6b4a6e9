"""Take the touchpoints of a request: read each call, judge it, and answer once all of it lies in the log.

Touchpoints and rejections leave in one publish: what the answer says about either is durable when it is said.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Outgoing
from libs.events.touchpoints import Identifier, compute_touchpoint_id
from libs.identity import IdentityKey
from libs.kit.errors import FieldError
from libs.kit.ids import IdFactory
from libs.kit.metrics import counter
from libs.messaging.ports import Publisher
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.calls import Call, read_call
from services.ingest.domain.identifiers import IdentifierBook, SourceRules
from services.ingest.domain.limits import BATCH_EVENTS, EVENT_BYTES, MESSAGE_ID_CHARS
from services.ingest.domain.message_ids import derive_from_key, derive_message_id
from services.ingest.domain.normalise import normalise
from services.ingest.domain.own import UnknownMembers, read_own_call
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.requests import Batch, Skew
from services.ingest.domain.times import NO_SKEW
from services.ingest.domain.vocabulary import Kind
from services.ingest.errors import BodyInvalid
from services.ingest.handlers.records import Recorder

Reader = Callable[[int, bytes], Call | Refusal]
MakeId = Callable[[int], str]

_TOUCHPOINTS = counter("ingest_touchpoints_total", "Touchpoints by what became of them.", ("outcome",))
_ACCEPTED, _REJECTED = _TOUCHPOINTS.labels("accepted"), _TOUCHPOINTS.labels("rejected")
_REJECTIONS = counter("ingest_rejections_total", "Refused touchpoints by reason.", ("reason",))
_TOO_LARGE = Refusal(Reason.EVENT_TOO_LARGE, f"larger than {EVENT_BYTES} bytes")
_ID_TOO_LONG = Refusal(Reason.MESSAGE_ID_TOO_LONG, f"a message id of more than {MESSAGE_ID_CHARS} characters")
_TOO_MANY = Refusal(Reason.TOO_MANY_EVENTS, f"behind the first {BATCH_EVENTS} of the batch")
_SHOWN_CHARS = 200
_DISABLED = Refusal(Reason.SOURCE_DISABLED, "the source is disabled")


class Accepted(Struct, frozen=True):
    index: int
    message_id: str
    id: UUID


class Rejected(Struct, frozen=True):
    index: int
    reason: Reason
    detail: str


class Receipt(Struct):
    """What became of every item, and the records that say so."""

    accepted: list[Accepted]
    rejected: list[Rejected]
    outgoing: list[Outgoing]


@dataclass(frozen=True, slots=True)
class _Request:
    """What holds for every call of one request."""

    arrival: Arrival
    sent_at: str | None
    skew: Skew
    read: Reader
    make_id: MakeId | None
    recorder: Recorder


class Intake:
    """Judges calls. Holds the identifiers lately seen and counts what it took since the start; one per process."""

    def __init__(self, identity_key: IdentityKey, *, region: str, publisher: Publisher, new_id: IdFactory) -> None:
        self._book: IdentifierBook[Identifier] = IdentifierBook(identity_key, region=region, make=Identifier)
        self._publisher = publisher
        self._new_id = new_id
        self.accepted = 0
        self.rejected = 0

    async def take_calls(self, arrival: Arrival, batch: Batch, *, kind: Kind | None = None) -> Receipt:
        """Take tracking calls, of one kind where the path says so. Raises PublishFailed: then 200 would be a lie."""
        receipt = self.judge_calls(arrival, batch, kind=kind)
        await self.publish(receipt)
        return receipt

    async def take_own(self, arrival: Arrival, batch: Batch, *, idempotency_key: str | None) -> Receipt:
        """Take touchpoints of our own API. Raises BodyInvalid, with nothing taken, where one has members that none has."""
        receipt = self.judge_own(arrival, batch, make_id=partial(derive_from_key, idempotency_key) if idempotency_key else None)
        await self.publish(receipt)
        return receipt

    async def park_body(self, arrival: Arrival, refusal: Refusal, body: bytes) -> None:
        """Park a request that couldn't be taken apart."""
        record = Recorder.of(arrival).reject(refusal, body)
        await self.publish(Receipt([], [Rejected(0, refusal.reason, refusal.detail)], [record]))

    def judge_calls(self, arrival: Arrival, batch: Batch, *, kind: Kind | None = None, make_id: MakeId | None = None) -> Receipt:
        """The same without publishing. `make_id` names calls without a message id, else one is derived or made."""
        source, context = arrival.source, batch.context

        def read(_index: int, data: bytes) -> Call | Refusal:
            return read_call(data, kind=kind, source=source, shared_context=context)

        return self._judge(arrival, batch, read, make_id)

    def judge_own(self, arrival: Arrival, batch: Batch, *, make_id: MakeId | None = None) -> Receipt:
        calls = [_read_own(bytes(raw), arrival.source) for raw in batch.items[:BATCH_EVENTS]]
        unknown = [
            FieldError(f"#/touchpoints/{index}/{name}", "no member of a touchpoint has this name")
            for index, call in enumerate(calls)
            if isinstance(call, UnknownMembers)
            for name in call.names
        ]
        if unknown:
            raise BodyInvalid("A touchpoint has members that none has. Nothing was taken.", errors=unknown)
        known = [call for call in calls if not isinstance(call, UnknownMembers)]
        return self._judge(arrival, batch, lambda index, _data: known[index], make_id)

    def judge_rows(self, arrival: Arrival, rows: Sequence[bytes]) -> Receipt:
        """Rows of an import, as touchpoints of our own API. What is refused stands in the import's list, not in the log; members
        that no touchpoint has refuse their row alone.
        """

        def read(_index: int, data: bytes) -> Call | Refusal:
            call = _read_own(data, arrival.source)
            if isinstance(call, UnknownMembers):
                return Refusal(Reason.INVALID, f"members that no touchpoint has: {', '.join(call.names)[:_SHOWN_CHARS]}")
            return call

        request = _Request(arrival, None, Skew(arrival.received_at, None), read, None, Recorder.of(arrival))
        receipt = Receipt([], [], [])
        for index, data in enumerate(rows):
            taken = self._judge_one(request, index, data)
            if isinstance(taken, Refusal):
                receipt.rejected.append(Rejected(index, taken.reason, taken.detail))
            else:
                receipt.accepted.append(taken[0])
                receipt.outgoing.append(taken[1])
        return receipt

    async def publish(self, receipt: Receipt) -> None:
        """Raises PublishFailed."""
        await self._publisher.publish(receipt.outgoing)
        if receipt.accepted:
            self.accepted += len(receipt.accepted)
            _ACCEPTED.inc(len(receipt.accepted))
        if receipt.rejected:
            self.rejected += len(receipt.rejected)
            _REJECTED.inc(len(receipt.rejected))
            for reason, count in Counter(rejected.reason for rejected in receipt.rejected).items():
                _REJECTIONS.labels(reason).inc(count)

    def _judge(self, arrival: Arrival, batch: Batch, read: Reader, make_id: MakeId | None) -> Receipt:
        batch, excess = batch.split_off_excess()
        request = _Request(arrival, batch.sent_at, Skew(arrival.received_at, batch.sent_at), read, make_id, Recorder.of(arrival))
        receipt = Receipt([], [], [])
        for index, raw in enumerate(batch.items):
            data = raw if type(raw) is bytes else bytes(raw)
            taken = self._judge_one(request, index, data)
            if isinstance(taken, Refusal):
                receipt.rejected.append(Rejected(index, taken.reason, taken.detail))
                receipt.outgoing.append(request.recorder.reject(taken, batch.wrap([data])))
            else:
                accepted, record = taken
                receipt.accepted.append(accepted)
                receipt.outgoing.append(record)
        if excess:
            first = len(batch.items)
            receipt.rejected.extend(Rejected(first + n, _TOO_MANY.reason, _TOO_MANY.detail) for n in range(len(excess)))
            receipt.outgoing.append(request.recorder.reject(_TOO_MANY, batch.wrap(excess)))
        return receipt

    def _judge_one(self, request: "_Request", index: int, data: bytes) -> tuple[Accepted, Outgoing] | Refusal:
        """One call: size, content, id, meaning. The first thing that is wrong refuses it."""
        arrival = request.arrival
        source = arrival.source
        if not source.enabled:
            return _DISABLED
        if len(data) > EVENT_BYTES:
            return _TOO_LARGE
        call = request.read(index, data)
        if isinstance(call, Refusal):
            return call
        message_id = call.message_id or self._name_call(request, call, index, data)
        if len(message_id) > MESSAGE_ID_CHARS:
            return _ID_TOO_LONG
        touchpoint_id = compute_touchpoint_id(source.id, message_id)
        behind = request.skew.of(call.sent_at)
        if behind is None:
            call.flags = (*call.flags, Flag.SENT_AT_UNREADABLE)
        draft = normalise(
            call,
            touchpoint_id=touchpoint_id,
            source=source,
            received_at=arrival.received_at,
            skew=NO_SKEW if behind is None else behind,
            book=self._book,
        )
        if isinstance(draft, Refusal):
            return draft
        return Accepted(index, message_id, touchpoint_id), request.recorder.record(draft, touchpoint_id, message_id)

    def _name_call(self, request: "_Request", call: Call, index: int, data: bytes) -> str:
        """What a resend repeats, where the envelope says when it was sent; else nothing tells a resend from a second call."""
        if request.make_id is not None:
            return request.make_id(index)
        sent_at = call.sent_at or request.sent_at
        return derive_message_id(request.arrival.source.id, sent_at, index, data) if sent_at else str(self._new_id())


def _read_own(data: bytes, source: SourceRules) -> Call | Refusal | UnknownMembers:
    return _TOO_LARGE if len(data) > EVENT_BYTES else read_own_call(data, source=source)
