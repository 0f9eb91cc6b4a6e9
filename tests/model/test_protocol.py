"""The protocol keeps every promise in every schedule tried; without any one of its rules some schedule breaks one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from tests.model import promises, subscriber
from tests.model.engine import Weather
from tests.model.profile import run_profile
from tests.model.promises import break_of_profile, break_of_subscriber
from tests.model.subscriber import run_subscriber
from tests.model.world import PARTITIONS, Command, Rules, World
from tests.unit.profile.plain_identity import make_touch

CALM = Weather()
ROUGH = Weather(crash=0.01, zombie=0.03, sweep=0.03, pause=0.05)
STORM = Weather(crash=0.05, zombie=0.1, sweep=0.1, pause=0.1)
ZOMBIES = Weather(zombie=0.15, pause=0.05)
SWEEPERS = Weather(crash=0.05, sweep=0.3, pause=0.1)

TOWN = ("u1", "u2", "u3", "e1", "e2", "d1", "d2", "d3")
HOUSE = ("u1", "e1", "d2")
"""So few identifiers that every touchpoint is about the same profile."""

MANY = 2000


def make_world(seed: int, rules: Rules, places: Sequence[str] = TOWN, *, size: int = 9, commands: int = 0) -> World:
    """Touchpoints that name one to three identifiers; some are delivered twice. Even seeds allow one user a profile only.

    `commands`: merges, splits and liftings beside them.
    """
    rng = Random(seed)
    touches = [make_touch(number, *rng.sample(places, rng.choice([1, 1, 2, 2, 3]))) for number in range(1, size + 1)]
    touches += [touch for touch in touches if rng.random() < 0.2]
    logs = [[one for one in touches if one.identifiers[0].fragment.int % PARTITIONS == number] for number in range(PARTITIONS)]
    wanted = [make_command(rng, number, places) for number in range(commands)]
    return World(rules, rng, logs, at_most_one_user=seed % 2 == 0, commands=wanted)


def make_command(rng: Random, number: int, places: Sequence[str]) -> Command:
    kind = rng.choice(["merge", "split", "split", "lift"])
    one, other = rng.sample(places, 2)
    return Command(number, kind, one, other, of=rng.randrange(number + 1), at=rng.randrange(10))


def find_broken(world: World, weather: Weather, follower: subscriber.Rules | None = None) -> set[str]:
    """One schedule from the first touchpoint to the last level: the promises it broke."""
    try:
        run_profile(world, weather)
    except KeyError:
        return {promises.FELL_OVER}
    broken = break_of_profile(world)
    if follower is not None and not broken:
        live = run_subscriber(world.changes.records, follower, world.rng, weather)
        late = run_subscriber(world.changes.compacted(), follower, world.rng, weather)
        broken = break_of_subscriber(world, live) | break_of_subscriber(world, late, has_facts=False)
    return broken


def assert_kept(seeds: range, weather: Weather, places: Sequence[str], commands: int = 0) -> None:
    for seed in seeds:
        world = make_world(seed, Rules(), places, commands=commands)
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
def test_the_protocol_keeps_every_promise(weather: Weather, places: Sequence[str]) -> None:
    assert_kept(range(200), weather, places)


@every_weather
def test_merges_splits_and_liftings_beside_it_keep_every_promise(weather: Weather, places: Sequence[str]) -> None:
    assert_kept(range(200), weather, places, commands=6)


@pytest.mark.full
@every_weather
def test_merges_splits_and_liftings_keep_every_promise_for_long(weather: Weather, places: Sequence[str]) -> None:
    assert_kept(range(200, 3000), weather, places, commands=8)


@pytest.mark.full
@every_weather
def test_the_protocol_keeps_every_promise_for_long(weather: Weather, places: Sequence[str]) -> None:
    assert_kept(range(200, 3000), weather, places)


@pytest.mark.parametrize(
    ("rule", "promise", "weather", "places"),
    [
        ("dedupe_first", promises.TWICE, ZOMBIES, TOWN),
        ("lock_roots", promises.DISAGREE, CALM, TOWN),
        ("lock_roots", promises.LOST, CALM, TOWN),
        ("reread_roots", promises.WRONG_SNAPSHOT, CALM, TOWN),
        ("load_after_locks", promises.LOST, CALM, TOWN),
        ("load_after_locks", promises.WRONG_GROUPS, CALM, TOWN),
        ("outbox", promises.NEVER_PUBLISHED, STORM, TOWN),
        ("compare_after_publish", promises.OLD_KEPT, ZOMBIES, TOWN),
        ("hold_while_publishing", promises.OLD_KEPT, SWEEPERS, HOUSE),
        ("number_fits_content", promises.AMBIGUOUS, STORM, TOWN),
    ],
)
def test_profile_without_one_rule_breaks_a_promise(rule: str, promise: str, weather: Weather, places: Sequence[str]) -> None:
    weakened = replace(Rules(), **{rule: False})
    assert breaks(promise, lambda seed: find_broken(make_world(seed, weakened, places), weather))


@pytest.mark.parametrize(
    ("rule", "promise", "weather", "places"),
    [
        ("claim_key", promises.DONE_TWICE, STORM, HOUSE),
        ("lock_commands", promises.LOST, CALM, HOUSE),
        ("lock_commands", promises.WRONG_GROUPS, CALM, TOWN),
        ("reread_commands", promises.NOBODYS_ID, CALM, TOWN),
        ("tell_both_parts", promises.WRONG_SNAPSHOT, CALM, TOWN),
        ("tell_absorbed", promises.WRONG_SNAPSHOT, CALM, TOWN),
    ],
)
def test_commands_without_one_rule_break_a_promise(rule: str, promise: str, weather: Weather, places: Sequence[str]) -> None:
    weakened = replace(Rules(), **{rule: False})
    assert breaks(promise, lambda seed: find_broken(make_world(seed, weakened, places, commands=6), weather))


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
    assert breaks(promise, lambda seed: find_broken(make_world(seed, Rules(), commands=4), weather, weakened))
