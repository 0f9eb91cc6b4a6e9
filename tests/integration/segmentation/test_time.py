"""When only time goes on: memberships change exactly then, are told with that instant, and wait for what is still to come."""

from datetime import timedelta
from typing import Any

import msgspec

from libs.messaging.ports import TopicPartition
from tests.builders.changes import NOON, make_touchpoint

from .conftest import PARTITIONS, Customer, World, tell

RECENT = {"did": "Order Completed", "within": "P30D"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


async def test_a_member_leaves_a_window_when_it_closes(world: World) -> None:
    await world.define(RECENT, "recent")
    ada = Customer(world)
    assert tell(await ada.does(order())) == [("entered", "recent", 1, "touchpoint")]
    world.clock.set(NOON + timedelta(days=30) - timedelta(milliseconds=1))
    assert await world.fire() == []
    world.clock.advance(timedelta(hours=5))
    [edge] = await world.fire()
    assert tell([edge]) == [("exited", "recent", 2, "time")]
    assert (edge.at, edge.previous_s) == (NOON + timedelta(days=30), 30 * 86_400.0)
    assert await world.fire() == []


async def test_a_birthday_comes_near_and_passes_by_itself_every_year(world: World) -> None:
    await world.define({"trait": "birthday", "anniversary_within": "P7D"}, "birthday-soon")
    ada = Customer(world)
    assert await ada.does(make_touchpoint("Identified"), snapshot={"traits": {"birthday": "1990-05-17"}}) == []
    may = NOON.replace(month=5, day=10, hour=0)
    for year in (2026, 2027):
        world.clock.set(may.replace(year=year, hour=1))
        [entered] = await world.fire()
        assert (entered.action, entered.at, entered.cause) == ("entered", may.replace(year=year), "time")
        world.clock.set(may.replace(year=year, day=20))
        [exited] = await world.fire()
        assert (exited.action, exited.at) == ("exited", may.replace(year=year, day=18))


async def test_another_touchpoint_moves_the_end(world: World) -> None:
    await world.define(RECENT, "recent")
    ada = Customer(world)
    await ada.does(order())
    world.clock.set(NOON + timedelta(days=20))
    assert await ada.does(make_touchpoint("Order Completed", minute=20 * 1440)) == []
    world.clock.set(NOON + timedelta(days=31))
    assert await world.fire() == []
    world.clock.set(NOON + timedelta(days=51))
    [edge] = await world.fire()
    assert edge.at == NOON + timedelta(days=50)


async def test_after_an_outage_every_change_is_told_in_order_with_its_true_time(world: World) -> None:
    await world.define({"did": "Order Completed", "within": "PT10M"}, "hot")
    ada = Customer(world)
    [entered] = await ada.does(order(minute=20))
    assert entered.at == NOON + timedelta(minutes=20)
    world.clock.set(NOON + timedelta(minutes=60))
    told = await ada.does(order(minute=35))
    assert [(edge.action, edge.at, edge.cause) for edge in told] == [
        ("exited", NOON + timedelta(minutes=30), "time"),
        ("entered", NOON + timedelta(minutes=35), "touchpoint"),
        ("exited", NOON + timedelta(minutes=45), "time"),
    ]
    assert await world.fire() == []


async def test_a_timer_waits_until_its_partition_is_consumed_past_it(world: World) -> None:
    await world.define(RECENT, "recent")
    ada = Customer(world)
    await ada.does(order())
    world.clock.set(NOON + timedelta(days=31))
    world.lag = {TopicPartition("profile-changes", number): 1 for number in range(PARTITIONS)}
    assert await world.fire() == []
    world.lag = dict.fromkeys(world.lag, 0)
    world.clock.advance(timedelta(seconds=1))
    assert tell(await world.fire()) == [("exited", "recent", 2, "time")]


async def test_a_touchpoint_ahead_of_its_time_waits_for_it(world: World) -> None:
    await world.define({"did": "Order Completed"}, "buyers")
    ada = Customer(world)
    ahead = msgspec.structs.replace(order(minute=24), received_at=NOON + timedelta(minutes=20))
    assert await ada.does(ahead) == []
    world.clock.set(NOON + timedelta(minutes=25))
    [edge] = await world.fire()
    assert tell([edge]) == [("entered", "buyers", 1, "time")]
    assert edge.at == NOON + timedelta(minutes=24)


async def test_who_did_not_do_it_for_a_while_enters_by_the_clock(world: World) -> None:
    await world.define({"all": [{"did": "Order Completed"}, {"not": RECENT}]}, "lapsed")
    await world.define({"segment": "lapsed"}, "lapsed-too")
    ada = Customer(world)
    assert await ada.does(order()) == []
    world.clock.set(NOON + timedelta(days=40))
    told = await world.fire()
    assert tell(told) == [("entered", "lapsed", 1, "time"), ("entered", "lapsed-too", 1, "time")]
    assert {edge.at for edge in told} == {NOON + timedelta(days=30)}


async def test_a_back_fill_sets_timers_for_what_it_finds(world: World) -> None:
    ada = Customer(world)
    await ada.does(order())
    world.clock.set(NOON + timedelta(days=1))
    await world.define(RECENT, "recent")
    world.clock.set(NOON + timedelta(days=30))
    [edge] = await world.fire()
    assert (edge.action, edge.seq, edge.at) == ("exited", 2, NOON + timedelta(days=30))


async def test_timers_go_with_their_segment_and_their_profile(world: World) -> None:
    await world.define(RECENT, "recent")
    await world.define(RECENT, "recent-too")
    ada, bob = Customer(world), Customer(world)
    await ada.does(order())
    await bob.does(order())
    await world.delete("recent-too")
    await world.run_jobs()
    bob.fragments = ()
    await bob.does(causes=("erase",), founding=ada.fragments[0])
    async with world.database.connection() as connection:
        rows = await connection.fetch("SELECT profile_id, segment_id FROM timers")
    assert {(row[0], row[1]) for row in rows} >= {(ada.id, "recent")}
    assert not [row for row in rows if row[1] == "recent-too"]


async def test_a_filled_window_is_not_told_again_for_what_lies_before(world: World) -> None:
    """The fill judged at its own moment; what the clock finds later lies after it."""
    ada = Customer(world)
    await ada.does(order())
    world.clock.set(NOON + timedelta(days=29))
    await world.define(RECENT, "recent", fill=False)
    world.clock.set(NOON + timedelta(days=31))
    assert await world.run_jobs() == []
    assert await world.fire() == []
    assert await world.members("recent") == set()


async def test_a_window_that_closes_before_the_back_fill_comes_by_is_told_at_its_instant(world: World) -> None:
    """A change was judged by the new rule first; the back-fill goes on from there instead of beginning now."""
    ada = Customer(world)
    await ada.does()
    await world.define(RECENT, "recent", fill=False)
    assert len(await ada.does(order())) == 1
    world.clock.set(NOON + timedelta(days=31))
    [edge] = await world.run_jobs()
    assert (edge.action, edge.at, edge.cause) == ("exited", NOON + timedelta(days=30), "time")


async def test_a_timer_of_an_earlier_rule_says_nothing_and_one_of_a_renamed_segment_still_counts(world: World) -> None:
    await world.define(RECENT, "edited")
    await world.define(RECENT, "renamed")
    ada = Customer(world)
    await ada.does(order())
    await world.change("edited", {"did": "Order Completed", "within": "P60D"})
    await world.change("renamed", RECENT, name="Another name")
    world.clock.set(NOON + timedelta(days=31))
    assert tell(await world.fire()) == [("exited", "renamed", 2, "time")]
    assert await world.run_jobs() == []
    world.clock.advance(timedelta(days=30))
    [edge] = await world.fire()
    assert (edge.segment_id, edge.at) == ("edited", NOON + timedelta(days=60))


async def test_a_timer_is_set_by_the_level_that_the_same_judgement_made(world: World) -> None:
    """Whoever enters a segment and one that builds on it at once leaves the latter when its own window closes."""
    await world.define({"did": "B"}, "inner")
    await world.define({"all": [{"segment": "inner"}, {"did": "A", "within": "P1D"}]}, "outer")
    ada = Customer(world)
    await ada.does(make_touchpoint("A"), make_touchpoint("B"))
    assert (await world.verify()).examples == []
    world.clock.set(NOON + timedelta(days=3))
    assert tell(await world.fire()) == [("exited", "outer", 2, "time")]
