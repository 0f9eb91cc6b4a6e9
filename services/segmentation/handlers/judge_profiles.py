"""Judge profiles and tell what changed: one path for changes, timers, back-fills and edits.

Callers hold the profiles' locks. What comes out are the edges as records, in the order of time for each profile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from libs.events import codec, topics
from libs.events.envelope import Outgoing
from libs.events.segments import EdgeCause, SegmentMembershipChanged
from libs.kit.db import Tx
from libs.kit.metrics import counter
from libs.kit.times import from_micros
from services.segmentation.domain.history import Behaviour, EarlierView, Facts
from services.segmentation.domain.judging import Edge, Judged, Membership, judge, judge_gone
from services.segmentation.domain.nodes import Need
from services.segmentation.domain.parts import replace_part
from services.segmentation.domain.segments import Segment, SetTimer
from services.segmentation.domain.values import Json, decode_sent
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.keep_values import EarlierValue
from services.segmentation.handlers.tell_webhooks import tell_webhooks
from services.segmentation.ports import HistoryRequest, Timer, ToldEdge

SOURCE: Final = "segmentation"
_US_PER_S: Final = 1_000_000
_EDGES: Final = counter("segment_edges_total", "Changes of membership told.", ("action", "cause"))
_JUDGED: Final = counter("segment_judgements_total", "Rules evaluated for a profile.")
_NO_VIEW: Final[Mapping[str, Json]] = {}


class Reason(NamedTuple):
    """Why an edge came, as its record tells."""

    cause: EdgeCause
    touchpoint_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile to judge by some segments (in the order of judgement), from its last judgement to now.

    `view` None or no fragments: nobody any more, exited everywhere. `explain` gives the reason of each edge. `timers` are
    those set now, by segment. `only_now`: segments that were never judged by their present rule. `earlier`: values of the view
    that this change replaced.
    """

    profile_id: UUID
    version: int
    fragments: tuple[UUID, ...]
    view: bytes | None
    segments: tuple[Segment, ...]
    from_us: int
    now_us: int
    explain: Callable[[Edge], Reason]
    timers: Mapping[str, SetTimer]
    only_now: frozenset[str] = frozenset()
    earlier: Sequence[EarlierValue] = ()

    @property
    def is_gone(self) -> bool:
        return not self.fragments or self.view is None


async def judge_profiles(tx: Tx, candidates: Sequence[Candidate], seg: Segmentation) -> list[Outgoing]:
    """Bring every candidate's memberships to what is true now; save edges, levels and timers; return the edges as records."""
    candidates = [candidate for candidate in candidates if candidate.segments]
    if not candidates:
        return []
    history = await seg.behaviours.load(tx, [_to_request(candidate) for candidate in candidates])
    profile_ids = [candidate.profile_id for candidate in candidates]
    levels = await seg.memberships.load(tx, profile_ids, _named_segments(candidates))
    lists = await seg.lists.load(tx, profile_ids, _named_lists(candidates))
    told: list[ToldEdge] = []
    records: list[tuple[SegmentMembershipChanged, Outgoing]] = []
    set_timers: list[Timer] = []
    dropped: list[tuple[UUID, str]] = []
    for candidate, found in zip(candidates, history, strict=True):
        judged = judge_candidate(candidate, found, levels[candidate.profile_id], lists[candidate.profile_id])
        for edge in judged.edges:
            reason = candidate.explain(edge)
            told.append(ToldEdge(candidate.profile_id, edge, reason.cause))
            records.append(make_record(candidate, edge, reason))
        _move_timers(candidate, judged, set_timers, dropped)
    await seg.memberships.save(tx, told)
    await seg.memberships.save_timers(tx, set_timers, dropped)
    await tell_webhooks(tx, records, seg.clock.now())
    _JUDGED.inc(sum(len(candidate.segments) for candidate in candidates))
    return [record for _, record in records]


