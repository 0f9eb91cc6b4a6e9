"""A chunk of the long work on a definition: judge some of everybody by a new version, or empty a deleted segment.

Each runs in the transaction that records how far the work is. Live changes flow meanwhile under the same locks, so nobody is
missed or told twice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from libs.events.envelope import Outgoing
from libs.kit.db import Tx
from libs.kit.times import from_micros, to_micros
from libs.subscriber import store as subscribed
from services.segmentation.domain.judging import Edge
from services.segmentation.domain.segments import Segment, SetTimer
from services.segmentation.handlers.context import Force, Segmentation, compile_definition
from services.segmentation.handlers.judge_profiles import Candidate, Reason, judge_profiles
from services.segmentation.handlers.keep_values import keep_values, make_first_values

FILL: Final = "segment_fill"
EMPTY: Final = "segment_empty"

Timers: TypeAlias = Mapping[str, SetTimer]
Choose: TypeAlias = Callable[[Sequence[Segment], Timers], tuple[Sequence[Segment], frozenset[str]]]
"""(segments that the clock has due, timers set) -> the segments to judge, and those of them that change only now."""


def make_input(segment_id: str, version: int) -> dict[str, Any]:
    """What a job of either kind is about."""
    return {"segment_id": segment_id, "version": version}


async def fill_chunk(
    tx: Tx, segment_id: str, version: int, profile_ids: Sequence[UUID], seg: Segmentation
) -> list[Outgoing] | None:
    """Judge these profiles (sorted) by the version. None: the segment has another one by now, or none, and that has a job of
    its own.
    """
    locked = await subscribed.lock_profiles(tx, profile_ids)
    force = await seg.registries.hold(tx)
    segment = force.registry.by_id.get(segment_id)
    if segment is None or segment.version != version:
        return None

    def choose(due: Sequence[Segment], timers: Timers) -> tuple[Sequence[Segment], frozenset[str]]:
        # A timer by the present rule says that a change of the profile was judged by it already: that goes on from there.
        is_known = segment.id in timers and force.registry.find_setter(segment.id, timers[segment.id]) is not None
        return [segment, *due], frozenset() if is_known else frozenset((segment.id,))

    await keep_values(tx, make_first_values(locked, segment, to_micros(seg.clock.now())), seg)
    outgoing = await judge_locked(tx, locked, choose, Reason("backfill" if version == 1 else "edit"), force, seg)
    await seg.definitions.mark_filled(tx, segment_id, version, profile_ids[-1], is_done=False)
    return outgoing


async def finish_fill(tx: Tx, segment_id: str, version: int, seg: Segmentation) -> bool:
    """Everybody is judged: the segment is live. False where it has another version by now."""
    await seg.definitions.begin_change(tx)
    return await seg.definitions.mark_filled(tx, segment_id, version, None, is_done=True)


async def empty_chunk(
    tx: Tx, segment_id: str, version: int, profile_ids: Sequence[UUID], seg: Segmentation
) -> list[Outgoing] | None:
    """These profiles exit a deleted segment. None: it came back meanwhile, and its own job brings its members to what is true."""
    locked = await subscribed.lock_profiles(tx, profile_ids)
    await seg.definitions.hold_revision(tx)
    definition = await seg.definitions.find(tx, segment_id, even_deleted=True)
    if definition is None or definition.state != "deleted" or definition.version != version:
        return None
    segment = compile_definition(definition)
    now_us = to_micros(seg.clock.now())
    timers = await seg.memberships.load_timers(tx, list(locked))
    candidates = [
        Candidate(
            profile_id=profile_id,
            version=profile.version,
            fragments=(),
            view=None,
            segments=(segment,),
            from_us=now_us,
            now_us=max(now_us, to_micros(profile.judged_at) if profile.judged_at else 0),
            explain=_because_of(Reason("edit"), now_us),
            timers={id_: timer for id_, timer in timers.get(profile_id, {}).items() if id_ == segment_id},
        )
        for profile_id, profile in locked.items()
    ]
    return await judge_profiles(tx, candidates, seg)


async def judge_locked(
    tx: Tx, locked: dict[UUID, subscribed.StoredProfile], choose: Choose, reason: Reason, force: Force, seg: Segmentation
) -> list[Outgoing]:
    """Judge locked profiles by the segments chosen and all that build on them; what the clock has due comes along."""
    now_us = to_micros(seg.clock.now())
    members = await subscribed.load_members(tx, list(locked))
    timers = await seg.memberships.load_timers(tx, list(locked))
    candidates = []
    for profile_id, profile in locked.items():
        judged_us = to_micros(profile.judged_at) if profile.judged_at else now_us
        instant_us = max(now_us, judged_us)
        own = timers.get(profile_id, {})
        segments, only_now = choose(force.registry.find_due(own, instant_us), own)
        candidates.append(
            Candidate(
                profile_id=profile_id,
                version=profile.version,
                fragments=tuple(members[profile_id]),
                view=profile.snapshot,
                segments=force.registry.with_dependents(segments),
                from_us=judged_us,
                now_us=instant_us,
                explain=_because_of(reason, instant_us),
                timers=own,
                only_now=only_now,
            )
        )
    outgoing = await judge_profiles(tx, candidates, seg)
    await subscribed.save_judged_at(tx, {one.profile_id: from_micros(one.now_us) for one in candidates})
    return outgoing


def _because_of(reason: Reason, now_us: int) -> Callable[[Edge], Reason]:
    """What the clock had due keeps its own cause."""
    return lambda edge: Reason("time") if edge.at_us < now_us else reason
