"""The protocol keeps every promise in every schedule tried; without any one of its rules some schedule breaks one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import pytest

from tests.model import profile, promises, subscriber
from tests.model.engine import Weather
from tests.model.profile import PARTITIONS, Touchpoint, World, run_profile
from tests.model.promises import break_of_profile, break_of_subscriber
from tests.model.subscriber import run_subscriber

CALM = Weather()
ROUGH = Weather(crash=0.01, zombie=0.03, sweep=0.03, pause=0.05)
STORM = Weather(crash=0.05, zombie=0.1, sweep=0.1, pause=0.1)
ZOMBIES = Weather(zombie=0.15, pause=0.05)
SWEEPERS = Weather(crash=0.05, sweep=0.3, pause=0.1)

TOWN = {"userA": 0, "userB": 1, "userC": 2, "mail1": 3, "mail2": 0, "device1": 1, "device2": 2, "device3": 3}
"""Identifier, strongest first -> the partition of touchpoints whose strongest it is."""
HOUSE = {"userA": 0, "mail1": 3, "device2": 2}
"""So few identifiers that every touchpoint is about the same profile."""

MANY = 2000


def make_world(seed: int, rules: profile.Rules, places: Mapping[str, int] = TOWN, *, size: int = 9) -> World:
    """Touchpoints that name one to three identifiers; some are delivered twice. Even seeds allow one user a profile only."""
    rng = Random(seed)
    touchpoints = [
        Touchpoint(number, tuple(sorted(rng.sample(list(places), rng.choice([1, 1, 2, 2, 3])), key=list(places).index)))
        for number in range(size)
    ]
    touchpoints += [touchpoint for touchpoint in touchpoints if rng.random() < 0.2]
    logs = [[one for one in touchpoints if places[one.names[0]] == number] for number in range(PARTITIONS)]
    return World(rules, rng, logs, at_most_one_user=seed % 2 == 0)


def find_broken(world: World, weather: Weather, follower: subscriber.Rules | None = None) -> set[str]:
    """One schedule from the first touchpoint to the last level: the promises it broke."""
    run_profile(world, weather)
    broken = break_of_profile(world)
    if follower is not None and not broken:
        live = run_subscriber(world.changes.records, follower, world.rng, weather)
        late = run_subscriber(world.changes.compacted(), follower, world.rng, weather)
        broken = break_of_subscriber(world, live) | break_of_subscriber(world, late, has_facts=False)
    return broken


def assert_kept(seeds: range, weather: Weather, places: Mapping[str, int]) -> None:
    for seed in seeds:
        world = make_world(seed, profile.Rules(), places)
        assert find_broken(world, weather, subscriber.Rules()) == set(), f"seed {seed}"


def breaks(promise: str, attempt: Callable[[int], set[str]]) -> bool:
    """Whether any of many schedules breaks the promise. Stops at the first."""
    return any(promise in attempt(seed) for seed in range(MANY))


every_weather = pytest.mark.parametrize(
    ("weather", "places"),
    [(CALM, TOWN), (ROUGH, TOWN), (STORM, TOWN), (ZOMBIES, HOUSE), (SWEEPERS, HOUSE)],
    ids=["calm", "rough", "storm", "zombies in a house", "sweepers in a house"],
)


@every_weather
def test_the_protocol_keeps_every_promise(weather: Weather, places: Mapping[str, int]) -> None:
    assert_kept(range(200), weather, places)


@pytest.mark.full
@every_weather
def test_the_protocol_keeps_every_promise_for_long(weather: Weather, places: Mapping[str, int]) -> None:
    assert_kept(range(200, 3000), weather, places)


@pytest.mark.parametrize(
    ("rule", "promise", "weather", "places"),
    [
        ("dedupe_first", promises.TWICE, ZOMBIES, TOWN),
        ("lock_roots", promises.DISAGREE, CALM, TOWN),
        ("lock_roots", promises.LOST, CALM, TOWN),
        ("reread_roots", promises.WRONG_SNAPSHOT, CALM, TOWN),
        ("load_after_locks", promises.LOST, CALM, TOWN),
        ("load_after_locks", promises.TWO_USERS, CALM, TOWN),
        ("outbox", promises.NEVER_PUBLISHED, STORM, TOWN),
        ("compare_after_publish", promises.OLD_KEPT, ZOMBIES, TOWN),
        ("hold_while_publishing", promises.OLD_KEPT, SWEEPERS, HOUSE),
        ("number_fits_content", promises.AMBIGUOUS, STORM, TOWN),
    ],
)
def test_profile_without_one_rule_breaks_a_promise(rule: str, promise: str, weather: Weather, places: Mapping[str, int]) -> None:
    weakened = replace(profile.Rules(), **{rule: False})
    assert breaks(promise, lambda seed: find_broken(make_world(seed, weakened, places), weather))


@pytest.mark.parametrize(
    ("rule", "promise", "weather"),
    [
        ("lock_fragments", promises.WRONG_MAP, CALM),
        ("lock_profiles", promises.GHOST, CALM),
        ("judge_before_and_after", promises.WRONG_LEVEL, CALM),
        ("judge_before_and_after", promises.GHOST, CALM),
        ("membership_by_version", promises.WRONG_MAP, ROUGH),
        ("snapshot_by_version", promises.OLD_SNAPSHOT, ZOMBIES),
        ("touchpoints_by_id", promises.WRONG_LEVEL, ZOMBIES),
    ],
)
def test_a_subscriber_without_one_rule_breaks_a_promise(rule: str, promise: str, weather: Weather) -> None:
    weakened = replace(subscriber.Rules(), **{rule: False})
    assert breaks(promise, lambda seed: find_broken(make_world(seed, profile.Rules()), weather, weakened))


def test_the_reference_groups_identifiers_that_any_touchpoint_connects() -> None:
    told = [Touchpoint(1, ("a", "b")), Touchpoint(2, ("c",)), Touchpoint(3, ("d", "b")), Touchpoint(4, ("e", "f"))]
    assert promises.group_plainly(told) == {frozenset("abd"), frozenset("c"), frozenset("ef")}
