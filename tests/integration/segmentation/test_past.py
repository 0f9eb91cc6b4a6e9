"""What was true at a past instant: values of the view as they were kept, through late words, merges and splits."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from libs.kit.times import to_micros
from services.segmentation.handlers.ask_past import ask_past
from tests.builders.changes import NOON, make_touchpoint

from .conftest import Customer, World
from .test_following_changes import merged

GOLD = {"trait": "plan", "eq": "gold"}


def says(minute: int) -> Any:
    return msgspec.structs.replace(make_touchpoint("Identified", minute=minute), kind="identify")


def plan(word: str) -> dict[str, Any]:
    return {"parts": ("traits",), "snapshot": {"traits": {"plan": word}}}


async def ask(world: World, who: Customer, *minutes: int) -> list[set[str]]:
    found = []
    for minute in minutes:
        async with world.database.transaction() as tx:
            past = await ask_past(tx, who.id, to_micros(NOON + timedelta(minutes=minute)), world.seg)
        found.append({one.segment.id for one in past.memberships})
    return found


async def test_a_trait_was_what_it_was_since_the_touchpoint_that_said_so(world: World) -> None:
    await world.define(GOLD, "gold")
    ada = Customer(world)
    for minute, word in ((30, "silver"), (40, "gold"), (50, "silver")):
        world.clock.set(NOON + timedelta(minutes=minute + 5))
        await ada.does(says(minute), make_touchpoint("Page Viewed", minute=minute + 4), **plan(word))
    assert await ask(world, ada, 29, 30, 39, 40, 49, 50) == [set(), set(), set(), {"gold"}, {"gold"}, set()]


async def test_a_late_word_is_the_last_one_now_and_leaves_the_past_as_it_was(world: World) -> None:
    await world.define(GOLD, "gold")
    ada = Customer(world)
    world.clock.set(NOON + timedelta(minutes=40))
    await ada.does(says(40), **plan("silver"))
    world.clock.set(NOON + timedelta(minutes=60))
    await ada.does(says(30), **plan("gold"))
    assert await ask(world, ada, 29, 39, 40, 60) == [set(), set(), {"gold"}, {"gold"}]


async def test_a_word_that_says_the_same_is_no_row_more(world: World) -> None:
    ada = Customer(world)
    for minute in range(30, 33):
        world.clock.set(NOON + timedelta(minutes=minute))
        await ada.does(says(minute), **plan("gold"))
    async with world.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM view_values WHERE part = 'traits'") == 1


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ({"tier": ["gold"]}, {"loyalty": {"tier": None}}, {"loyalty": {"tier": "gold"}}),
        ({"points": {"gte": 100}}, {"loyalty": {"balance": 0}}, {"loyalty": {"balance": 100}}),
        ({"stage": ["lead"]}, {"lead": {"stage": None}}, {"lead": {"stage": "lead"}}),
        ({"score": "churn", "gte": 1}, {"scores": {}}, {"scores": {"churn": 1}}),
        (
            {"consent": {"purpose": "marketing", "channel": "email"}},
            {"consent": []},
            {"consent": [{"purpose": "marketing", "channel": "*", "status": "granted", "at": "2026-03-01T12:30:00Z"}]},
        ),
    ],
)
async def test_tier_points_stage_score_and_consent_have_a_past_before_any_rule_asks(
    world: World, rule: Any, before: Any, after: Any
) -> None:
    ada = Customer(world)
    await ada.does(snapshot=before)
    world.clock.set(NOON + timedelta(minutes=30))
    part = next(iter(after))
    await ada.does(parts=(part,), snapshot=after, causes=("facet",))
    world.clock.set(NOON + timedelta(minutes=40))
    await ada.does(parts=(part,), snapshot=before, causes=("facet",))
    await world.define(rule, "s")
    assert await ask(world, ada, 0, 29, 30, 39, 40) == [set(), set(), {"s"}, {"s"}, set()]


async def test_figures_are_kept_since_a_rule_looks_at_them(world: World) -> None:
    ada, bob = Customer(world), Customer(world)

    def orders(count: int) -> dict[str, Any]:
        return {"parts": ("orders",), "snapshot": {"aggregates": {"orders": {"count": count}}}}

    await ada.does(**orders(1))
    await bob.does(**orders(1))
    await world.define({"view": "aggregates.orders.count", "gte": 2}, "repeat")
    world.clock.set(NOON + timedelta(minutes=30))
    await ada.does(**orders(2))
    carol = Customer(world)
    await carol.does(**orders(2))
    assert await ask(world, ada, 0, 29, 30) == [set(), set(), {"repeat"}]
    assert await ask(world, bob, 0, 30) == [set(), set()]
    assert await ask(world, carol, 29, 30) == [set(), {"repeat"}]


async def test_before_a_merge_values_are_those_of_the_profile_that_stays_and_deeds_are_of_both(world: World) -> None:
    await world.define(GOLD, "gold")
    await world.define({"did": "Order Completed"}, "buyers")
    ada, device = Customer(world), Customer(world)
    world.clock.set(NOON + timedelta(minutes=30))
    await ada.does(says(30), **plan("silver"))
    await device.does(make_touchpoint("Order Completed", minute=20), says(20), **plan("gold"))
    world.clock.set(NOON + timedelta(minutes=40))
    await world.apply(*merged(ada, device, snapshot={"traits": {"plan": "gold"}}))
    assert await ask(world, ada, 19, 20, 39, 40) == [set(), {"buyers"}, {"buyers"}, {"buyers", "gold"}]

    world.clock.set(NOON + timedelta(minutes=50))
    ada.fragments, ada.membership = ada.fragments[:1], 5
    device.membership = 5
    split = {"causes": ("split",), "parts": ("membership", "traits")}
    await world.apply(
        ada.record(snapshot={"traits": {"plan": "silver"}}, **split),
        device.record(snapshot={"traits": {"plan": "gold"}}, **split),
    )
    assert await ask(world, ada, 20, 45, 50) == [set(), {"gold"}, set()]
    assert await ask(world, device, 19, 25, 45) == [set(), {"buyers", "gold"}, {"buyers", "gold"}]


async def test_who_comes_out_of_a_split_anew_was_so_for_as_long_as_anybody_knows(world: World) -> None:
    await world.define(GOLD, "gold")
    ada = Customer(world)
    await ada.does(causes=("split",), **plan("gold"))
    assert await ask(world, ada, -1000) == [{"gold"}]


async def test_edges_of_values_are_told_at_their_true_instant(world: World) -> None:
    await world.define(GOLD, "gold")
    await world.define({"all": [GOLD, {"did": "Order Completed", "within": "PT10M"}]}, "hot-gold")
    ada, said = Customer(world), says(36)
    world.clock.set(NOON + timedelta(minutes=30))
    await ada.does(make_touchpoint("Order Completed", minute=30), **plan("silver"))
    world.clock.set(NOON + timedelta(minutes=50))
    told = await ada.does(said, make_touchpoint("Order Completed", minute=48), **plan("gold"))
    assert [(edge.segment_id, edge.action, edge.at - NOON, edge.touchpoint_id == said.id) for edge in told] == [
        ("gold", "entered", timedelta(minutes=36), True),
        ("hot-gold", "entered", timedelta(minutes=36), True),
        ("hot-gold", "exited", timedelta(minutes=40), False),
        ("hot-gold", "entered", timedelta(minutes=48), False),
    ]
    assert await ask(world, ada, 35, 36, 44, 50) == [set(), {"gold", "hot-gold"}, {"gold"}, {"gold", "hot-gold"}]
