"""What a gateway judges by beside the call itself: limits, tracking plans, suppressions; and what it counts for people to see.

All of it stands in memory and is replaced from outside (`upkeep`). A source without limit or plan, on an installation where
nobody is suppressed, pays one look into an empty dict for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from libs.events.touchpoints import Identifier
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.normalise import Draft
from services.ingest.domain.plans import Message, Plan, Violation
from services.ingest.domain.rates import Rate
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.suppressions import Suppression, is_dropped
from services.ingest.domain.tallies import MAX_SAMPLE_BYTES, Broken, Outcome, Sample, Tallies
from services.ingest.errors import RateLimited

if TYPE_CHECKING:
    from services.ingest.ports import RateLimiter


@dataclass(slots=True)
class LiveRules:
    """The newest rules this process has heard of. Both mappings are replaced or changed between requests, never within one."""

    plans: Mapping[str, Plan] = field(default_factory=dict)
    """By source."""
    suppressions: dict[UUID, Suppression] = field(default_factory=dict)
    """By fragment."""


@dataclass(frozen=True, slots=True)
class Governance:
    """Without a limiter no limit is kept."""

    rules: LiveRules = field(default_factory=LiveRules)
    tallies: Tallies = field(default_factory=Tallies)
    limiter: "RateLimiter | None" = None

    async def admit(self, arrival: Arrival, events: int) -> None:
        """Raises RateLimited, with nothing taken."""
        source = arrival.source
        if source.max_events_per_s is None or self.limiter is None:
            return
        rate = Rate(source.max_events_per_s, source.burst_events or source.max_events_per_s)
        wait_s = await self.limiter.admit(source.id, rate, events)
        if wait_s:
            self.tallies.see(source.id, arrival.received_at)
            self.tallies.add(source.id, arrival.received_at, Outcome("refused", RateLimited.code))
            raise RateLimited(wait_s)

    def is_suppressed(self, fragments: Iterable[UUID]) -> bool:
        """Whether somebody among them asked to be left alone altogether."""
        said = self.rules.suppressions
        return any((one := said.get(fragment)) is not None and one.suppressed for fragment in fragments)

    def is_erased(self, draft: Draft[Identifier], arrival: Arrival) -> bool:
        """Whether it tells of what somebody had erased."""
        said = self.rules.suppressions
        for named in (*draft.identifiers, *draft.previous):
            one = said.get(named.identifier.fragment)
            if one is not None and is_dropped(one, occurred_at=draft.occurred_at, received_at=arrival.received_at):
                return True
        return False


class Breach(msgspec.Struct, frozen=True):
    """A touchpoint that isn't as planned, for the tally once it is published."""

    plan: Plan
    violations: tuple[Violation, ...]
    touchpoint_id: UUID
    message: Message


def judge_draft(
    plan: Plan, draft: Draft[Identifier], context: Mapping[str, object]
) -> tuple[Refusal | None, Message, tuple[Violation, ...]]:
    """Judge a draft by its source's plan; what the plan leaves out and flags is changed in the draft."""
    message = Message(draft.kind, draft.name, draft.properties, draft.traits, context)
    judged = plan.judge(message)
    if judged is None:
        return None, message, ()
    draft.properties, draft.traits = judged.properties, judged.traits
    draft.flags += judged.flags
    return judged.refusal, message, judged.violations


def count_breaches(tallies: Tallies, arrival: Arrival, breaches: Iterable[Breach]) -> None:
    for breach in breaches:
        message = breach.message
        shown = {"event": message.name, "type": message.kind, "properties": message.properties, "traits": message.traits}
        encoded = msgspec.json.encode(shown)
        sample = Sample(breach.touchpoint_id, encoded if len(encoded) <= MAX_SAMPLE_BYTES else b"")
        for violation in breach.violations:
            place = Broken(breach.plan.id, breach.plan.version, arrival.source.id, violation.event, violation.place)
            tallies.violate(place, arrival.received_at, sample)
