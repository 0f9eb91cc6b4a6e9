"""Reconciliation: every profile judged anew, from what is stored, against what is stored of its memberships. Changes nothing.

All of it is read from one snapshot, so that what flows meanwhile is no difference.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from libs.kit.db import Tx
from libs.kit.times import to_micros
from libs.subscriber import store as subscribed
from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.history import Facts
from services.segmentation.domain.segments import Registry, Segment, SetTimer
from services.segmentation.domain.timeline import find_true_change
from services.segmentation.domain.values import decode_sent
from services.segmentation.handlers.context import Segmentation, compile_definition
from services.segmentation.ports import Definition, HistoryRequest, ProfilePages

VERIFY: Final = "segment_verify"
_CHUNK: Final = 500
_MOST_EXAMPLES: Final = 100
What: TypeAlias = Literal["not_a_member", "a_member", "edges", "timer"]
"""Stored is what the rule denies: not a member who should be, a member who shouldn't, edges that don't make the level, or no
timer though the answer will change by itself.
"""


@dataclass(frozen=True, slots=True)
class Difference:
    segment_id: str
    profile_id: str
    what: What


@dataclass(slots=True)
class Verdict:
    """`compared`: pairs of a profile and a segment. `due`: timers that wait for their turn, which is no difference.
    `filling`: segments that weren't compared, since they aren't live yet, or a list that they build on isn't judged to its end.
    `examples`: the first hundred differences.
    """

    profiles: int = 0
    compared: int = 0
    due: int = 0
    differences: int = 0
    filling: list[str] = field(default_factory=list)
    examples: list[Difference] = field(default_factory=list)

    def add(self, segment_id: str, profile_id: UUID, what: What) -> None:
        self.differences += 1
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(Difference(segment_id, str(profile_id), what))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


async def verify_memberships(
    snapshot: Tx,
    seg: Segmentation,
    pages: ProfilePages,
    *,
    segment_id: str | None = None,
    report: Callable[[int], Awaitable[None]] | None = None,
) -> Verdict:
    """Compare everybody, or everybody by one segment. `snapshot`: REPEATABLE READ. `report` hears how many profiles are done."""
    definitions = await seg.definitions.load_all(snapshot)
    wanted = [one for one in definitions if segment_id in (None, one.id)]
    waiting = await _find_waiting(snapshot, definitions, seg)
    verdict = Verdict(filling=[one.id for one in wanted if one.id in waiting])
    live = [compile_definition(one) for one in wanted if one.id not in waiting]
    registry, after = Registry(live), None
    now_us = to_micros(seg.clock.now())
    while live and (profile_ids := await pages.load_known_ids(snapshot, after, _CHUNK)):
        await _verify_chunk(snapshot, profile_ids, registry, seg, now_us, verdict)
        for id_, profile_id in await seg.memberships.find_torn(snapshot, profile_ids, [segment.id for segment in live]):
            verdict.add(id_, profile_id, "edges")
        after = profile_ids[-1]
        verdict.profiles += len(profile_ids)
        if report is not None:
            await report(verdict.profiles)
    return verdict


async def _find_waiting(snapshot: Tx, definitions: Sequence[Definition], seg: Segmentation) -> set[str]:
    """Segments whose members a job is still to find."""
    registry = Registry(map(compile_definition, definitions))
    naming = [segment for list_id in await seg.lists.load_unjudged(snapshot) for segment in registry.find_by_list(list_id)]
    return {one.id for one in definitions if one.state != "live"}.union(one.id for one in registry.with_dependents(naming))


async def _verify_chunk(
    snapshot: Tx, profile_ids: Sequence[UUID], registry: Registry, seg: Segmentation, now_us: int, verdict: Verdict
) -> None:
    stored = await subscribed.load_profiles(snapshot, profile_ids)
    fragments = await subscribed.load_members(snapshot, profile_ids)
    timers = await seg.memberships.load_timers(snapshot, profile_ids)
    named = {segment.id for segment in registry.segments}.union(*(one.inputs.segments for one in registry.segments))
    levels = await seg.memberships.load(snapshot, profile_ids, named)
    needs = tuple(dict.fromkeys(need for segment in registry.segments for need in segment.needs))
    # A profile is right up to its last judgement: what is due since has a timer that waits for its turn.
    judged_us = {id_: to_micros(one.judged_at) if one.judged_at else now_us for id_, one in stored.items()}
    requests = [HistoryRequest(tuple(fragments[id_]), needs, judged_us[id_]) for id_ in profile_ids]
    lists = await seg.lists.load(snapshot, profile_ids, set().union(*(one.inputs.lists for one in registry.segments)))
    histories = await seg.behaviours.load(snapshot, requests, whole=True)

    def compare() -> None:
        for profile_id, history in zip(profile_ids, histories, strict=True):
            view = stored[profile_id].snapshot if fragments[profile_id] else None
            own, at_us = timers.get(profile_id, {}), judged_us[profile_id]
            members = {id_: membership.is_member for id_, membership in levels[profile_id].items()}
            facts = Facts(profile_id, decode_sent(view), history, members, lists[profile_id])
            _verify_profile(facts, view is None, own, at_us, registry, verdict)
            verdict.due += sum(timer.due_us <= now_us for timer in own.values())

    # Hundreds of profiles by hundreds of rules: the worker's other lanes don't wait for it.
    await asyncio.to_thread(compare)


def _verify_profile(
    facts: Facts, is_gone: bool, timers: Mapping[str, SetTimer], at_us: int, registry: Registry, verdict: Verdict
) -> None:
    """By the levels stored of the segments that a rule names: a difference is told once, where it is."""
    for segment in registry.segments:
        verdict.compared += 1
        is_true = not is_gone and evaluate(segment.rule, facts, at_us)
        if is_true != facts.members.get(segment.id, False):
            verdict.add(segment.id, facts.profile_id, "not_a_member" if is_true else "a_member")
        elif not is_gone and not _has_timer(segment, facts, at_us, timers.get(segment.id)):
            verdict.add(segment.id, facts.profile_id, "timer")


def _has_timer(segment: Segment, facts: Facts, at_us: int, timer: SetTimer | None) -> bool:
    """Whether somebody will look at it again when the answer changes by itself; earlier is no harm."""
    due_us = find_true_change(segment.rule, facts, at_us)
    return due_us is None or (timer is not None and timer.rule_version == segment.rule_version and timer.due_us <= due_us)
