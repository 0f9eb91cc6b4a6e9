"""One suite for every store of jobs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from libs.durable.jobs import FakeJobs, Job, JobCancelled, JobError, JobLost, Jobs, Lease, PostgresJobs
from libs.kit.clock import FakeClock
from libs.kit.db import Database, Tx

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHORT_S = 0.01


@dataclass
class World:
    jobs: Jobs
    transaction: Callable[[], AbstractAsyncContextManager[Tx]]
    let_pass: Callable[[float], Awaitable[None]]

    async def create(self, kind: str = "import", *, at: datetime = NOW, **more: Any) -> Job:
        async with self.transaction() as tx:
            return await self.jobs.create(tx, job_id=uuid4(), kind=kind, input={"file": "x"}, now=at, **more)

    async def get(self, job_id: UUID) -> Job:
        async with self.transaction() as tx:
            job = await self.jobs.get(tx, job_id)
        assert job is not None
        return job

    async def claim(self, *kinds: str, lease_s: float = 60.0) -> tuple[Job, Lease] | None:
        token = uuid4()
        async with self.transaction() as tx:
            job = await self.jobs.claim(tx, kinds or ("import",), token=token, lease_s=lease_s, now=NOW)
        return (job, Lease(job.id, token)) if job is not None else None

    async def claim_one(self, *kinds: str, lease_s: float = 60.0) -> tuple[Job, Lease]:
        claimed = await self.claim(*kinds, lease_s=lease_s)
        assert claimed is not None
        return claimed

    async def cancel(self, job_id: UUID) -> Job | None:
        async with self.transaction() as tx:
            return await self.jobs.cancel(tx, job_id, now=NOW)

    async def pause(self, job_id: UUID) -> str | None:
        async with self.transaction() as tx:
            job = await self.jobs.pause(tx, job_id, now=NOW)
        return job.state if job is not None else None

    async def requeue(self, job_id: UUID) -> str | None:
        async with self.transaction() as tx:
            job = await self.jobs.requeue(tx, job_id)
        return job.state if job is not None else None

    async def delete(self, job_id: UUID) -> None:
        async with self.transaction() as tx:
            await self.jobs.delete(tx, job_id)

    async def save(self, lease: Lease, **progress: Any) -> None:
        async with self.transaction() as tx:
            await self.jobs.save_progress(tx, lease, **progress)

    async def renew(self, lease: Lease) -> None:
        async with self.transaction() as tx:
            await self.jobs.renew(tx, lease, lease_s=60)

    async def finish(self, lease: Lease, **how: Any) -> None:
        async with self.transaction() as tx:
            await self.jobs.finish(tx, lease, now=NOW, **how)

    async def release(self, lease: Lease, **how: Any) -> None:
        async with self.transaction() as tx:
            await self.jobs.release(tx, lease, **how)


@asynccontextmanager
async def no_transaction() -> AsyncIterator[Tx]:
    yield cast("Tx", None)


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        clock = FakeClock()

        async def move(seconds: float) -> None:
            clock.advance(timedelta(seconds=seconds + 0.001))

        return World(FakeJobs(clock), no_transaction, move)
    database: Database = request.getfixturevalue("database")
    return World(PostgresJobs(), database.transaction, lambda seconds: asyncio.sleep(seconds + 0.01))


async def test_a_new_job_waits(world: World) -> None:
    job = await world.create(total=10)
    assert (job.state, job.done, job.total, job.input) == ("queued", 0, 10, {"file": "x"})
    assert await world.get(job.id) == job


async def test_creating_the_same_id_again_changes_nothing(world: World) -> None:
    job = await world.create()
    async with world.transaction() as tx:
        again = await world.jobs.create(tx, job_id=job.id, kind="other", input=None, now=NOW)
    assert again == job


async def test_no_such_job_is_none(world: World) -> None:
    async with world.transaction() as tx:
        assert await world.jobs.get(tx, uuid4()) is None
    assert await world.cancel(uuid4()) is None


async def test_the_oldest_job_of_the_kinds_asked_for_is_claimed(world: World) -> None:
    await world.create(at=NOW - timedelta(days=2), kind="other")
    young = await world.create(at=NOW)
    old = await world.create(at=NOW - timedelta(days=1))
    first, _ = await world.claim_one()
    second, _ = await world.claim_one()
    assert [first.id, second.id] == [old.id, young.id]
    assert (first.state, first.attempts, first.started_at) == ("running", 1, NOW)
    assert await world.claim() is None


async def test_progress_and_checkpoint_are_kept_and_none_changes_neither(world: World) -> None:
    job = await world.create(total=10)
    _, lease = await world.claim_one()
    await world.save(lease, done=3, total=12, checkpoint=b"row 3")
    await world.save(lease, done=4)
    saved = await world.get(job.id)
    assert (saved.done, saved.total, saved.checkpoint) == (4, 12, b"row 3")


async def test_a_finished_job_has_its_result_and_no_lease(world: World) -> None:
    job = await world.create()
    _, lease = await world.claim_one()
    await world.finish(lease, state="succeeded", result={"rows": 3})
    ended = await world.get(job.id)
    assert (ended.state, ended.result, ended.error, ended.finished_at) == ("succeeded", {"rows": 3}, None, NOW)
    with pytest.raises(JobLost):
        await world.finish(lease, state="failed")
    assert await world.claim() is None


async def test_a_failed_job_says_why(world: World) -> None:
    job = await world.create()
    _, lease = await world.claim_one()
    await world.finish(lease, state="failed", error=JobError("no_file", "There is no file."))
    assert (await world.get(job.id)).error == JobError("no_file", "There is no file.")


async def test_a_job_is_finished_only_by_an_end(world: World) -> None:
    await world.create()
    _, lease = await world.claim_one()
    with pytest.raises(ValueError, match="finished"):
        await world.finish(lease, state="queued")


async def test_a_waiting_job_is_cancelled_at_once(world: World) -> None:
    job = await world.create()
    cancelled = await world.cancel(job.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.finished_at) == ("cancelled", NOW)
    assert await world.claim() is None


async def test_a_running_job_is_asked_to_stop(world: World) -> None:
    job = await world.create()
    _, lease = await world.claim_one()
    asked = await world.cancel(job.id)
    assert asked is not None
    assert (asked.state, asked.cancel_requested) == ("running", True)
    with pytest.raises(JobCancelled):
        await world.renew(lease)
    with pytest.raises(JobCancelled):
        await world.save(lease, done=1)
    await world.finish(lease, state="cancelled")
    assert (await world.get(job.id)).state == "cancelled"


async def test_a_finished_job_stays_as_it_is(world: World) -> None:
    job = await world.create()
    _, lease = await world.claim_one()
    await world.finish(lease, state="succeeded")
    await world.cancel(job.id)
    ended = await world.get(job.id)
    assert (ended.state, ended.cancel_requested) == ("succeeded", False)


async def test_an_expired_lease_is_taken_over_and_the_old_one_opens_nothing(world: World) -> None:
    job = await world.create()
    _, old = await world.claim_one(lease_s=SHORT_S)
    await world.save(old, done=5, checkpoint=b"row 5")
    await world.let_pass(SHORT_S)
    taken, new = await world.claim_one()
    assert (taken.id, taken.attempts, taken.checkpoint, taken.started_at) == (job.id, 2, b"row 5", NOW)
    for late in (world.renew(old), world.save(old, done=6), world.finish(old, state="succeeded")):
        with pytest.raises(JobLost):
            await late
    await world.release(old, after_s=0, count_attempt=True)
    await world.finish(new, state="succeeded")
    assert (await world.get(job.id)).done == 5


async def test_a_renewed_lease_holds(world: World) -> None:
    await world.create()
    _, lease = await world.claim_one(lease_s=SHORT_S)
    await world.renew(lease)
    await world.let_pass(SHORT_S)
    assert await world.claim() is None


async def test_a_released_job_waits_its_time_and_keeps_its_checkpoint(world: World) -> None:
    await world.create()
    _, lease = await world.claim_one()
    await world.save(lease, done=1, checkpoint=b"row 1")
    await world.release(lease, after_s=60, count_attempt=True)
    assert await world.claim() is None


@pytest.mark.parametrize(("count_attempt", "attempts"), [(True, 2), (False, 1)])
async def test_a_released_job_counts_its_attempt_or_not(world: World, count_attempt: bool, attempts: int) -> None:
    await world.create()
    _, lease = await world.claim_one()
    await world.release(lease, after_s=0, count_attempt=count_attempt)
    await world.let_pass(0)
    job, _ = await world.claim_one()
    assert job.attempts == attempts


async def test_crashes_are_forgotten_once_there_is_progress(world: World) -> None:
    await world.create()
    for _ in range(3):
        _, lease = await world.claim_one()
        await world.release(lease, after_s=0, count_attempt=True)
        await world.let_pass(0)
    job, lease = await world.claim_one()
    assert job.attempts == 4
    await world.save(lease, done=0)
    assert (await world.get(job.id)).attempts == 4
    await world.save(lease, done=1)
    assert (await world.get(job.id)).attempts == 1


async def test_a_paused_job_rests_until_it_is_queued_again_and_goes_on_from_its_checkpoint(world: World) -> None:
    job = await world.create(total=9)
    _, lease = await world.claim_one()
    await world.save(lease, done=4, checkpoint=b"row 4")
    await world.finish(lease, state="paused")
    assert (await world.get(job.id)).state == "paused"
    assert await world.claim() is None
    assert await world.requeue(job.id) == "queued"
    again, _ = await world.claim_one()
    assert (again.done, again.total, again.checkpoint, again.attempts, again.finished_at) == (4, 9, b"row 4", 1, None)


async def test_a_waiting_job_is_paused_at_once_and_a_running_one_is_not(world: World) -> None:
    waiting = await world.create()
    running, _ = await world.claim_one()
    assert running.id == waiting.id
    waiting = await world.create()
    assert [await world.pause(running.id), await world.pause(waiting.id), await world.pause(uuid4())] == [
        "running", "paused", None,
    ]  # fmt: skip
    assert await world.claim() is None


async def test_only_a_job_at_rest_is_queued_again(world: World) -> None:
    job = await world.create()
    await world.claim_one()
    assert await world.requeue(job.id) == "running"
    assert await world.requeue(uuid4()) is None
    await world.delete(job.id)
    assert (await world.get(job.id)).state == "running"


async def test_a_paused_job_is_cancelled_at_once_and_may_be_queued_again(world: World) -> None:
    job = await world.create()
    _, lease = await world.claim_one()
    await world.finish(lease, state="paused")
    cancelled = await world.cancel(job.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.finished_at) == ("cancelled", NOW)
    assert await world.requeue(job.id) == "queued"
    assert (await world.get(job.id)).cancel_requested is False


async def test_a_job_at_rest_can_be_forgotten(world: World) -> None:
    job = await world.create()
    await world.cancel(job.id)
    await world.delete(job.id)
    async with world.transaction() as tx:
        assert await world.jobs.get(tx, job.id) is None
