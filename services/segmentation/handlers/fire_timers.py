"""Time passes: judge the profiles whose answer changes now though nothing happened to them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from libs.events.envelope import Outgoing
from libs.kit.db import Tx
from libs.kit.times import from_micros, to_micros
from libs.subscriber import store as subscribed
from services.segmentation.domain.judging import Edge
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.judge_profiles import Candidate, Reason, judge_profiles


async def fire_timers(tx: Tx, profile_ids: Sequence[UUID], seg: Segmentation, *, until_us: Mapping[UUID, int]) -> list[Outgoing]:
    """Judge profiles by the segments whose timer is due, each change at the instant it was due.

    `until_us`: up to when each profile's changes are known to be consumed; nothing later is judged. A timer that another
    worker fired meanwhile, or whose profile changed, does nothing.
    """
    locked = await subscribed.lock_profiles(tx, profile_ids)
    force = await seg.registries.hold(tx)
    members = await subscribed.load_members(tx, list(locked))
    timers = await seg.memberships.load_timers(tx, list(locked))
    candidates = []
    orphans: list[tuple[UUID, str]] = []
    for profile_id, profile in locked.items():
        own = timers.get(profile_id, {})
        judged_us = to_micros(profile.judged_at) if profile.judged_at else until_us[profile_id]
        now_us = max(until_us[profile_id], judged_us)
        orphans += [(profile_id, id_) for id_, timer in own.items() if force.registry.find_setter(id_, timer) is None]
        candidates.append(
            Candidate(
                profile_id=profile_id,
                version=profile.version,
                fragments=tuple(members[profile_id]),
                view=profile.snapshot,
                segments=force.registry.with_dependents(force.registry.find_due(own, now_us)),
                from_us=judged_us,
                now_us=now_us,
                explain=_because_of_time,
                timers=own,
            )
        )
    outgoing = await judge_profiles(tx, candidates, seg)
    await seg.memberships.save_timers(tx, (), orphans)
    await subscribed.save_judged_at(tx, {one.profile_id: from_micros(one.now_us) for one in candidates if one.segments})
    return outgoing


def _because_of_time(_edge: Edge) -> Reason:
    return Reason("time")
