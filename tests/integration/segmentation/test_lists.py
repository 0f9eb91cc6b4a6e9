"""Manual lists: whom a file names joins at once or when they appear, and follows merges and splits."""

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.kit.errors import FieldError
from services.segmentation.consumer import build_handlers
from services.segmentation.domain.ref_files import RefFile
from services.segmentation.errors import ListInUse, RuleInvalid
from services.segmentation.handlers.keep_lists import Uploaded, create_list, delete_list, upload_refs
from tests.builders.changes import KEY, fragment_of, make_touchpoint, to_record
from tests.support.eventually import eventually

from .conftest import Customer, World, tell
from .test_following_changes import merged

ON_LIST = {"list": "vips"}


@pytest.fixture
async def listed(world: World) -> World:
    async with world.database.transaction() as tx:
        await create_list(tx, "VIPs", "", None, world.seg)
    await world.define(ON_LIST, "s")
    return world


async def upload(world: World, *refs: str | UUID, is_replacing: bool = False) -> Uploaded:
    file = RefFile(KEY.fragment_id, most_refs=100, most_bytes=10_000)
    file.feed("\n".join(map(str, refs)).encode())
    file.finish()
    async with world.database.transaction() as tx:
        return await upload_refs(tx, "vips", file, world.seg, world.jobs, is_replacing=is_replacing)


def named(world: World, name: str) -> Customer:
    return Customer(world, fragments=(fragment_of("user_id", name),))


async def appear(people: Iterable[Customer]) -> None:
    for one in people:
        await one.does()


async def test_a_file_brings_members_and_another_takes_them_away(listed: World) -> None:
    ada, bob, carol = people = [named(listed, name) for name in ("ada", "bob", "carol")]
    await appear(people)
    first = await upload(listed, "user_id:ada", bob.id, "user_id:ada", "user_id:nobody")
    assert (first.kept.entries, first.change.added, first.change.unknown, first.change.unknown_lines) == (3, 3, 1, (4,))
    assert sorted(tell(await listed.run_jobs(chunk=1))) == [("entered", "s", 1, "edit")] * 2
    assert await listed.members("s") == {ada.id, bob.id}

    again = await upload(listed, "user_id:ada")
    assert (again.change.added, again.change.removed, again.job_id) == (0, 0, None)
    await upload(listed, "user_id:carol", "user_id:bob", is_replacing=True)
    told = await listed.run_jobs()
    assert {(edge.profile_id, edge.action, edge.cause) for edge in told} == {
        (ada.id, "exited", "edit"),
        (carol.id, "entered", "edit"),
    }
    # Bob is on it by his identifier now, no more by his id: nothing changed for him.
    assert await listed.members("s") == {bob.id, carol.id}
    assert (await upload(listed, is_replacing=True)).kept.entries == 0
    await listed.run_jobs()
    assert await listed.members("s") == set()


async def test_what_a_cancelled_job_left_is_judged_with_the_next_file(listed: World) -> None:
    people = [named(listed, name) for name in ("ada", "bob")]
    await appear(people)
    first = await upload(listed, "user_id:ada", "user_id:bob")
    assert first.job_id is not None
    async with listed.database.transaction() as tx:
        await listed.jobs.cancel(tx, first.job_id, now=listed.clock.now())
    assert await listed.run_jobs() == []
    again = await upload(listed, "user_id:ada")
    assert (again.change.added, again.job_id is None) == (0, False)
    await listed.run_jobs()
    assert await listed.members("s") == {one.id for one in people}
    assert (await upload(listed, "user_id:ada")).job_id is None


async def test_whoever_appears_later_joins_then(listed: World) -> None:
    ada, bob = named(listed, "ada"), named(listed, "bob")
    await upload(listed, "user_id:ada", bob.id)
    assert await listed.run_jobs() == []
    assert tell(await ada.does(make_touchpoint())) == [("entered", "s", 1, "touchpoint")]
    assert tell(await bob.does(make_touchpoint())) == [("entered", "s", 1, "touchpoint")]


@pytest.mark.parametrize("by_id", [True, False])
async def test_entries_follow_merges_and_splits(listed: World, by_id: bool) -> None:
    ada, device = named(listed, "ada"), named(listed, "device")
    await appear((ada, device))
    await upload(listed, device.id if by_id else "user_id:device")
    await listed.run_jobs()
    told = await listed.apply(*merged(ada, device))
    assert {(edge.profile_id, edge.action, edge.cause) for edge in told} == {
        (ada.id, "entered", "merge"),
        (device.id, "exited", "merge"),
    }
    ada.fragments, ada.membership, device.membership = ada.fragments[:1], 5, 5
    split: dict[str, Any] = {"causes": ("split",), "parts": ("membership",)}
    told = await listed.apply(ada.record(**split), device.record(**split))
    assert {(edge.profile_id, edge.action) for edge in told} == {(ada.id, "exited"), (device.id, "entered")}


