"""Jobs that are run, crash, are cancelled and handed on."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from libs.durable.jobs import Job, JobFunction, JobRunner, PostgresJobs, RunningJob, job_accepted, jobs_router
from libs.kit.auth import FixedAccess, Principal
from libs.kit.clock import FakeClock
from libs.kit.db import Database
from libs.kit.errors import NotFound, Unavailable
from libs.kit.http import Health, create_app
from tests.support.eventually import eventually

JOBS = PostgresJobs()
CLOCK = FakeClock()


def build_runner(database: Database, kinds: Mapping[str, JobFunction], **more: Any) -> JobRunner:
    return JobRunner(database, kinds, clock=CLOCK, poll_s=0.02, **more)


async def create(database: Database, kind: str = "count", **given: Any) -> Job:
    async with database.transaction() as tx:
        return await JOBS.create(tx, job_id=uuid4(), kind=kind, input=given, now=CLOCK.now())


async def get(database: Database, job_id: UUID) -> Job:
    async with database.connection() as connection:
        job = await JOBS.get(connection, job_id)
    assert job is not None
    return job


@pytest.fixture
async def counted(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("CREATE TABLE IF NOT EXISTS counted (n int); TRUNCATE counted")


def count_to(database: Database, crash_at: set[int]) -> JobFunction:
    """Counts into a table, one row and one checkpoint a transaction; a crash is a job function that never comes back."""

    async def count(job: RunningJob) -> Any:
        for n in range(int(job.checkpoint or b"0"), job.input["to"]):
            async with database.transaction() as tx:
                await tx.execute("INSERT INTO counted VALUES ($1)", n)
                if n in crash_at:
                    crash_at.remove(n)
                    raise asyncpg.ConnectionDoesNotExistError("crashed before the commit")
                await job.save(tx, done=n + 1, total=job.input["to"], checkpoint=b"%d" % (n + 1))
        return {"counted": job.input["to"]}

    return count


async def test_without_a_job_the_runner_rests(database: Database) -> None:
    assert not await build_runner(database, {"count": count_to(database, set())}).run_next()


@pytest.mark.usefixtures("counted")
async def test_a_job_runs_to_its_result(database: Database) -> None:
    job = await create(database, to=3)
    assert await build_runner(database, {"count": count_to(database, set())}).run_next()
    ended = await get(database, job.id)
    assert (ended.state, ended.result, ended.done, ended.total) == ("succeeded", {"counted": 3}, 3, 3)


@pytest.mark.usefixtures("counted")
async def test_after_a_lost_connection_it_goes_on_exactly_where_it_was(database: Database) -> None:
    job = await create(database, to=6)
    runner = build_runner(database, {"count": count_to(database, {2, 4})})
    for _ in range(3):
        await runner.run_next()
        async with database.transaction() as tx:
            await tx.execute("UPDATE jobs SET lease_until = NULL WHERE state = 'queued'")
    assert (await get(database, job.id)).state == "succeeded"
    async with database.connection() as connection:
        assert [row["n"] for row in await connection.fetch("SELECT n FROM counted ORDER BY n")] == [0, 1, 2, 3, 4, 5]


@pytest.mark.usefixtures("counted")
async def test_a_crashed_runners_job_is_taken_over_when_its_lease_ends(database: Database) -> None:
    job = await create(database, to=5)
    async with database.transaction() as tx:  # a runner claims it and is never heard of again
        await JOBS.claim(tx, ["count"], token=uuid4(), lease_s=0.05, now=CLOCK.now())
    runner, stop = build_runner(database, {"count": count_to(database, set())}), asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    ended = await eventually(lambda: get(database, job.id), until=lambda one: one.state == "succeeded")
    stop.set()
    await running
    assert (ended.done, ended.attempts) == (5, 1), "what got on is no crash any more"


async def test_a_runner_that_lost_its_lease_writes_nothing_more(database: Database) -> None:
    async def lose_then_save(job: RunningJob) -> None:
        async with database.transaction() as tx:  # while it hung, another runner claimed the job
            await tx.execute("UPDATE jobs SET lease_token = gen_random_uuid() WHERE id = $1", job.id)
        await job.report(done=99)

    job = await create(database)
    await build_runner(database, {"count": lose_then_save}).run_next()
    left = await get(database, job.id)
    assert (left.state, left.done) == ("running", 0)


async def test_a_job_longer_than_its_lease_keeps_it(database: Database) -> None:
    job = await create(database)
    rival = build_runner(database, {"count": lambda _job: asyncio.sleep(0)})

    async def take_long(_job: RunningJob) -> bool:
        claimed = False
        for _ in range(12):
            await asyncio.sleep(0.05)
            claimed = claimed or await rival.run_next()
        return claimed

    await build_runner(database, {"count": take_long}, lease_s=0.3).run_next()
    ended = await get(database, job.id)
    assert (ended.state, ended.result, ended.attempts) == ("succeeded", False, 1)


async def test_cancelling_stops_a_job_that_never_asks(database: Database) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def hang(_job: RunningJob) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    job = await create(database)
    running = asyncio.create_task(build_runner(database, {"count": hang}, lease_s=0.06).run_next())
    await began.wait()
    async with database.transaction() as tx:
        await JOBS.cancel(tx, job.id, now=CLOCK.now())
    await running
    assert stopped.is_set()
    assert (await get(database, job.id)).state == "cancelled"


async def test_a_graceful_stop_gives_the_job_back_without_counting_the_attempt(database: Database) -> None:
    began, stop = asyncio.Event(), asyncio.Event()

    async def hang(_job: RunningJob) -> None:
        began.set()
        await asyncio.Event().wait()

    job = await create(database)
    running = asyncio.create_task(build_runner(database, {"count": hang}).run(stop))
    await began.wait()
    stop.set()
    await running
    left = await get(database, job.id)
    assert (left.state, left.attempts) == ("queued", 0)
    assert await build_runner(database, {"count": lambda _job: asyncio.sleep(0)}).run_next()


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (NotFound("There is no such file."), "failed", "not_found"),
        (ValueError("hush"), "failed", "internal"),
        (Unavailable("Later."), "queued", None),
        (asyncpg.DeadlockDetectedError("hush"), "queued", None),
    ],
)
async def test_how_a_function_fails_decides_whether_it_is_tried_again(
    database: Database, error: Exception, state: str, code: str | None
) -> None:
    async def fail(_job: RunningJob) -> None:
        raise error

    job = await create(database)
    runner = build_runner(database, {"count": fail})
    await runner.run_next()
    left = await get(database, job.id)
    assert (left.state, left.error.code if left.error else None) == (state, code)
    assert left.error is None or "hush" not in left.error.detail
    assert not await runner.run_next()  # a retry waits its time


async def test_a_job_that_kills_its_runner_every_time_is_given_up(database: Database) -> None:
    job = await create(database)
    runner = build_runner(database, {"count": lambda _job: asyncio.sleep(0)}, max_attempts=2)
    for _ in range(2):
        async with database.transaction() as tx:
            await JOBS.claim(tx, ["count"], token=uuid4(), lease_s=0, now=CLOCK.now())
    await runner.run_next()
    ended = await get(database, job.id)
    assert (ended.state, ended.error.code if ended.error else None) == ("failed", "gave_up")


async def test_the_api_shows_and_cancels_a_job(database: Database) -> None:
    access = FixedAccess(principals={"k": Principal("k", frozenset({"segments:read", "segments:write"}))})
    app = create_app(service="t", title="T", description="", health=Health(), access=access, clock=CLOCK)
    app.include_router(jobs_router(database, clock=CLOCK, read_scope="segments:read", write_scope="segments:write"))
    job = await create(database)
    assert job_accepted(job).headers["location"] == f"/v1/jobs/{job.id}"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://t", headers={"authorization": "Bearer k"}
    ) as client:
        shown = (await client.get(f"/v1/jobs/{job.id}")).json()
        assert (shown["id"], shown["kind"], shown["state"]) == (str(job.id), "count", "queued")
        assert (shown["progress"], shown["result"], shown["error"]) == ({"done": 0, "total": None}, None, None)
        assert (await client.delete(f"/v1/jobs/{job.id}")).json()["state"] == "cancelled"
        assert (await client.get(f"/v1/jobs/{uuid4()}")).json()["code"] == "job_not_found"
        assert (await client.get("/v1/jobs/x")).status_code == 422
        assert (await client.get(f"/v1/jobs/{job.id}", headers={"authorization": "Bearer no"})).status_code == 401
