"""Memberships follow what customers do: entered and exited, once each, in every order of arrival."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from libs.events.segments import SegmentsJudged
from tests.builders.changes import NOON, make_touchpoint, to_record

from .conftest import Customer, World, tell

BUYERS = {"did": "Order Completed"}
REPEATERS = {"did": "Order Completed", "times": {"gte": 2}}


def order(minute: int = 0, **changes: Any) -> Any:
    return make_touchpoint("Order Completed", minute=minute, **changes)


async def test_entering_is_told_once_with_cause_instant_and_touchpoint(world: World) -> None:
    await world.define(BUYERS, "buyers", "Buyers")
    ada, bought = Customer(world), order()
    record = ada.record(bought)
    [edge] = await world.apply(record)
    assert tell([edge]) == [("entered", "buyers", 1, "touchpoint")]
    assert (edge.profile_id, edge.profile_version, edge.touchpoint_id) == (ada.id, 1, bought.id)
    assert (edge.segment_name, edge.segment_version, edge.at, edge.previous_s) == ("Buyers", 1, NOON, None)
    assert await world.apply(record) == []
    assert await ada.does(order(1)) == []
    assert await world.members("buyers") == {ada.id}


async def test_edges_alternate_and_count(world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    ada, told = Customer(world), []
    for minute, plan in enumerate(("gold", "gold", "silver", "gold"), start=30):
        world.clock.set(NOON + timedelta(minutes=minute))
        told += await ada.does(parts=("traits",), snapshot={"traits": {"plan": plan}})
    assert [(edge.action, edge.seq, edge.previous_s) for edge in told] == [
        ("entered", 1, None),
        ("exited", 2, 120.0),
        ("entered", 3, 60.0),
    ]


async def test_only_rules_whose_inputs_changed_are_judged(world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    await world.define(BUYERS, "buyers")
    ada = Customer(world)
    await ada.does(snapshot={})
    # The view says gold, but traits aren't named among the parts that changed: nobody looks.
    assert await ada.does(parts=("web",), snapshot={"traits": {"plan": "gold"}}) == []
    assert tell(await ada.does(parts=("traits",), snapshot={"traits": {"plan": "gold"}})) == [
        ("entered", "gold", 1, "touchpoint")
    ]


async def test_a_gap_in_versions_makes_every_rule_be_judged(world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    ada = Customer(world)
    await ada.does(snapshot={})
    ada.record()  # a version that compaction took away, and with it the word that traits changed
    [edge] = await ada.does(parts=("web",), snapshot={"traits": {"plan": "gold"}})
    assert edge.action == "entered"


async def test_a_version_overtaken_within_a_poll_still_names_its_parts(world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    ada = Customer(world)
    await ada.does(snapshot={})
    gold = {"traits": {"plan": "gold"}}
    [edge] = await world.apply(ada.record(parts=("traits",), snapshot=gold), ada.record(parts=("web",), snapshot=gold))
    assert edge.action == "entered"


async def test_figures_of_the_view_and_points(world: World) -> None:
    await world.define({"view": "aggregates.orders.net_minor.EUR", "gte": 50000}, "vip")
    await world.define({"points": {"gt": 100}}, "savers")
    ada = Customer(world)
    rich = {"aggregates": {"orders": {"net_minor": {"EUR": 50000}}}}
    assert tell(await ada.does(parts=("orders",), snapshot=rich)) == [("entered", "vip", 1, "touchpoint")]
    told = await ada.does(parts=("loyalty",), causes=("facet",), snapshot={**rich, "loyalty": {"balance": 101}})
    assert tell(told) == [("entered", "savers", 1, "facet")]


async def test_a_rule_that_builds_on_another_follows_it_in_the_same_moment(world: World) -> None:
    await world.define(BUYERS, "buyers")
    await world.define({"all": [{"segment": "buyers"}, {"not": {"did": "Product Reviewed"}}]}, "silent-buyers")
    ada = Customer(world)
    assert tell(await ada.does(order())) == [
        ("entered", "buyers", 1, "touchpoint"),
        ("entered", "silent-buyers", 1, "touchpoint"),
    ]
    assert tell(await ada.does(make_touchpoint("Product Reviewed"))) == [("exited", "silent-buyers", 2, "touchpoint")]


async def test_every_probe_is_answered_after_what_changed(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada = Customer(world)
    told = await ada.does(order(), probe=True)
    assert tell(told[:1]) == [("entered", "buyers", 1, "touchpoint")]
    assert told[1:] == [SegmentsJudged(profile_id=ada.id, profile_version=1)]
    ada.version = 0
    assert await ada.does(probe=True) == [SegmentsJudged(profile_id=ada.id, profile_version=1)]


async def test_a_probe_is_answered_where_there_are_no_segments(world: World) -> None:
    ada = Customer(world)
    assert await ada.does(probe=True) == [SegmentsJudged(profile_id=ada.id, profile_version=1)]


def merged(root: Customer, other: Customer, **changes: Any) -> list[Any]:
    """The root's record that lists both fragments, and the last word of the other."""
    root.fragments += other.fragments
    root.membership += 1
    return [
        root.record(causes=("merge",), parts=("membership",), **changes),
        msgspec.structs.replace(
            other.record(causes=("merge",), parts=("membership",), members=(), absorbed_into=root.id),
            snapshot=msgspec.Raw(b"null"),
        ),
    ]


