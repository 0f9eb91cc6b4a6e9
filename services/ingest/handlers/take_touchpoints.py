"""Take the touchpoints of a request: read each call, judge it, and answer once all of it lies in the log.

Touchpoints and rejections leave in one publish: what the answer says about either is durable when it is said.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

import msgspec
from msgspec import Struct

from libs.events.envelope import Outgoing
from libs.events.touchpoints import Identifier, compute_touchpoint_id
from libs.identity import IdentityKey
from libs.kit.errors import FieldError
from libs.kit.ids import IdFactory
from libs.kit.metrics import counter
from libs.messaging.ports import Publisher
from services.ingest.domain.addresses import keep_address
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.calls import Call, read_call
from services.ingest.domain.cloud_events import read_cloud_call
from services.ingest.domain.identifiers import IdentifierBook, Named, SourceRules
from services.ingest.domain.limits import BATCH_EVENTS, EVENT_BYTES, MESSAGE_ID_CHARS
from services.ingest.domain.message_ids import derive_from_key, derive_message_id
from services.ingest.domain.normalise import Draft, normalise
from services.ingest.domain.own import UnknownMembers, read_own_call
from services.ingest.domain.plans import Plan
from services.ingest.domain.reasons import Flag, Reason, Refusal
from services.ingest.domain.requests import Batch, Skew
from services.ingest.domain.tallies import ACCEPTED, SUPPRESSED, Outcome
from services.ingest.domain.times import NO_SKEW
from services.ingest.domain.vocabulary import Kind
from services.ingest.errors import BodyInvalid
from services.ingest.handlers.governance import Breach, Governance, count_breaches, judge_draft
from services.ingest.handlers.records import Recorder

Reader = Callable[[int, bytes], Call | Refusal]
MakeId = Callable[[int], str]

_TOUCHPOINTS = counter("ingest_touchpoints_total", "Touchpoints by what became of them.", ("outcome",))
_ACCEPTED, _REJECTED, _SUPPRESSED = (_TOUCHPOINTS.labels(outcome) for outcome in ("accepted", "rejected", "suppressed"))
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
    """What became of every item, and the records that say so.

    `accepted` holds the suppressed ones too, which have no record: a sender isn't told who asked to be left alone.
    """

    accepted: list[Accepted]
    rejected: list[Rejected]
    outgoing: list[Outgoing]
    arrival: Arrival | None = None
    suppressed: int = 0
    flags: list[Flag] = msgspec.field(default_factory=list)
    breaches: list[Breach] = msgspec.field(default_factory=list)


class _Request(Struct):
    """What holds for every call of one request, and what is remembered of them.

    `is_anybody_left_alone` is false where nobody is suppressed or erased at all: then nobody is looked up.
    """

    arrival: Arrival
    sent_at: str | None
    skew: Skew
    read: Reader
    make_id: MakeId | None
    recorder: Recorder
    plan: Plan | None
    is_anybody_left_alone: bool
    flags: list[Flag]
    breaches: list[Breach]


class Intake:
    """Judges calls. Holds the identifiers lately seen and counts what it took since the start; one per process."""

    def __init__(
        self,
        identity_key: IdentityKey,
        *,
        region: str,
        publisher: Publisher,
        new_id: IdFactory,
        governance: Governance | None = None,
    ) -> None:
        self._book: IdentifierBook[Identifier] = IdentifierBook(identity_key, region=region, make=Identifier)
        self._publisher = publisher
        self._new_id = new_id
        self._governance = governance or Governance()
        self.accepted = 0
        self.rejected = 0

    async def take_calls(self, arrival: Arrival, batch: Batch, *, kind: Kind | None = None) -> Receipt:
        """Take tracking calls, of one kind where the path says so. Raises RateLimited, and PublishFailed: 200 would be a lie."""
        await self._governance.admit(arrival, len(batch.items))
        receipt = self.judge_calls(arrival, batch, kind=kind)
        await self.publish(receipt)
        return receipt

    async def take_own(self, arrival: Arrival, batch: Batch, *, idempotency_key: str | None) -> Receipt:
        """Take touchpoints of our own API. Raises BodyInvalid, with nothing taken, where one has members that none has."""
        await self._governance.admit(arrival, len(batch.items))
        receipt = self.judge_own(arrival, batch, make_id=partial(derive_from_key, idempotency_key) if idempotency_key else None)
        await self.publish(receipt)
        return receipt

    async def take_cloud_events(self, arrival: Arrival, batch: Batch) -> Receipt:
        """Take CloudEvents. Raises RateLimited and PublishFailed."""
        await self._governance.admit(arrival, len(batch.items))
        receipt = self.judge_cloud_events(arrival, batch)
        await self.publish(receipt)
        return receipt

    async def park_body(self, arrival: Arrival, refusal: Refusal, body: bytes) -> None:
        """Park a request that couldn't be taken apart."""
        await self._governance.admit(arrival, 1)
        record = Recorder.of(arrival).reject(refusal, body)
        await self.publish(Receipt([], [Rejected(0, refusal.reason, refusal.detail)], [record], arrival))

    def judge_calls(self, arrival: Arrival, batch: Batch, *, kind: Kind | None = None, make_id: MakeId | None = None) -> Receipt:
        """The same without publishing. `make_id` names calls without a message id, else one is derived or made."""
        source, context, is_plain = arrival.source, batch.context, batch.is_plain

        def read(_index: int, data: bytes) -> Call | Refusal:
            return read_call(data, kind=kind, source=source, shared_context=context, is_known_plain=is_plain)

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

    def judge_cloud_events(self, arrival: Arrival, batch: Batch) -> Receipt:
        source = arrival.source
        return self._judge(arrival, batch, lambda _index, data: read_cloud_call(data, source=source), None)

    def judge_rows(self, arrival: Arrival, rows: Sequence[bytes]) -> Receipt:
        """Rows of an import, as touchpoints of our own API. What is refused stands in the import's list, not in the log; members
        that no touchpoint has refuse their row alone.
        """

        def read(_index: int, data: bytes) -> Call | Refusal:
            call = _read_own(data, arrival.source)
            if isinstance(call, UnknownMembers):
                return Refusal(Reason.INVALID, f"members that no touchpoint has: {', '.join(call.names)[:_SHOWN_CHARS]}")
            return call

        request, receipt = self._begin(arrival, None, read, None)
        for index, data in enumerate(rows):
            self._judge_into(receipt, request, index, data)
        return receipt

    async def publish(self, receipt: Receipt, through: Publisher | None = None) -> None:
        """By the gateway's own road, or another. Raises PublishFailed."""
        await (through or self._publisher).publish(receipt.outgoing)
        accepted = len(receipt.accepted) - receipt.suppressed
        if accepted:
            self.accepted += accepted
            _ACCEPTED.inc(accepted)
        if receipt.rejected:
            self.rejected += len(receipt.rejected)
            _REJECTED.inc(len(receipt.rejected))
            for reason, count in Counter(rejected.reason for rejected in receipt.rejected).items():
                _REJECTIONS.labels(reason).inc(count)
        if receipt.suppressed:
            _SUPPRESSED.inc(receipt.suppressed)
        if receipt.arrival is not None:
            self._tally(receipt, receipt.arrival, accepted)

    def _tally(self, receipt: Receipt, arrival: Arrival, accepted: int) -> None:
        """Count by source and day."""
        tallies, source_id, at = self._governance.tallies, arrival.source.id, arrival.received_at
        tallies.see(source_id, at)
        if accepted:
            tallies.add(source_id, at, ACCEPTED, accepted)
        if receipt.suppressed:
            tallies.add(source_id, at, SUPPRESSED, receipt.suppressed)
        for rejected in receipt.rejected:
            tallies.add(source_id, at, Outcome("rejected", rejected.reason.value))
        for flag in receipt.flags:
            tallies.add(source_id, at, Outcome("flagged", flag.value))
        if receipt.breaches:
            count_breaches(tallies, arrival, receipt.breaches)

    def _judge(self, arrival: Arrival, batch: Batch, read: Reader, make_id: MakeId | None) -> Receipt:
        batch, excess = batch.split_off_excess()
        request, receipt = self._begin(arrival, batch.sent_at, read, make_id)
        for index, raw in enumerate(batch.items):
            data = raw if type(raw) is bytes else bytes(raw)
            refusal = self._judge_into(receipt, request, index, data)
            if refusal is not None:
                receipt.outgoing.append(request.recorder.reject(refusal, batch.wrap([data])))
        if excess:
            first = len(batch.items)
            receipt.rejected.extend(Rejected(first + n, _TOO_MANY.reason, _TOO_MANY.detail) for n in range(len(excess)))
            receipt.outgoing.append(request.recorder.reject(_TOO_MANY, batch.wrap(excess)))
        return receipt

    def _begin(self, arrival: Arrival, sent_at: str | None, read: Reader, make_id: MakeId | None) -> tuple["_Request", Receipt]:
        rules = self._governance.rules
        plan, is_anybody_left_alone = rules.plans.get(arrival.source.id), bool(rules.suppressions)
        skew = Skew(arrival.received_at, sent_at)
        request = _Request(arrival, sent_at, skew, read, make_id, Recorder.of(arrival), plan, is_anybody_left_alone, [], [])
        return request, Receipt([], [], [], arrival, 0, request.flags, request.breaches)

    def _judge_into(self, receipt: Receipt, request: "_Request", index: int, data: bytes) -> Refusal | None:
        """One call, written into the receipt; the refusal, if it is one: its record is the caller's."""
        taken = self._judge_one(request, index, data)
        if isinstance(taken, Refusal):
            receipt.rejected.append(Rejected(index, taken.reason, taken.detail))
            return taken
        accepted, record = taken
        receipt.accepted.append(accepted)
        if record is None:
            receipt.suppressed += 1
        else:
            receipt.outgoing.append(record)
        return None

    def _judge_one(self, request: "_Request", index: int, data: bytes) -> tuple[Accepted, Outgoing | None] | Refusal:
        """One call: size, content, id, meaning. The first thing that is wrong refuses it; no record: it is suppressed."""
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
        return self._settle(request, call, Accepted(index, message_id, compute_touchpoint_id(source.id, message_id)))

    def _settle(self, request: "_Request", call: Call, accepted: Accepted) -> tuple[Accepted, Outgoing | None] | Refusal:
        """A call that can be read: who wants to be left alone, what it means, what the source's plan says."""
        arrival = request.arrival
        # First of all: a refused call is parked, and what is suppressed is kept nowhere.
        if request.is_anybody_left_alone and self._is_suppressed(call, arrival.source):
            return accepted, None
        draft = self._draft(request, call, accepted.id)
        if isinstance(draft, Refusal):
            return draft
        if request.is_anybody_left_alone and self._governance.is_erased(draft, arrival):
            return accepted, None
        if request.plan is not None and (refusal := _judge_by_plan(request, request.plan, draft, call, accepted.id)) is not None:
            return refusal
        if draft.flags:
            request.flags.extend(draft.flags)
        return accepted, request.recorder.record(draft, accepted.id, accepted.message_id)

    def _draft(self, request: "_Request", call: Call, touchpoint_id: UUID) -> Draft[Identifier] | Refusal:
        source, received_at = request.arrival.source, request.arrival.received_at
        behind = request.skew.of(call.sent_at)
        if behind is None:
            call.flags = (*call.flags, Flag.SENT_AT_UNREADABLE)
        if source.ip_policy != "none" or "ip" in call.context.value:
            call.context = keep_address(call.context, source.ip_policy, request.arrival.client)
        return normalise(
            call,
            touchpoint_id=touchpoint_id,
            source=source,
            received_at=received_at,
            skew=NO_SKEW if behind is None else behind,
            book=self._book,
            user_agent=request.arrival.user_agent,
        )

    def _is_suppressed(self, call: Call, source: SourceRules) -> bool:
        """Whether any identifier the call names, the one it gives up in an alias too, belongs to somebody suppressed."""
        named = [self._book.name(kind, value, verified=source.verified) for kind, value in (*call.claims, *call.previous)]
        return self._governance.is_suppressed(one.identifier.fragment for one in named if isinstance(one, Named))

    def _name_call(self, request: "_Request", call: Call, index: int, data: bytes) -> str:
        """What a resend repeats, where the envelope says when it was sent; else nothing tells a resend from a second call."""
        if request.make_id is not None:
            return request.make_id(index)
        sent_at = call.sent_at or request.sent_at
        return derive_message_id(request.arrival.source.id, sent_at, index, data) if sent_at else str(self._new_id())


def _judge_by_plan(request: _Request, plan: Plan, draft: Draft[Identifier], call: Call, touchpoint_id: UUID) -> Refusal | None:
    refusal, message, violations = judge_draft(plan, draft, call.context.value)
    if violations:
        request.breaches.append(Breach(plan, violations, touchpoint_id, message))
    return refusal


def _read_own(data: bytes, source: SourceRules) -> Call | Refusal | UnknownMembers:
    return _TOO_LARGE if len(data) > EVENT_BYTES else read_own_call(data, source=source)
