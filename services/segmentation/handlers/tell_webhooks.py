"""Edges for whoever asked to be called: queued in the transaction that makes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from libs.durable.webhooks import Message, PostgresWebhooks, write_body
from libs.events.envelope import Outgoing
from libs.events.segments import SegmentMembershipChanged
from libs.kit.db import Tx

TYPES: Final = ("segment.entered", "segment.exited")
_webhooks: Final = PostgresWebhooks()


async def tell_webhooks(tx: Tx, edges: Sequence[tuple[SegmentMembershipChanged, Outgoing]], now: datetime) -> None:
    """Each edge once for each endpoint that wants it. The message's id names the edge, however often it is sent."""
    if edges and await _webhooks.has_endpoints(tx):
        await _webhooks.enqueue(tx, [make_message(event, record) for event, record in edges], now)


def make_message(event: SegmentMembershipChanged, record: Outgoing) -> Message:
    """The record's own JSON, in the form that webhooks have."""
    type_ = f"segment.{event.action}"
    message_id = f"{event.segment_id}:{event.profile_id}:{event.seq}"
    return Message(message_id, type_, event.segment_id, event.cause, write_body(type_, event.at, record.value or b"null"))
