"""Random rules over random histories, in any order, by two workers, while the clock ticks: always what brute force says."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events.touchpoints import TouchpointRecorded
from services.segmentation.handlers.ask_past import ask_past
from tests.builders.changes import make_change, make_touchpoint, to_record
from tests.unit.segmentation import reference, strategies
from tests.unit.segmentation.strategies import LATEST, spell_times

from .conftest import TABLES, World

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ARRIVAL = LATEST + 1
WORKERS = 2


def to_touchpoint(touch: dict[str, Any]) -> TouchpointRecorded:
    return msgspec.structs.replace(
        make_touchpoint(touch["name"], id=UUID(int=touch["id"] + 1)),
        channel=touch["channel"],
        properties=msgspec.Raw(json.dumps(touch["properties"]).encode()),
        occurred_at=EPOCH + timedelta(seconds=touch["t"]),
        received_at=EPOCH + timedelta(seconds=ARRIVAL),
    )


class Somebody:
    """A profile with two fragments, its history spread over them, one record a touchpoint."""

    def __init__(self, history: list[dict[str, Any]], view: dict[str, Any], number: int) -> None:
        self.id = uuid4()
        self.view = view
        self.history = [{**touch, "id": touch["id"] + 100 * number} for touch in history]
        self.fragments = (uuid4(), uuid4())
        facts: list[tuple[tuple[UUID, TouchpointRecorded], ...]] = [()]
        facts += [((self.fragments[touch["id"] % 2], to_touchpoint(touch)),) for touch in self.history]
        self.records = [
            to_record(make_change(self.id, version, fragments=self.fragments, applied=applied, snapshot=view, parts=("seen",)))
            for version, applied in enumerate(facts, start=1)
        ]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rules=st.lists(strategies.rules, min_size=2, max_size=4),
    people=st.lists(st.tuples(strategies.histories, strategies.views), min_size=2, max_size=3),
    filled_first=st.booleans(),
    seed=st.integers(0, 1000),
)
async def test_memberships_are_what_brute_force_says_at_every_instant(
    world: World, rules: list[Any], people: list[Any], filled_first: bool, seed: int
) -> None:
    await start_over(world)
    world.clock.set(EPOCH + timedelta(seconds=ARRIVAL))
    everybody = [Somebody(history, view, number) for number, (history, view) in enumerate(people)]
    rules = [rule if number == 0 else {"any": [rule, {"segment": f"s{number - 1}"}]} for number, rule in enumerate(rules)]
    if filled_first:
        await define_all(world, rules)
    await asyncio.gather(*(work(world, everybody, number, Random(seed + number)) for number in range(WORKERS)))
    if not filled_first:
        await define_all(world, rules)
    for second in (ARRIVAL, ARRIVAL + 2, ARRIVAL + 5, ARRIVAL + 12):
        world.clock.set(EPOCH + timedelta(seconds=second))
        await world.fire()
        for number in range(len(rules)):
            expected = {one.id for one in everybody if is_member(rules, number, one, second)}
            assert await world.members(f"s{number}") == expected, (second, number)
    check_edges(world)
    # Values are kept since the first word of them; where a rule came later, what they were is as old as anybody knows.
    views = {one.id: {"traits": {}, "aggregates": {} if filled_first else one.view["aggregates"]} for one in everybody}
    for second in range(0, ARRIVAL, 4):
        for one in everybody:
            async with world.database.transaction() as tx:
                past = await ask_past(tx, one.id, second * 1_000_000, world.seg)
            expected = {f"s{number}" for number in range(len(rules)) if is_member(rules, number, one, second, views[one.id])}
            assert {found.segment.id for found in past.memberships} == expected, second


async def start_over(world: World) -> None:
    world.outbox.published.clear()
    world.seg = world.make_segmentation()
    async with world.database.transaction() as tx:
        await tx.execute(f"TRUNCATE {TABLES}")
        await tx.execute("UPDATE revisions SET revision = revision + 1")


async def define_all(world: World, rules: list[Any]) -> None:
    for number, rule in enumerate(rules):
        await world.define(spell_times(rule), f"s{number}")


async def work(world: World, everybody: list[Somebody], number: int, random: Random) -> None:
    """One worker: the records of its share of the people, in any order and some twice, in polls of any size."""
    seg = world.make_segmentation()
    records = [record for place, one in enumerate(everybody) if place % WORKERS == number for record in one.records]
    records += random.sample(records, len(records) // 3)
    random.shuffle(records)
    while records:
        size = random.choice([1, 2, 5])
        batch, records = records[:size], records[size:]
        await world.poll(batch, seg)


def is_member(rules: list[Any], number: int, one: Somebody, second: int, view: dict[str, Any] | None = None) -> bool:
    def member(segment_id: str) -> bool:
        return is_member(rules, int(segment_id[1:]), one, second, view)

    return reference.rule(rules[number], one.history, second, one.view if view is None else view, member)


def check_edges(world: World) -> None:
    """Of each segment and profile they count up, alternate, and never go back in time."""
    told: dict[tuple[str, UUID], list[Any]] = {}
    for edge in world.edges():
        told.setdefault((edge.segment_id, edge.profile_id), []).append(edge)
    for edges in told.values():
        edges.sort(key=lambda edge: edge.seq)
        assert [edge.seq for edge in edges] == list(range(1, len(edges) + 1))
        assert [edge.action for edge in edges] == ["entered" if edge.seq % 2 else "exited" for edge in edges]
        assert [edge.at for edge in edges] == sorted(edge.at for edge in edges)