async def test_a_merge_joins_histories_and_the_absorbed_profile_exits_everywhere(world: World) -> None:
    await world.define(REPEATERS, "repeaters")
    await world.define(BUYERS, "buyers")
    ada, device = Customer(world), Customer(world)
    await ada.does(order())
    await device.does(order(1))
    told = await world.apply(*merged(ada, device))
    by_profile = {(edge.profile_id, edge.segment_id): (edge.action, edge.cause) for edge in told}
    assert by_profile == {(ada.id, "repeaters"): ("entered", "merge"), (device.id, "buyers"): ("exited", "merge")}
    assert await world.members("buyers") == {ada.id}
    assert await world.members("repeaters") == {ada.id}


async def test_the_two_records_of_a_merge_may_come_in_any_order(world: World) -> None:
    await world.define(REPEATERS, "repeaters")
    await world.define({"trait": "plan", "ne": "gold"}, "not-gold")
    for first in (0, 1):
        ada, device = Customer(world), Customer(world)
        await ada.does(order(), snapshot={"traits": {"plan": "gold"}})
        await device.does(order(1), snapshot={"traits": {"plan": "gold"}})
        records = merged(ada, device, snapshot={"traits": {"plan": "gold"}})
        told = [event for record in (records[first], records[1 - first]) for event in await world.apply(record)]
        assert tell(told) == [("entered", "repeaters", 1, "merge")]


async def test_a_split_takes_its_history_along(world: World) -> None:
    await world.define(REPEATERS, "repeaters")
    ada, device = Customer(world), Customer(world)
    await ada.does(order())
    await device.does(order(1))
    await world.apply(*merged(ada, device))
    ada.fragments, ada.membership = ada.fragments[:1], 5
    device.membership = 5
    split = {"causes": ("split",), "parts": ("membership",)}
    told = await world.apply(ada.record(**split), device.record(**split))
    assert tell(told) == [("exited", "repeaters", 2, "split")]


async def test_a_touchpoint_that_links_and_bears_on_the_rule_is_the_cause(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada, device = Customer(world), Customer(world)
    await ada.does()
    await device.does(make_touchpoint("Page Viewed"))
    ada.fragments += device.fragments
    ada.membership = 2
    bought = order(2)
    told = await ada.does(bought, causes=("touchpoint", "merge"), parts=("membership", "orders"))
    assert tell(told) == [("entered", "buyers", 1, "touchpoint")]
    assert told[0].touchpoint_id == bought.id


async def test_touchpoints_of_a_fragment_that_nobody_has_yet_count_when_it_is_mapped(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada, stray = Customer(world), uuid4()
    record = ada.record(order())
    early = record.touchpoints[0]
    await ada.world.apply(ada.record(touchpoints=(type(early)(stray, early.body),)))
    assert await world.members("buyers") == set()
    ada.fragments += (stray,)
    ada.membership = 2
    await ada.does()
    assert await world.members("buyers") == {ada.id}


async def test_channels_properties_and_money_as_sent(world: World) -> None:
    await world.define({"did": "Order Completed", "channel": "pos"}, "till")
    await world.define({"did": "Order Completed", "where": {"property": "products.*.category", "eq": "shoes"}}, "shoes")
    await world.define({"did": "Order Completed", "sum": {"property": "revenue", "currency": "EUR", "gte": 30.3}}, "spenders")
    ada = Customer(world)
    assert await ada.does(bought({"revenue": 10.1, "currency": "eur"})) == []
    assert await ada.does(bought({"revenue": 1000, "currency": "USD", "products": [{"category": "hats"}]})) == []
    assert tell(await ada.does(bought({"revenue": "10.1", "products": [{"category": "shoes"}]}))) == [
        ("entered", "shoes", 1, "touchpoint")
    ]
    told = await ada.does(bought({"revenue": 10.1}, channel="pos"))
    assert tell(told) == [("entered", "spenders", 1, "touchpoint"), ("entered", "till", 1, "touchpoint")]


def bought(properties: dict[str, Any], channel: str = "server") -> Any:
    body = order()
    return msgspec.structs.replace(body, properties=msgspec.Raw(msgspec.json.encode(properties)), channel=channel)


async def test_late_touchpoints_correct_the_level_and_are_told_now(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada = Customer(world)
    world.clock.set(NOON + timedelta(hours=2))
    await ada.does(make_touchpoint("Page Viewed", minute=120))
    world.clock.set(NOON + timedelta(hours=3))
    [edge] = await ada.does(order(minute=0))
    assert edge.at == NOON + timedelta(hours=3)


async def test_after_an_outage_the_instant_is_when_it_happened(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada = Customer(world)
    await ada.does(make_touchpoint("Page Viewed"))
    world.clock.set(NOON + timedelta(hours=3))
    [edge] = await ada.does(order(minute=42))
    assert edge.at == NOON + timedelta(minutes=42)


async def test_the_record_of_an_edge_is_keyed_by_profile_and_names_itself(world: World) -> None:
    await world.define(BUYERS, "buyers")
    ada = Customer(world)
    await world.poll([to_record(ada.record(order()))])
    [record] = world.outbox.published
    assert record.topic == "segment-changes"
    assert UUID(record.key.decode()) == ada.id
    assert dict(record.headers)["ce_id"] == f"buyers:{ada.id}:1".encode()
