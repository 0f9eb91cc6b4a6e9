"""Manual lists: who is on one is said by files. What a file changes is judged by a job, with the cause `edit`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.durable.jobs import Jobs
from libs.events.envelope import Outgoing
from libs.kit.db import Tx
from libs.subscriber import store as subscribed
from services.segmentation.domain.ref_files import RefFile
from services.segmentation.domain.segments import Segment, find_inputs
from services.segmentation.errors import ListExists, ListFileUnreadable, ListInUse, ListNotFound
from services.segmentation.handlers.context import Segmentation, parse_stored
from services.segmentation.handlers.define_segments import make_slug
from services.segmentation.handlers.fill_segments import Timers, judge_locked
from services.segmentation.handlers.judge_profiles import Reason
from services.segmentation.ports import ListChange, ManualList

JUDGE_LIST: Final = "list_judge"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What a file did to a list. `job_id`: who joined or left is judged by that job; None where nobody waits for it."""

    kept: ManualList
    change: ListChange
    job_id: UUID | None


async def create_list(tx: Tx, name: str, description: str, list_id: str | None, seg: Segmentation) -> ManualList:
    """An empty list. Raises ListExists."""
    await seg.definitions.begin_change(tx)
    taken = {one.id: one for one in await seg.lists.load_all(tx)}
    if list_id is not None and list_id in taken:
        raise ListExists(f"A list {list_id} exists.")
    now = seg.clock.now()
    made = ManualList(list_id or make_slug(name, taken), name, description, 0, now, now)
    await seg.lists.insert(tx, made)
    return made


async def delete_list(tx: Tx, list_id: str, seg: Segmentation) -> None:
    """Raises ListNotFound, ListInUse.

    A million entries take their time, so they go before the lock that everybody's judgement waits for; where a segment has come
    to name the list meanwhile, they stay after all.
    """
    if not await seg.lists.lock(tx, list_id):
        raise ListNotFound(f"There is no list {list_id}.")
    await _refuse_users(tx, list_id, seg)
    await seg.lists.delete(tx, list_id)
    await seg.definitions.begin_change(tx)
    await _refuse_users(tx, list_id, seg)


async def _refuse_users(tx: Tx, list_id: str, seg: Segmentation) -> None:
    definitions = await seg.definitions.load_all(tx)
    users = [one.id for one in definitions if list_id in find_inputs(parse_stored(one)).lists]
    if users:
        raise ListInUse(f"These segments name it in their rules: {', '.join(users)}.")


async def find_list(tx: Tx, list_id: str, seg: Segmentation) -> ManualList:
    """Raises ListNotFound."""
    found = await seg.lists.find(tx, list_id)
    if found is None:
        raise ListNotFound(f"There is no list {list_id}.")
    return found


async def upload_refs(tx: Tx, list_id: str, file: RefFile, seg: Segmentation, jobs: Jobs, *, is_replacing: bool) -> Uploaded:
    """Add those the file names; with `is_replacing` take all others off. Raises ListNotFound, ListFileUnreadable.

    At its end it waits for every judgement that is under way: whoever was judged by the list as it was before is there for all
    to see when the job looks, and later ones are judged by the list as it is then.
    """
    if file.unreadable and not len(file):
        line, detail = file.unreadable_lines[0]
        raise ListFileUnreadable(f"No line names a customer. Line {line}: {detail}.")
    now = seg.clock.now()
    change = await seg.lists.apply(tx, list_id, file.rows(), now, is_replacing=is_replacing)
    if change is None:
        raise ListNotFound(f"There is no list {list_id}.")
    kept, job_id = await find_list(tx, list_id, seg), None
    # What a job that was cancelled left over, too.
    unjudged = await seg.lists.count_unjudged(tx, list_id)
    if unjudged:
        job_id = seg.new_id()
        await jobs.create(tx, job_id=job_id, kind=JUDGE_LIST, input={"list_id": list_id}, now=now, total=unjudged)
        await seg.definitions.begin_change(tx)
    return Uploaded(kept, change, job_id)


async def judge_list_chunk(
    tx: Tx, list_id: str, after: UUID | None, seg: Segmentation, *, limit: int
) -> tuple[list[UUID], list[Outgoing]]:
    """Judge some of those that joined or left; which references that were.

    Whoever they lead to otherwise by the time the profiles are locked is judged by the worker that regroups them: it finds the
    list as it is now, since `upload_refs` let nobody who had read it before commit later than the file.
    """
    refs = await seg.lists.take_unjudged(tx, list_id, after, limit=limit)
    if not refs:
        return [], []
    locked = await subscribed.lock_profiles(tx, await seg.lists.load_owners(tx, refs))
    force = await seg.registries.hold(tx)

    def choose(due: Sequence[Segment], _timers: Timers) -> tuple[Sequence[Segment], frozenset[str]]:
        """By time none of them changed but those that are due; the others change now."""
        naming = force.registry.find_by_list(list_id)
        return [*naming, *due], frozenset(one.id for one in naming if one not in due)

    outgoing = await judge_locked(tx, locked, choose, Reason("edit"), force, seg)
    await seg.lists.mark_judged(tx, list_id, refs)
    return refs, outgoing
