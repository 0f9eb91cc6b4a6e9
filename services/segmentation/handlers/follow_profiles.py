"""Profile changes: keep what customers did, and judge every profile that a change touches by the segments it concerns."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from libs.events import codec, topics
from libs.events.envelope import Outgoing
from libs.events.profiles import Cause
from libs.events.segments import EdgeCause, SegmentsJudged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx
from libs.kit.times import from_micros, to_micros
from libs.subscriber import Affected
from services.segmentation.domain.judging import Edge
from services.segmentation.domain.segments import EVERYTHING, Changed, Registry, Segment, SetTimer
from services.segmentation.handlers.bearing import bears_on
from services.segmentation.handlers.context import Force, Segmentation
from services.segmentation.handlers.judge_profiles import SOURCE, Candidate, Reason, judge_profiles
from services.segmentation.handlers.keep_values import EarlierValue, keep_values, make_values

_NETWORK_DELAY_US: Final = timedelta(seconds=60) // timedelta(microseconds=1)
_OWN_PARTS: Final = frozenset(("segments",))
_REGROUPINGS: Final[dict[Cause, EdgeCause]] = {"merge": "merge", "split": "split", "erase": "erase"}


async def judge_affected(tx: Tx, affected: Sequence[Affected], seg: Segmentation) -> list[Outgoing]:
    """Judge what a poll touched; answer every probe, changed or not."""
    force = await seg.registries.hold(tx)
    timers = await seg.memberships.load_timers(tx, [one.profile_id for one in affected])
    heard = [_Heard(one, force) for one in affected]
    earlier = await keep_values(tx, [value for one in heard for value in one.values], seg)
    candidates = [
        make_candidate(one, force, timers.get(one.affected.profile_id, {}), earlier.get(one.affected.profile_id, ()))
        for one in heard
    ]
    outgoing = await judge_profiles(tx, candidates, seg)
    outgoing += [make_answer(one, candidate.now_us) for one, candidate in zip(affected, candidates, strict=True) if one.probe]
    return outgoing


class _Heard:
    """What a poll brought of one profile."""

    def __init__(self, affected: Affected, force: Force) -> None:
        self.affected = affected
        self.touchpoints = _own_touchpoints(affected)
        self.changed = find_changed(affected, self.touchpoints)
        self.values = make_values(affected, self.changed, self.touchpoints, force.registry)


def make_candidate(heard: _Heard, force: Force, timers: dict[str, SetTimer], earlier: Sequence[EarlierValue]) -> Candidate:
    affected, touchpoints = heard.affected, heard.touchpoints
    now_us = to_micros(affected.instant) if affected.instant is not None else 0
    if affected.judged_at is not None:
        from_us = to_micros(affected.judged_at)
    else:
        # Nobody was judged before the first word of them came; what lies further back only corrects the level.
        received_us = min((to_micros(body.received_at) for body in touchpoints), default=now_us)
        from_us = min(received_us, now_us) - _NETWORK_DELAY_US
    segments = _select(force.registry, heard.changed, affected, force.registry.find_due(timers, now_us))
    return Candidate(
        profile_id=affected.profile_id,
        version=affected.version,
        fragments=affected.fragments,
        view=affected.snapshot,
        segments=segments,
        from_us=from_us,
        now_us=now_us,
        explain=_Explainer(affected, touchpoints, force),
        timers=timers,
        earlier=earlier,
    )


def find_changed(affected: Affected, touchpoints: Sequence[TouchpointRecorded]) -> Changed:
    """What rules may look at anew. All of it where the profile is new, was regrouped, or versions in between weren't seen."""
    previous = affected.previous_version
    if affected.membership_changed or previous is None:
        return EVERYTHING
    own = {
        change.record.version: change.record.parts
        for change in affected.changes
        if change.record.profile_id == affected.profile_id and change.record.version > previous
    }
    # Each version is there once: as many as lie between the two means that none is missing.
    if len(own) != affected.version - previous:
        return EVERYTHING
    parts = frozenset().union(*own.values())
    return Changed(frozenset([body.name for body in touchpoints]), parts - _OWN_PARTS)


def make_answer(affected: Affected, now_us: int) -> Outgoing:
    """To whoever probed: all segments of this version are judged; what changed was told before this record."""
    return codec.encode(
        SegmentsJudged(profile_id=affected.profile_id, profile_version=affected.version),
        topic=topics.SEGMENT_CHANGES,
        key=affected.profile_id,
        event_id=f"judged:{affected.profile_id}:{affected.version}",
        source=SOURCE,
        time=from_micros(now_us),
        received_ms=now_us // 1000,
    )


def _own_touchpoints(affected: Affected) -> list[TouchpointRecorded]:
    members = affected.fragments
    return [fact.body for change in affected.changes for fact in change.touchpoints if fact.fragment in members]


def _select(registry: Registry, changed: Changed, affected: Affected, due: list[Segment]) -> tuple[Segment, ...]:
    if not affected.fragments or affected.snapshot is None:
        return registry.segments
    if not due or changed.everything:
        return registry.select(changed)
    return registry.with_dependents([*registry.select(changed), *due])


class _Explainer:
    """Why an edge of this profile came, by what this poll brought."""

    def __init__(self, affected: Affected, touchpoints: Sequence[TouchpointRecorded], force: Force) -> None:
        self._affected = affected
        self._touchpoints = touchpoints
        self._force = force
        self._now_us = to_micros(affected.instant) if affected.instant is not None else 0
        self._told: dict[tuple[str, int], Reason] = {}

    def __call__(self, edge: Edge) -> Reason:
        reason = self._find_reason(edge)
        self._told[edge.segment.id, edge.at_us] = reason
        return reason

    def _find_reason(self, edge: Edge) -> Reason:
        filling = self._force.filling.get(edge.segment.id)
        is_passed = filling is None or (filling.filled_to is not None and self._affected.profile_id <= filling.filled_to)
        if not is_passed and self._affected.previous_version is not None:
            return Reason("backfill" if edge.segment.version == 1 else "edit")
        bearing = [body for body in self._touchpoints if bears_on(body, edge.segment)]
        here = [body for body in bearing if to_micros(body.occurred_at) == edge.at_us]
        if not here:
            for segment_id in edge.segment.inputs.segments:
                if (segment_id, edge.at_us) in self._told:
                    return self._told[segment_id, edge.at_us]
            if edge.at_us < self._now_us:
                return Reason("time")
        if here or bearing:
            (first, *others) = here or bearing
            return Reason("touchpoint", None if others else first.id)
        return Reason(self._find_other_cause())

    def _find_other_cause(self) -> EdgeCause:
        causes = {cause for change in self._affected.changes for cause in change.record.causes}
        regrouped = next((told for cause, told in _REGROUPINGS.items() if cause in causes), None)
        if self._affected.membership_changed and regrouped is not None:
            return regrouped
        if not self._affected.fragments or self._affected.snapshot is None:
            return regrouped or "merge"
        if self._touchpoints or causes - {"facet"}:
            return "touchpoint"
        return "facet"
