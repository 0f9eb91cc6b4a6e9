"""Reconciliation finds what was planted, and nothing where all is right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.builders.changes import NOON, make_touchpoint
from tests.support.command_line import run_command
from tests.support.eventually import eventually

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}
RECENT = {"did": "Order Completed", "within": "P1D"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


async def make_world(world: World) -> list[Customer]:
    """Two who bought, one who looked, one absorbed; a plain segment, one with a window, one that builds on another."""
    ada, bob, carl, device = (Customer(world) for _ in range(4))
    for customer in (ada, bob):
        await customer.does(order(), snapshot={"traits": {"plan": "gold"}})
    await carl.does(make_touchpoint("Page Viewed"))
    await device.does()
    await world.define(BUYERS, "buyers")
    await world.define(RECENT, "recent")
    await world.define({"all": [{"not": {"segment": "buyers"}}, {"trait": "plan", "ne": "gold"}]}, "others")
    ada.fragments, ada.membership = ada.fragments + device.fragments, 2
    await ada.does(causes=("merge",), snapshot={"traits": {"plan": "gold"}})
    await device.does(causes=("merge",), members=(), absorbed_into=ada.id)
    return [ada, bob, carl, device]


async def test_what_is_right_has_no_difference(world: World) -> None:
    await make_world(world)
    verdict = await world.verify()
    assert (verdict.profiles, verdict.compared, verdict.differences, verdict.due) == (4, 12, 0, 0)
    # A timer that is due and waits for its turn is no difference; nor is anything once it has fired.
    world.clock.set(NOON + timedelta(days=2))
    assert ((await world.verify()).differences, (await world.verify()).due) == (0, 2)
    await world.fire()
    assert ((await world.verify()).differences, (await world.verify()).due) == (0, 0)


PLANTED = {
    "not_a_member": ("DELETE FROM memberships WHERE segment_id = 'buyers' AND profile_id = $1", {"not_a_member", "edges"}),
    "a_member": ("INSERT INTO memberships VALUES ($1, 'others', true, 1, 0, 1)", {"a_member", "edges"}),
    "an edge too many": ("INSERT INTO edges VALUES ('buyers', $1, 2, 0, 1, 'time')", {"edges"}),
    "an edge too few": ("DELETE FROM edges WHERE segment_id = 'buyers' AND profile_id = $1", {"edges"}),
    "another instant": ("UPDATE memberships SET since_us = 0 WHERE segment_id = 'buyers' AND profile_id = $1", {"edges"}),
    "no timer": ("DELETE FROM timers WHERE segment_id = 'recent' AND profile_id = $1", {"timer"}),
    "a late timer": ("UPDATE timers SET due_us = due_us + 1 WHERE segment_id = 'recent' AND profile_id = $1", {"timer"}),
    "no touchpoints": (
        "DELETE FROM behaviours b USING sub_fragments f WHERE b.fragment = f.fragment AND f.profile_id = $1",
        {"a_member"},
    ),
}


@pytest.mark.parametrize("plant", PLANTED)
async def test_what_was_planted_is_found(world: World, plant: str) -> None:
    _, bob, *_ = await make_world(world)
    statement, expected = PLANTED[plant]
    async with world.database.transaction() as tx:
        await tx.execute(statement, bob.id)
    verdict = await world.verify()
    assert {(one.profile_id, one.what) for one in verdict.examples} == {(str(bob.id), what) for what in expected}
    assert verdict.differences == len(verdict.examples) >= 1


async def test_a_member_who_is_nobody_any_more_is_found(world: World) -> None:
    *_, device = await make_world(world)
    async with world.database.transaction() as tx:
        await tx.execute("INSERT INTO memberships VALUES ($1, 'buyers', true, 1, 0, 1)", device.id)
        await tx.execute("INSERT INTO edges VALUES ('buyers', $1, 1, 0, 1, 'backfill')", device.id)
    [found] = (await world.verify()).examples
    assert (found.profile_id, found.what) == (str(device.id), "a_member")


async def test_it_is_a_job_over_http(api: httpx.AsyncClient, world: World) -> None:
    _, bob, *_ = await make_world(world)
    queued = await api.post("/v1/segments/verify")
    assert (queued.status_code, queued.json()["state"]) == (202, "queued")
    await world.run_jobs()
    done = (await api.get(queued.headers["location"])).json()
    assert (done["state"], done["progress"]) == ("succeeded", {"done": 4, "total": 4})
    assert (done["result"]["differences"], done["result"]["compared"]) == (0, 12)

    async with world.database.transaction() as tx:
        await tx.execute("DELETE FROM timers WHERE profile_id = $1", bob.id)
    await world.define({"did": "Page Viewed"}, "filling", fill=False)
    for path, differences, filling in (("recent/verify", 1, []), ("buyers/verify", 0, []), ("filling/verify", 0, ["filling"])):
        queued = await api.post(f"/v1/segments/{path}")
        checks = world.make_runner(kinds=("segment_verify",))
        assert await checks.run_next()
        result = (await api.get(queued.headers["location"])).json()["result"]
        assert (result["differences"], result["filling"]) == (differences, filling), path
    assert (await api.post("/v1/segments/none/verify")).status_code == 404
    assert (await api.post("/v1/segments/verify", headers={"Authorization": "Bearer reader"})).status_code == 403


@asynccontextmanager
async def serve(app: FastAPI, world: World) -> AsyncIterator[str]:
    """The API on a port of its own, with a worker for its jobs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve())
    working = asyncio.create_task(world.make_runner().run(stop))
    try:
        await eventually(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        stop.set()
        await asyncio.gather(serving, working)


async def test_the_command_ends_with_one_where_something_differs(
    app: FastAPI, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, bob, *_ = await make_world(world)
    monkeypatch.setenv("RAPPORT_API_KEY", "staff")
    async with serve(app, world) as url:
        monkeypatch.setenv("RAPPORT_SEGMENTATION_URL", url)
        assert await asyncio.to_thread(run_command, "segments", "verify") == 0
        assert "12 memberships of 4 profiles compared, 0 differences." in capsys.readouterr().out
        async with world.database.transaction() as tx:
            await tx.execute("DELETE FROM timers WHERE profile_id = $1", bob.id)
        assert await asyncio.to_thread(run_command, "segments", "verify") == 1
        told = capsys.readouterr().out
        assert "1 differences." in told
        assert str(bob.id)[:8] in told
        assert await asyncio.to_thread(run_command, "segments", "verify", "buyers") == 0
