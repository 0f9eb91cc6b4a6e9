"""What is decided about a call, as records of the log."""

from typing import Self
from uuid import UUID

from msgspec import Struct

from libs.events.codec import encode
from libs.events.envelope import Outgoing
from libs.events.topics import TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.events.touchpoints import (
    EMPTY_OBJECT,
    Campaign,
    ConsentStatement,
    Device,
    Identifier,
    Page,
    TouchpointRecorded,
    TouchpointRejected,
)
from libs.kit.times import to_micros
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.calls import EMPTY
from services.ingest.domain.normalise import Draft
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.rejections import compute_rejection_id

NOTHING = EMPTY.raw


class Recorder(Struct, frozen=True):
    """Writes the records of one request: what is the same in all of them is worked out once."""

    arrival: Arrival
    origin: str
    received_ms: int

    @classmethod
    def of(cls, arrival: Arrival) -> Self:
        return cls(arrival, f"/sources/{arrival.source.id}", to_micros(arrival.received_at) // 1000)

    def record(self, draft: Draft[Identifier], touchpoint_id: UUID, message_id: str) -> Outgoing:
        """The accepted touchpoint. Its key is the strongest identifier's fragment."""
        identifiers, origin, page, device = draft.identifiers, draft.origin, draft.page, draft.device
        event = TouchpointRecorded(
            id=touchpoint_id,
            message_id=message_id,
            source_id=self.arrival.source.id,
            kind=draft.kind,
            name=draft.name,
            channel=draft.channel,
            occurred_at=draft.occurred_at,
            received_at=self.arrival.received_at,
            identifiers=tuple([named.identifier for named in identifiers]),
            original_at=draft.original_at,
            previous=tuple([named.identifier for named in draft.previous]) if draft.previous else (),
            group_id=draft.group_id,
            properties=EMPTY_OBJECT if draft.properties is NOTHING else draft.properties,
            traits=EMPTY_OBJECT if draft.traits is NOTHING else draft.traits,
            context=EMPTY_OBJECT if draft.context is NOTHING else draft.context,
            order=draft.order,
            campaign=None if origin is None else Campaign(origin.source, origin.medium, origin.campaign),
            consent=tuple([ConsentStatement(*word) for word in draft.consents]) if draft.consents else (),
            flags=tuple([flag.value for flag in draft.flags]) if draft.flags else (),
            money=draft.money,
            lines=draft.lines,
            page=None if page is None else Page(*page),
            device=None if device is None else Device(*device),
        )
        return encode(
            event,
            topic=TOUCHPOINTS,
            key=identifiers[0].key,
            event_id=str(touchpoint_id),
            source=self.origin,
            time=draft.occurred_at,
            received_ms=self.received_ms,
            traceparent=self.arrival.traceparent,
        )

    def reject(self, refusal: Refusal, body: bytes) -> Outgoing:
        """The refused call. `body` is a whole request's: sent to the arrival's path, it would be judged again."""
        arrival = self.arrival
        event = TouchpointRejected(
            id=compute_rejection_id(arrival.source.id, arrival.path, body),
            source_id=arrival.source.id,
            received_at=arrival.received_at,
            reason=refusal.reason.value,
            detail=refusal.detail,
            path=arrival.path,
            body=body,
        )
        return encode(
            event,
            topic=TOUCHPOINT_REJECTIONS,
            key=arrival.source.id,
            event_id=str(event.id),
            source=self.origin,
            time=arrival.received_at,
            received_ms=self.received_ms,
            traceparent=arrival.traceparent,
        )
