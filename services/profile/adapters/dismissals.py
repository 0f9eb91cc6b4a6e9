"""Touchpoints that went to the dead-letter topic: written down and told, so that nobody waits for them.

The consumer decides what becomes a dead letter, a poisonous record included; its outbox is the one place that sees them all.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from libs.events import codec
from libs.events.envelope import Outgoing
from libs.events.profiles import TouchpointDismissed
from libs.events.topics import PROFILE_CHANGES, TOUCHPOINTS, dead_letter_topic
from libs.kit.times import from_micros
from libs.messaging.dead_letters import REASON
from libs.messaging.ports import Outbox, StagedId

if TYPE_CHECKING:
    from libs.kit.db import Tx

_DEAD_LETTERS = dead_letter_topic("profile", TOUCHPOINTS.name)
_INSERT = """
INSERT INTO touchpoint_outcomes (id, outcome, reason, at)
SELECT n.id, 'dead_lettered', n.reason, now() FROM unnest($1::uuid[], $2::text[]) AS n (id, reason)
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, at = excluded.at
"""


class DismissingOutbox:
    """An Outbox that adds a `TouchpointDismissed` for every dead touchpoint that passes through it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def stage(self, tx: "Tx", messages: Sequence[Outgoing]) -> StagedId | None:
        dismissed = _find_dismissed(messages)
        if dismissed:
            await tx.execute(_INSERT, list(dismissed), [reason for reason, _ in dismissed.values()])
        return await self._outbox.stage(tx, [*messages, *_tell(dismissed)])

    async def publish(self, staged: StagedId, messages: Sequence[Outgoing]) -> None:
        await self._outbox.publish(staged, [*messages, *_tell(_find_dismissed(messages))])

    async def sweep(self) -> int:
        return await self._outbox.sweep()


def _find_dismissed(messages: Sequence[Outgoing]) -> dict[UUID, tuple[str, int]]:
    """Touchpoint id -> reason and time. A record whose id can't be read is nobody's to wait for."""
    found: dict[UUID, tuple[str, int]] = {}
    for message in messages:
        if message.topic == _DEAD_LETTERS:
            headers = dict(message.headers)
            try:
                touchpoint_id = UUID(headers.get("ce_id", b"").decode("ascii", "replace"))
            except ValueError:
                continue
            found[touchpoint_id] = (headers.get(REASON, b"").decode(), message.timestamp_ms or 0)
    return found


def _tell(dismissed: dict[UUID, tuple[str, int]]) -> list[Outgoing]:
    return [
        codec.encode(
            TouchpointDismissed(touchpoint_id=touchpoint_id, outcome="dead_lettered", reason=reason),
            topic=PROFILE_CHANGES,
            key=touchpoint_id,
            event_id=f"{touchpoint_id}:dismissed",
            source="profile",
            time=from_micros(at_ms * 1000),
            received_ms=at_ms,
        )
        for touchpoint_id, (reason, at_ms) in dismissed.items()
    ]
