"""What became of what sources sent, counted in the process until somebody writes it down. Figures to look at, not books."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID

MAX_VIOLATIONS: Final = 1_000
"""Different ones held at once; a sender can make up event names without end."""
MAX_SAMPLES: Final = 3
MAX_SAMPLE_BYTES: Final = 4_096
OTHER: Final = "(others)"


class Outcome(NamedTuple):
    """`accepted`, `rejected` (by reason), `suppressed`, `flagged` (by flag), `refused` (whole requests, by the answer's code)."""

    name: str
    reason: str = ""


ACCEPTED: Final = Outcome("accepted")
SUPPRESSED: Final = Outcome("suppressed")


class Count(NamedTuple):
    source_id: str
    day: date
    outcome: Outcome
    total: int


class Broken(NamedTuple):
    """A place in a version of a plan that touchpoints of a source broke."""

    plan_id: str
    version: int
    source_id: str
    event: str
    place: str


class Sample(NamedTuple):
    """A touchpoint that broke it, as JSON; empty where it was too large to keep."""

    touchpoint_id: UUID
    message: bytes


@dataclass(slots=True)
class Breaches:
    count: int
    first_at: datetime
    last_at: datetime
    samples: list[Sample]


@dataclass(slots=True)
class Tallies:
    """One per process."""

    seen: dict[str, datetime] = field(default_factory=dict)
    violations: dict[Broken, Breaches] = field(default_factory=dict)
    _days: dict[tuple[str, int], Counter[Outcome]] = field(default_factory=dict)

    def add(self, source_id: str, at: datetime, outcome: Outcome, count: int = 1) -> None:
        key = (source_id, at.toordinal())
        counter = self._days.get(key)
        if counter is None:
            counter = self._days[key] = Counter()
        counter[outcome] += count

    def see(self, source_id: str, at: datetime) -> None:
        """A request of the source. The latest stands: a replay speaks of long ago."""
        seen = self.seen.get(source_id)
        if seen is None or seen < at:
            self.seen[source_id] = at

    def violate(self, broken: Broken, at: datetime, sample: Sample) -> None:
        if broken not in self.violations and len(self.violations) >= MAX_VIOLATIONS:
            broken = broken._replace(event=OTHER, place=OTHER)
        held = self.violations.get(broken)
        if held is None:
            self.violations[broken] = Breaches(1, at, at, [sample])
            return
        held.count += 1
        held.first_at, held.last_at = min(held.first_at, at), max(held.last_at, at)
        if len(held.samples) < MAX_SAMPLES:
            held.samples.append(sample)

    @property
    def is_empty(self) -> bool:
        return not (self._days or self.seen or self.violations)

    def counts(self) -> Iterable[Count]:
        for (source_id, day), counter in self._days.items():
            for outcome, count in counter.items():
                yield Count(source_id, date.fromordinal(day), outcome, count)

    def take(self) -> "Tallies":
        """Everything so far; counting begins anew."""
        taken = Tallies(self.seen, self.violations, self._days)
        self.seen, self.violations, self._days = {}, {}, {}
        return taken

    def put_back(self, other: "Tallies") -> None:
        """What couldn't be written down counts on."""
        for source_id, at in other.seen.items():
            self.see(source_id, at)
        for count in other.counts():
            self.add(count.source_id, datetime.combine(count.day, datetime.min.time()), count.outcome, count.total)
        for broken, breaches in other.violations.items():
            held = self.violations.get(broken)
            if held is None:
                self.violations[broken] = breaches
            else:
                held.count += breaches.count
                held.first_at = min(held.first_at, breaches.first_at)
