"""Judge a profile: from the level that was told to the level that is true, every change at its true instant."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.history import Facts
from services.segmentation.domain.segments import Segment
from services.segmentation.domain.timeline import Schedule, find_next_change, find_schedule


@dataclass(frozen=True, slots=True)
class Membership:
    """What was told last of a segment and a profile: `seq` counts its edges, `since_us` is the instant of the last one."""

    is_member: bool
    seq: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Edge:
    """One change of membership. `previous_us`: how long it had been otherwise; None where it never was told before."""

    segment: Segment
    entered: bool
    seq: int
    at_us: int
    previous_us: int | None

    def to_membership(self) -> Membership:
        return Membership(self.entered, self.seq, self.at_us)


@dataclass(frozen=True, slots=True)
class Judged:
    """Edges in the order of time, the levels after them, and when each segment changes next if only time goes on."""

    edges: tuple[Edge, ...]
    memberships: dict[str, Membership]
    due_us: dict[str, int | None]


def judge(
    segments: Iterable[Segment],
    facts: Facts,
    told: Mapping[str, Membership],
    *,
    from_us: int,
    now_us: int,
    only_now: Collection[str] = (),
) -> Judged:
    """Every alternation in (from, now], each at its instant; what was true before `from` corrects the level at the next one.

    A segment is judged at the instants of its own touchpoints, windows and values, and whenever one that it names changes; where
    it has no such instant, now. `segments` stand in the order of judgement. `facts.members` has the levels told, of these and of
    those they build on; it has the new ones afterwards. Segments in `only_now` were never judged by their present rule.
    """
    segments = tuple(segments)
    schedule: dict[int, set[str]] = {now_us: set()}
    coming: dict[str, Schedule] = {}
    for segment in segments:
        coming[segment.id] = find_schedule(segment.timed, facts, from_us, now_us)
        turned = {one.until_us for one in facts.earlier if not segment.inputs.parts.isdisjoint(one.parts)}
        for instant in (segment.id not in only_now and coming[segment.id].passed | turned) or (now_us,):
            schedule.setdefault(instant, set()).add(segment.id)
    edges: list[Edge] = []
    memberships: dict[str, Membership] = {}
    for instant in sorted(schedule):
        awaited, flipped = schedule[instant], set[str]()
        for segment in segments:
            if segment.id not in awaited and (
                flipped.isdisjoint(segment.inputs.segments) or (segment.id in only_now and instant < now_us)
            ):
                continue
            is_true = evaluate(segment.rule, facts, instant)
            if is_true != facts.members.get(segment.id, False):
                facts.members[segment.id] = is_true
                edge = make_edge(segment, is_true, instant, memberships.get(segment.id) or told.get(segment.id))
                memberships[segment.id] = edge.to_membership()
                edges.append(edge)
                flipped.add(segment.id)
    # By the levels as they are now: a segment that another builds on may have changed in this very judgement.
    due = {segment.id: find_next_change(segment.rule, facts, now_us, coming[segment.id]) for segment in segments}
    return Judged(tuple(edges), memberships, due)


def judge_gone(segments: Iterable[Segment], told: Mapping[str, Membership], now_us: int) -> Judged:
    """A profile without fragments is nobody: it is in no segment, whatever the rules say."""
    edges = [
        make_edge(segment, False, now_us, told[segment.id])
        for segment in segments
        if segment.id in told and told[segment.id].is_member
    ]
    return Judged(tuple(edges), {edge.segment.id: edge.to_membership() for edge in edges}, {})


def make_edge(segment: Segment, entered: bool, at_us: int, before: Membership | None) -> Edge:
    if before is None:
        return Edge(segment, entered, 1, at_us, None)
    return Edge(segment, entered, before.seq + 1, at_us, max(at_us - before.since_us, 0))
