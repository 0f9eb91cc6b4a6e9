"""Back-fills with changes between their chunks: cancelled, resumed, edited; whatever comes in between they end exact."""

import random
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.builders.changes import NOON, make_touchpoint

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


async def make_customers(world: World, count: int) -> list[Customer]:
    customers = sorted([Customer(world) for _ in range(count)], key=lambda one: one.id)
    await world.apply(*(customer.record(order()) for customer in customers))
    return customers


async def expect_exact(world: World) -> None:
    """Everything stored is what the rules say, and edges told make the levels stored."""
    verdict = await world.verify()
    assert (verdict.filling, verdict.examples) == ([], [])
    told: dict[tuple[str, Any], list[tuple[int, str]]] = {}
    for edge in world.edges():
        told.setdefault((edge.segment_id, edge.profile_id), []).append((edge.seq, edge.action))
    for (segment_id, profile_id), edges in told.items():
        assert sorted(edges) == [(seq, "entered" if seq % 2 else "exited") for seq in range(1, len(edges) + 1)]
        assert (profile_id in await world.members(segment_id)) == (len(edges) % 2 == 1)


async def test_a_back_fill_is_cancelled_and_gone_on_with(api: httpx.AsyncClient, world: World) -> None:
    customers = await make_customers(world, 10)
    made = (await api.post("/v1/segments", json={"id": "s", "name": "S", "rule": BUYERS})).json()
    chunk = 0

    async def cancel_before_the_third() -> None:
        nonlocal chunk
        chunk += 1
        if chunk == 3:
            assert (await api.get("/v1/segments/s")).json()["progress"] == {"done": 6, "total": 10}
            assert (await api.post("/v1/segments/s/resume")).status_code == 202
            assert (await api.delete(f"/v1/jobs/{made['job']['id']}")).json()["cancel_requested"] is True
            refused = await api.post("/v1/segments/s/resume")
            assert (refused.status_code, refused.json()["code"]) == (409, "fill_stopping")

    await world.make_runner(between=cancel_before_the_third).run_next()
    shown = (await api.get("/v1/segments/s")).json()
    assert (shown["state"], shown["members"], shown["job"]["state"]) == ("filling", 6, "cancelled")
    assert shown["progress"] == {"done": 6, "total": 10}

    # Meanwhile one who was filled and one who wasn't act, and somebody new comes.
    newcomer = Customer(world)
    for customer in (customers[0], customers[9], newcomer):
        await customer.does(order(1))
    again = await api.post("/v1/segments/s/resume")
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, made["job"]["id"], "queued")
    await world.run_jobs()
    shown = (await api.get("/v1/segments/s")).json()
    assert (shown["state"], shown["members"], shown["job"]["state"]) == ("live", 11, "succeeded")
    assert len(world.edges()) == 11
    await expect_exact(world)
    assert (await api.post("/v1/segments/s/resume")).json()["state"] == "succeeded"
    assert (await api.post("/v1/segments/none/resume")).status_code == 404


async def test_a_waiting_back_fill_is_cancelled_at_once(api: httpx.AsyncClient, world: World) -> None:
    await make_customers(world, 2)
    made = (await api.post("/v1/segments", json={"id": "s", "name": "S", "rule": BUYERS})).json()
    assert (await api.delete(f"/v1/jobs/{made['job']['id']}")).json()["state"] == "cancelled"
    assert await world.run_jobs() == []
    await api.post("/v1/segments/s/resume")
    assert len(await world.run_jobs()) == 2
    await expect_exact(world)


async def test_emptying_a_deleted_segment_is_gone_on_with(api: httpx.AsyncClient, world: World) -> None:
    await make_customers(world, 2)
    await world.define(BUYERS, "s")
    await world.delete("s")
    async with world.database.connection() as connection:
        deleted = await world.seg.definitions.find(connection, "s", even_deleted=True)
    assert deleted is not None
    await api.delete(f"/v1/jobs/{deleted.job_id}")
    assert await world.run_jobs() == []
    await api.post("/v1/segments/s/resume")
    assert len(await world.run_jobs()) == 2
    assert await world.members("s") == set()


async def test_progress_counts_newcomers(api: httpx.AsyncClient, world: World) -> None:
    await make_customers(world, 4)
    await world.define(BUYERS, "s", fill=False)

    async def somebody_comes() -> None:
        if len(newcomers) < 3:
            newcomers.append(Customer(world))
            await newcomers[-1].does(order())

    newcomers: list[Customer] = []
    await world.make_runner(chunk=2, between=somebody_comes).run_next()
    job = (await api.get("/v1/segments/s")).json()["job"]["id"]
    progress = (await api.get(f"/v1/jobs/{job}")).json()["progress"]
    assert 4 <= progress["done"] <= progress["total"] <= 7
    await expect_exact(world)


WINDOWED = {"did": "Order Completed", "times": {"gte": 2}, "within": "P1D"}
EDITS = ({"did": "Order Completed", "within": "PT6H"}, WINDOWED, {"not": BUYERS})


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_between_its_chunks_an_edit_ends_exact(world: World, seed: int) -> None:
    """Orders, newcomers, merges and the clock in between; another segment builds on the one that is edited."""
    chance = random.Random(seed)
    customers = await make_customers(world, 14)
    await world.define(BUYERS, "s")
    await world.define({"not": {"segment": "s"}}, "others")

    async def something_happens() -> None:
        turn = chance.randrange(4)
        if turn == 0:
            world.clock.advance(timedelta(hours=chance.randrange(1, 12)))
            await world.fire()
        elif turn == 1:
            minute = int((world.clock.now() - NOON) / timedelta(minutes=1)) - chance.randrange(600)
            await chance.choice(customers).does(order(minute))
        elif turn == 2:
            customers.append(Customer(world))
            await customers[-1].does(order())
        elif len(customers) > 2:
            kept, absorbed = chance.sample(customers, 2)
            kept.fragments, kept.membership = kept.fragments + absorbed.fragments, max(kept.membership, absorbed.membership) + 1
            await kept.does(causes=("merge",))
            await absorbed.does(causes=("merge",), members=(), absorbed_into=kept.id)
            customers.remove(absorbed)

    for rule in chance.sample(EDITS, len(EDITS)):
        await world.change("s", rule)
        runner = world.make_runner(between=something_happens)
        while await runner.run_next():
            pass
    world.clock.advance(timedelta(days=3))
    await world.fire()
    await expect_exact(world)


async def test_an_edit_tells_nobody_who_stays(world: World) -> None:
    """Of ten members two leave: two edges, though all ten were judged and one of them acted meanwhile."""
    customers = await make_customers(world, 10)
    for customer in customers[2:]:
        await customer.does(order(1))
    await world.define(BUYERS, "s")
    before = len(world.edges())

    async def one_acts() -> None:
        await customers[5].does(order(2))

    await world.change("s", {"did": "Order Completed", "times": {"gte": 2}})
    await world.make_runner(between=one_acts).run_next()
    told = world.edges()[before:]
    assert {(edge.profile_id, edge.action, edge.cause) for edge in told} == {(one.id, "exited", "edit") for one in customers[:2]}
    assert len(told) == 2
    await expect_exact(world)