def judge_candidate(
    candidate: Candidate, history: Mapping[Need, Sequence[Behaviour]], told: dict[str, Membership], lists: frozenset[str]
) -> Judged:
    """Pure: one candidate with its facts loaded."""
    if candidate.is_gone:
        return judge_gone(candidate.segments, told, candidate.now_us)
    parts = frozenset[str]().union(*(segment.inputs.parts for segment in candidate.segments))
    view = decode_sent(candidate.view) if parts else _NO_VIEW
    facts = Facts(
        profile_id=candidate.profile_id,
        view=view,
        history=history,
        members={segment_id: membership.is_member for segment_id, membership in told.items()},
        lists=lists,
        earlier=_find_earlier_views(candidate, view, parts) if candidate.earlier else (),
    )
    return judge(
        candidate.segments,
        facts,
        told,
        from_us=candidate.from_us,
        now_us=candidate.now_us,
        only_now=candidate.only_now,
    )


def _find_earlier_views(candidate: Candidate, view: Mapping[str, Json], parts: frozenset[str]) -> tuple[EarlierView, ...]:
    """Back from the present one: each as it was before an instant since the last judgement."""
    found: dict[int, EarlierView] = {}
    for was in sorted(candidate.earlier, key=lambda one: one.until_us, reverse=True):
        if was.part in parts and was.until_us > candidate.from_us:
            view = replace_part(view, was.part, was.value)
            later = found.get(was.until_us)
            found[was.until_us] = EarlierView(was.until_us, view, (later.parts if later else frozenset()) | {was.part})
    return tuple(reversed(found.values()))


def make_record(candidate: Candidate, edge: Edge, reason: Reason) -> tuple[SegmentMembershipChanged, Outgoing]:
    """The edge as others hear of it. Its id says which edge it is, however often it is told."""
    _EDGES.labels("entered" if edge.entered else "exited", reason.cause).inc()
    event = SegmentMembershipChanged(
        segment_id=edge.segment.id,
        segment_name=edge.segment.name,
        segment_version=edge.segment.version,
        profile_id=candidate.profile_id,
        profile_version=candidate.version,
        action="entered" if edge.entered else "exited",
        seq=edge.seq,
        at=from_micros(edge.at_us),
        cause=reason.cause,
        touchpoint_id=reason.touchpoint_id,
        previous_s=edge.previous_us / _US_PER_S if edge.previous_us is not None else None,
    )
    return event, codec.encode(
        event,
        topic=topics.SEGMENT_CHANGES,
        key=candidate.profile_id,
        event_id=f"{edge.segment.id}:{candidate.profile_id}:{edge.seq}",
        source=SOURCE,
        time=from_micros(candidate.now_us),
        received_ms=candidate.now_us // 1000,
    )


def _to_request(candidate: Candidate) -> HistoryRequest:
    if candidate.is_gone:
        return HistoryRequest((), (), 0)
    needs = dict.fromkeys(need for segment in candidate.segments for need in segment.needs)
    return HistoryRequest(candidate.fragments, tuple(needs), candidate.from_us)


def _named_segments(candidates: Iterable[Candidate]) -> set[str]:
    """The segments judged and those their rules name."""
    segments = {segment for candidate in candidates for segment in candidate.segments}
    return {segment.id for segment in segments}.union(*(segment.inputs.segments for segment in segments))


def _named_lists(candidates: Iterable[Candidate]) -> set[str]:
    segments = {segment for candidate in candidates for segment in candidate.segments}
    return set().union(*(segment.inputs.lists for segment in segments))


def _move_timers(candidate: Candidate, judged: Judged, timers: list[Timer], dropped: list[tuple[UUID, str]]) -> None:
    if candidate.is_gone:
        dropped.extend((candidate.profile_id, segment_id) for segment_id in candidate.timers)
        return
    for segment in candidate.segments:
        present, due_us = candidate.timers.get(segment.id), judged.due_us[segment.id]
        if due_us is None:
            if present is not None:
                dropped.append((candidate.profile_id, segment.id))
        elif present != SetTimer(due_us, segment.rule_version):
            timers.append(Timer(candidate.profile_id, segment.id, due_us, segment.rule_version))
