"""Filling from everybody known, while changes flow; editing, deleting, coming back; crashes in between."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.segmentation.errors import RuleCyclic, RuleInvalid, SegmentExists, SegmentInUse, SegmentNotFound, VersionConflict
from tests.builders.changes import NOON, make_touchpoint, to_record

from .conftest import Customer, World, tell

BUYERS = {"did": "Order Completed"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


async def make_customers(world: World, count: int, orders: int = 1) -> list[Customer]:
    customers = [Customer(world) for _ in range(count)]
    for customer in customers:
        await customer.does(*(order(number) for number in range(orders)))
    return customers


async def find(world: World, id_: str) -> Any:
    async with world.database.connection() as connection:
        return await world.seg.definitions.find(connection, id_, even_deleted=True)


async def test_a_new_segment_is_filled_from_all_history(world: World) -> None:
    buyers = await make_customers(world, 7)
    await Customer(world).does(make_touchpoint("Page Viewed"))
    made = await world.define(BUYERS, fill=False, name="Everybody who bought (ever)")
    assert (made.id, made.state, made.version) == ("everybody-who-bought-ever", "filling", 1)
    told = await world.run_jobs()
    assert await world.members(made.id) == {customer.id for customer in buyers}
    assert {(edge.action, edge.seq, edge.cause) for edge in told} == {("entered", 1, "backfill")}
    assert (await find(world, made.id)).state == "live"
    assert await world.run_jobs() == []


async def test_an_id_from_the_name_is_numbered_where_it_is_taken(world: World) -> None:
    assert [(await world.define(BUYERS, name="VIP!")).id for _ in range(3)] == ["vip", "vip-2", "vip-3"]
    with pytest.raises(SegmentExists):
        await world.define(BUYERS, "vip")


async def test_an_edit_tells_only_who_differs(world: World) -> None:
    once, twice = await make_customers(world, 3), await make_customers(world, 2, orders=2)
    await world.define(BUYERS, "buyers")
    changed = await world.change("buyers", {"did": "Order Completed", "times": {"gte": 2}}, version=1)
    assert (changed.version, changed.state) == (2, "filling")
    told = await world.run_jobs()
    assert {(edge.profile_id, edge.action, edge.seq, edge.cause, edge.segment_version) for edge in told} == {
        (customer.id, "exited", 2, "edit", 2) for customer in once
    }
    assert await world.members("buyers") == {customer.id for customer in twice}


async def test_a_new_name_is_a_version_and_judges_nobody(world: World) -> None:
    await make_customers(world, 2)
    await world.define(BUYERS, "buyers")
    changed = await world.change("buyers", BUYERS, name="Customers")
    assert (changed.version, changed.state) == (2, "live")
    assert (await world.change("buyers", BUYERS, name="Customers")).version == 2
    assert await world.run_jobs() == []
    [edge] = await Customer(world).does(order())
    assert (edge.segment_name, edge.segment_version) == ("Customers", 2)


async def test_a_deleted_segment_is_left_by_all_and_counts_on_when_it_comes_back(world: World) -> None:
    [ada] = await make_customers(world, 1)
    await world.define(BUYERS, "buyers")
    await world.delete("buyers")
    assert await ada.does(order(9)) == []
    assert tell(await world.run_jobs()) == [("exited", "buyers", 2, "edit")]
    assert await world.members("buyers") == set()
    with pytest.raises(SegmentNotFound):
        await world.delete("buyers")
    again = await world.define(BUYERS, "buyers", fill=False)
    assert again.version == 2
    assert tell(await world.run_jobs()) == [("entered", "buyers", 3, "edit")]


async def test_a_segment_deleted_and_made_again_at_once_ends_exact(world: World) -> None:
    [ada] = await make_customers(world, 1)
    await world.define(BUYERS, "buyers")
    await world.delete("buyers")
    await world.define({"did": "Page Viewed"}, "buyers", fill=False)
    assert tell(await world.run_jobs()) == [("exited", "buyers", 2, "edit")]
    assert tell(await ada.does(make_touchpoint("Page Viewed"))) == [("entered", "buyers", 3, "touchpoint")]


async def test_what_others_build_on_stays(world: World) -> None:
    await world.define(BUYERS, "buyers")
    await world.define({"not": {"segment": "buyers"}}, "others")
    with pytest.raises(SegmentInUse, match="others"):
        await world.delete("buyers")
    with pytest.raises(RuleCyclic, match="buyers -> others -> buyers"):
        await world.change("buyers", {"segment": "others"})
    with pytest.raises(RuleCyclic, match="buyers -> buyers"):
        await world.change("buyers", {"segment": "buyers"})
    with pytest.raises(RuleInvalid):
        await world.define({"segment": "bujers"})
    with pytest.raises(VersionConflict):
        await world.change("buyers", BUYERS, name="x", version=7)


async def test_editing_moves_those_who_build_on_it(world: World) -> None:
    await make_customers(world, 1)
    await world.define(BUYERS, "buyers")
    await world.define({"not": {"segment": "buyers"}}, "others")
    await world.change("buyers", {"did": "Order Completed", "times": {"gte": 2}})
    assert tell(await world.run_jobs()) == [("exited", "buyers", 2, "edit"), ("entered", "others", 1, "edit")]


async def test_a_newer_version_ends_the_older_back_fill(world: World) -> None:
    customers = await make_customers(world, 5)
    await world.define(BUYERS, "buyers", fill=False)
    await world.change("buyers", {"did": "Order Completed", "times": {"gte": 2}})
    assert await world.run_jobs() == []
    assert await world.members("buyers") == set()
    assert (await find(world, "buyers")).state == "live"
    assert tell(await customers[0].does(order(9))) == [("entered", "buyers", 1, "touchpoint")]


class Died(Exception):
    """The process ended in the middle of a chunk."""


async def test_a_back_fill_that_dies_goes_on_where_it_was(world: World) -> None:
    customers = await make_customers(world, 10)
    await world.define(BUYERS, "buyers", fill=False)
    stage, calls = world.outbox.stage, 0

    async def die_in_the_third_chunk(tx: Any, messages: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ConnectionError("gone")
        return await stage(tx, messages)

    world.outbox.stage = die_in_the_third_chunk  # type: ignore[method-assign]
    await world.make_runner().run_next()
    assert len(await world.members("buyers")) == 6
    async with world.database.transaction() as tx:
        await tx.execute("UPDATE jobs SET lease_until = NULL")
    told = await world.run_jobs()
    assert len(told) == 4
    assert await world.members("buyers") == {customer.id for customer in customers}


@pytest.mark.parametrize("seed", range(4))
async def test_changes_that_flow_during_a_back_fill_miss_nobody_and_tell_nobody_twice(world: World, seed: int) -> None:
    """Two workers with registries of their own go on while the segment is made, filled and edited."""
    customers = await make_customers(world, 12)
    late = [Customer(world) for _ in range(12)]

    async def work(own: list[Customer], number: int) -> None:
        seg = world.make_segmentation()
        for turn in range(4):
            for customer in own:
                await world.poll([to_record(customer.record(order(100 + turn + number)))], seg)

    async def edit() -> None:
        await world.define(BUYERS, "buyers", fill=False)
        await world.run_jobs(chunk=2 + seed)
        await world.change("buyers", {"did": "Order Completed", "times": {"gte": 3}})
        await world.run_jobs(chunk=2 + seed)

    await asyncio.gather(work(customers, 0), work(late, 1), edit())
    await world.run_jobs()
    world.clock.advance(timedelta(hours=3))
    everybody = {customer.id for customer in (*customers, *late)}
    assert await world.members("buyers") == everybody
    for customer in everybody:
        seqs = [edge.seq for edge in world.edges() if edge.profile_id == customer]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))
        assert len(seqs) % 2 == 1


async def test_a_newcomer_during_a_back_fill_entered_by_what_they_did(world: World) -> None:
    await make_customers(world, 1)
    await world.define(BUYERS, "buyers", fill=False)
    assert tell(await Customer(world).does(order())) == [("entered", "buyers", 1, "touchpoint")]


async def test_somebody_known_during_a_back_fill_entered_because_of_it(world: World) -> None:
    [ada] = await make_customers(world, 1)
    await world.define(BUYERS, "buyers", fill=False)
    assert tell(await ada.does(order(3))) == [("entered", "buyers", 1, "backfill")]
    assert await world.run_jobs() == []


async def test_the_instant_of_a_back_fill_is_now(world: World) -> None:
    await make_customers(world, 1)
    world.clock.set(NOON + timedelta(days=3))
    await world.define(BUYERS, "buyers", fill=False)
    [edge] = await world.run_jobs()
    assert edge.at == NOON + timedelta(days=3)
