"""Rejections at rest: parked from the topic, and sent through again once their cause is mended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from libs.events.codec import EventMalformed, decode
from libs.events.envelope import Incoming
from libs.events.topics import TOUCHPOINTS
from libs.events.touchpoints import TouchpointRejected
from libs.kit.clock import Clock
from libs.messaging.outcomes import DUPLICATE, HANDLED, Ignored, Outcome, Reject
from libs.messaging.ports import BatchResult
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.cloud_events import read_cloud_batch
from services.ingest.domain.own import read_own_batch
from services.ingest.domain.requests import Batch, read_batch, read_single
from services.ingest.domain.routes import BATCH, CLOUD_EVENTS, OWN, SINGLE
from services.ingest.handlers.take_touchpoints import Intake, Receipt
from services.ingest.handlers.take_webhooks import WEBHOOKS, WebhookIntake
from services.ingest.ports import ParkedRejection, Place, RejectionFilter, RejectionStore, Sources

if TYPE_CHECKING:
    from libs.kit.db import Tx


class Replayed(NamedTuple):
    """Rejections sent through; those refused again, which stay; and where to go on (None: nothing is left)."""

    replayed: int
    rejected: int
    next_place: Place | None


class Parking:
    """The batch handler of topic `touchpoint-rejections`."""

    def __init__(self, store: RejectionStore) -> None:
        self._store = store

    async def __call__(self, tx: "Tx", messages: Sequence[Incoming]) -> BatchResult:
        read = [_read_rejection(message) for message in messages]
        fresh = await self._store.add(tx, [item for item in read if isinstance(item, ParkedRejection)])
        outcomes: list[Outcome] = []
        for item in read:
            if not isinstance(item, ParkedRejection):
                outcomes.append(item)
            elif item.id in fresh:
                fresh.discard(item.id)
                outcomes.append(HANDLED)
            else:
                outcomes.append(DUPLICATE)
        return BatchResult(outcomes)


def _read_rejection(message: Incoming) -> ParkedRejection | Ignored | Reject:
    try:
        event = decode(message)
    except EventMalformed:
        return Reject("malformed", "park_rejections")
    if not isinstance(event, TouchpointRejected):
        return Ignored("unknown_type")
    return ParkedRejection(event.id, event.source_id, event.received_at, event.reason, event.detail, event.path, event.body)


class Replay:
    """Judges parked calls anew, as of their own receipt, by the source's present rules."""

    def __init__(self, store: RejectionStore, intake: Intake, sources: Sources, clock: Clock, webhooks: WebhookIntake) -> None:
        self._store = store
        self._intake = intake
        self._sources = sources
        self._clock = clock
        self._webhooks = webhooks

    async def replay_page(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> Replayed:
        """Send one page through: published first, forgotten after, so that a crash in between repeats what ids make harmless.

        Raises PublishFailed.
        """
        parked = await self._store.lock(tx, where, after=after, limit=limit)
        done: list[ParkedRejection] = []
        for rejection in parked:
            is_webhook = rejection.path.startswith(WEBHOOKS)
            receipt = self._webhooks.judge_parked(rejection) if is_webhook else self._judge(rejection)
            if receipt is None:
                continue
            if receipt.rejected and (is_webhook or not receipt.accepted):
                again = receipt.rejected[0]
                await self._store.update_reason(tx, rejection.id, again.reason.value, again.detail)
                if receipt.accepted:
                    # A delivery stays parked while anything in it is refused; the rest of it is taken all the same.
                    await self._intake.publish(drop_rejected(receipt))
                continue
            await self._intake.publish(receipt)
            done.append(rejection)
        await self._store.mark_replayed(tx, [rejection.id for rejection in done], self._clock.now())
        more = len(parked) == limit
        last = parked[-1] if parked else None
        return Replayed(
            len(done), len(parked) - len(done), Place(last.received_at, last.id) if more and last is not None else None
        )

    def _judge(self, rejection: ParkedRejection) -> Receipt | None:
        """None where it can't be judged: its source is gone, or its body still can't be taken apart."""
        source = self._sources.source_by_id(rejection.source_id)
        batch = _read_body(rejection)
        if source is None or not isinstance(batch, Batch):
            return None
        arrival = Arrival(source, rejection.path, rejection.received_at)

        def make_id(index: int) -> str:
            # The sender gave no id: the rejection's own makes sure that a second replay repeats the first.
            return f"replay-{rejection.id}-{index}"

        if rejection.path == OWN:
            return self._intake.judge_own(arrival, batch, make_id=make_id)
        if rejection.path == CLOUD_EVENTS:
            return self._intake.judge_cloud_events(arrival, batch)
        return self._intake.judge_calls(arrival, batch, kind=SINGLE.get(rejection.path), make_id=make_id)


def drop_rejected(receipt: Receipt) -> Receipt:
    """Only what was accepted."""
    return Receipt(receipt.accepted, [], [record for record in receipt.outgoing if record.topic == TOUCHPOINTS.name])


def _read_body(rejection: ParkedRejection) -> object:
    if rejection.path == OWN:
        return read_own_batch(rejection.body)
    if rejection.path == CLOUD_EVENTS:
        return read_cloud_batch(rejection.body)
    return read_batch(rejection.body) if rejection.path in BATCH else read_single(rejection.body)
