"""Long work on a definition: fill a new version from everybody known, or empty a deleted segment.

In chunks by profile id, each a transaction that locks its profiles, judges them, and records how far it is: after a crash it
goes on exactly there. Live changes flow meanwhile under the same locks, so nobody is missed or told twice.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from libs.durable.jobs import RunningJob
from libs.events.envelope import Outgoing
from libs.kit.db import Database, Tx
from libs.kit.times import from_micros, to_micros
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox
from libs.subscriber import store as subscribed
from services.segmentation.domain.judging import Edge
from services.segmentation.domain.segments import Segment
from services.segmentation.handlers.context import Force, Segmentation, compile_definition
from services.segmentation.handlers.judge_profiles import Candidate, Reason, judge_profiles
from services.segmentation.ports import ProfilePages

FILL: Final = "segment_fill"
EMPTY: Final = "segment_empty"


@dataclass(frozen=True, slots=True)
class LongWork:
    """What jobs need besides the handlers' own."""

    database: Database
    outbox: Outbox
    seg: Segmentation
    pages: ProfilePages
    chunk_profiles: int


def make_input(segment_id: str, version: int) -> dict[str, Any]:
    return {"segment_id": segment_id, "version": version}


async def fill_segment(job: RunningJob, work: LongWork) -> dict[str, Any]:
    """Judge everybody by the version the job is about. A newer version or a deletion ends it: that has a job of its own."""
    segment_id, version = job.input["segment_id"], job.input["version"]

    async def judge_chunk(tx: Tx, profile_ids: Sequence[UUID]) -> list[Outgoing] | None:
        locked = await subscribed.lock_profiles(tx, profile_ids)
        force = await work.seg.registries.hold(tx)
        segment = force.registry.by_id.get(segment_id)
        if segment is None or segment.version != version:
            return None
        outgoing = await _judge_locked(tx, locked, segment, force, work.seg)
        await work.seg.definitions.mark_filled(tx, segment_id, version, profile_ids[-1], is_done=False)
        return outgoing

    if not await _walk(job, work, work.pages.load_known_ids, judge_chunk):
        return {"superseded": True}
    async with work.database.transaction() as tx:
        await work.seg.definitions.begin_change(tx)
        is_done = await work.seg.definitions.mark_filled(tx, segment_id, version, None, is_done=True)
    return {"profiles": job.done, "superseded": not is_done}


async def empty_segment(job: RunningJob, work: LongWork) -> dict[str, Any]:
    """Tell every member of a deleted segment that it exited. A segment that came back meanwhile is its own job's business."""
    segment_id, version = job.input["segment_id"], job.input["version"]

    async def load_ids(tx: Tx, after: UUID | None, limit: int) -> list[UUID]:
        return await work.pages.load_concerned_ids(tx, segment_id, after, limit)

    async def exit_chunk(tx: Tx, profile_ids: Sequence[UUID]) -> list[Outgoing] | None:
        locked = await subscribed.lock_profiles(tx, profile_ids)
        await work.seg.definitions.hold_revision(tx)
        definition = await work.seg.definitions.find(tx, segment_id, even_deleted=True)
        if definition is None or definition.state != "deleted" or definition.version != version:
            return None
        segment = compile_definition(definition)
        now_us = to_micros(work.seg.clock.now())
        timers = await work.seg.memberships.load_timers(tx, list(locked))
        candidates = [
            Candidate(
                profile_id=profile_id,
                version=profile.version,
                fragments=(),
                view=None,
                segments=(segment,),
                from_us=now_us,
                now_us=max(now_us, to_micros(profile.judged_at) if profile.judged_at else 0),
                explain=_because_of_edit,
                timers={id_: due_us for id_, due_us in timers.get(profile_id, {}).items() if id_ == segment_id},
            )
            for profile_id, profile in locked.items()
        ]
        return await judge_profiles(tx, candidates, work.seg)

    finished = await _walk(job, work, load_ids, exit_chunk)
    return {"profiles": job.done, "superseded": not finished}


LoadIds = Callable[[Tx, UUID | None, int], Awaitable[list[UUID]]]
DoChunk = Callable[[Tx, Sequence[UUID]], Awaitable[list[Outgoing] | None]]


async def _walk(job: RunningJob, work: LongWork, load_ids: LoadIds, do_chunk: DoChunk) -> bool:
    """Chunk after chunk from the job's checkpoint on; False where a chunk says that the work is another's by now."""
    after = UUID(bytes=job.checkpoint) if job.checkpoint else None
    if job.total is None:
        async with work.database.connection() as connection:
            total = await work.pages.count_known(connection)
        await job.report(done=job.done, total=total)
    while True:
        async with work.database.transaction() as tx:
            profile_ids = await load_ids(tx, after, work.chunk_profiles)
            if not profile_ids:
                return True
            outgoing = await do_chunk(tx, profile_ids)
            if outgoing is None:
                return False
            after = profile_ids[-1]
            await job.save(tx, done=job.done + len(profile_ids), checkpoint=after.bytes)
            staged = await work.outbox.stage(tx, outgoing)
        if staged is not None:
            # It is committed: while the broker is away the worker's sweep tells it later.
            with suppress(PublishFailed):
                await work.outbox.publish(staged, outgoing)


async def _judge_locked(
    tx: Tx, locked: dict[UUID, subscribed.StoredProfile], segment: Segment, force: Force, seg: Segmentation
) -> list[Outgoing]:
    """Judge locked profiles by a segment's new rule and by all that builds on it; what the clock has due comes along."""
    now_us = to_micros(seg.clock.now())
    members = await subscribed.load_members(tx, list(locked))
    timers = await seg.memberships.load_timers(tx, list(locked))
    candidates = []
    for profile_id, profile in locked.items():
        judged_us = to_micros(profile.judged_at) if profile.judged_at else now_us
        instant_us = max(now_us, judged_us)
        own = timers.get(profile_id, {})
        due = [force.registry.by_id[id_] for id_, due_us in own.items() if due_us <= instant_us and id_ in force.registry.by_id]
        candidates.append(
            Candidate(
                profile_id=profile_id,
                version=profile.version,
                fragments=tuple(members[profile_id]),
                view=profile.snapshot,
                segments=force.registry.with_dependents([segment, *due]),
                from_us=judged_us,
                now_us=instant_us,
                explain=_because_of(Reason("backfill" if segment.version == 1 else "edit"), instant_us),
                timers=own,
                only_now=frozenset((segment.id,)),
            )
        )
    outgoing = await judge_profiles(tx, candidates, seg)
    await subscribed.save_judged_at(tx, {one.profile_id: from_micros(one.now_us) for one in candidates})
    return outgoing


def _because_of(reason: Reason, now_us: int) -> Callable[[Edge], Reason]:
    """What the clock had due keeps its own cause."""
    return lambda edge: Reason("time") if edge.at_us < now_us else reason


def _because_of_edit(_edge: Edge) -> Reason:
    return Reason("edit")