async def test_segments_that_build_on_it_and_negations_follow(listed: World) -> None:
    await listed.define({"not": {"segment": "s"}}, "others")
    ada = named(listed, "ada")
    await ada.does()
    await upload(listed, "user_id:ada")
    assert tell(await listed.run_jobs()) == [("entered", "s", 1, "edit"), ("exited", "others", 2, "edit")]
    await upload(listed, is_replacing=True)
    assert tell(await listed.run_jobs()) == [("exited", "s", 2, "edit"), ("entered", "others", 3, "edit")]


async def test_what_a_file_changed_is_no_difference_before_its_job_is_through(listed: World) -> None:
    await listed.define({"not": {"segment": "s"}}, "others")
    await listed.define({"did": "Order Completed"}, "buyers")
    ada = named(listed, "ada")
    await ada.does()
    await upload(listed, "user_id:ada")
    verdict = await listed.verify()
    assert (verdict.filling, verdict.differences, verdict.compared) == (["others", "s"], 0, 1)
    await listed.run_jobs()
    verdict = await listed.verify()
    assert (verdict.filling, verdict.differences, verdict.compared) == ([], 0, 3)


async def test_a_list_that_a_rule_names_stays(listed: World) -> None:
    with pytest.raises(ListInUse):
        async with listed.database.transaction() as tx:
            await delete_list(tx, "vips", listed.seg)
    with pytest.raises(RuleInvalid) as refused:
        await listed.define({"not": {"list": "vpis"}})
    [error] = refused.value.errors
    assert error == FieldError("#/rule/not/list", 'no list "vpis" exists; did you mean "vips"?')
    await listed.delete("s")
    async with listed.database.transaction() as tx:
        await delete_list(tx, "vips", listed.seg)
        assert await listed.seg.lists.load_all(tx) == []


async def test_a_new_rule_finds_who_is_on_the_list(listed: World) -> None:
    ada = named(listed, "ada")
    await ada.does()
    await upload(listed, "user_id:ada", uuid4())
    await listed.run_jobs()
    await listed.define({"all": [ON_LIST, {"not": {"did": "Order Completed"}}]}, "silent")
    assert await listed.members("silent") == {ada.id}


async def test_whoever_appears_while_a_file_comes_isnt_missed(listed: World) -> None:
    ada = named(listed, "ada")
    handlers = build_handlers(listed.make_segmentation(), listed.arrivals, listed.progress)
    async with listed.database.transaction() as tx:
        await handlers["profile-changes"](tx, [to_record(ada.record(make_touchpoint()))])
        uploading = asyncio.create_task(upload(listed, "user_id:ada"))

        async def has_come_as_far_as_it_can() -> bool:
            return uploading.done() or await listed.is_anybody_waiting()

        await eventually(has_come_as_far_as_it_can)
        await listed.run_jobs()
    await uploading
    await listed.run_jobs()
    assert await listed.members("s") == {ada.id}


@pytest.mark.parametrize("seed", range(4))
async def test_files_customers_and_jobs_at_once_miss_nobody_and_tell_nobody_twice(listed: World, seed: int) -> None:
    random = Random(seed)
    people = [named(listed, f"p{number}") for number in range(12)]
    files = [random.sample(range(12), 6) for _ in range(4)]

    async def upload_all() -> None:
        for file in files:
            refs = [people[number].id if random.random() < 0.5 else f"user_id:p{number}" for number in file]
            await upload(listed, *refs, is_replacing=True)

    async def appear_in_any_order() -> None:
        seg = listed.make_segmentation()
        records = [to_record(one.record(make_touchpoint())) for one in people for _ in range(2)]
        random.shuffle(records)
        for record in records:
            await listed.poll([record], seg)

    await asyncio.gather(upload_all(), appear_in_any_order(), listed.run_jobs(chunk=2), listed.run_jobs(chunk=3))
    await listed.run_jobs()
    assert await listed.members("s") == {people[number].id for number in files[-1]}
    seen = [(edge.profile_id, edge.seq) for edge in listed.edges()]
    assert len(seen) == len(set(seen))
    async with listed.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM list_entries WHERE NOT is_judged OR NOT is_in") == 0
