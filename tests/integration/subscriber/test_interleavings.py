"""Several workers, records in any order, duplicates, merges, splits and lost transactions: the end is always the plain truth."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from libs.events.envelope import Incoming
from libs.kit.db import Database, is_retryable

from .conftest import Follower, read_levels
from .worlds import make_world, shuffle_into_partitions


class Killed(Exception):
    """A worker died before its commit."""


def die_now_and_then(rng: random.Random) -> None:
    if rng.random() < 0.1:
        raise Killed


async def work(database: Database, follower: Follower, records: Sequence[Incoming], rng: random.Random) -> int:
    """One worker over one partition: a transaction a poll, some of them lost before the commit and begun again."""
    position, conflicts = 0, 0
    while position < len(records):
        batch = records[position : position + rng.choice([1, 2, 5])]
        try:
            async with database.transaction() as tx:
                await follower.handle(tx, batch)
                die_now_and_then(rng)
        except Killed:
            continue
        except Exception as error:
            if not is_retryable(error):
                raise
            conflicts += 1
            continue
        position += len(batch)
        if rng.random() < 0.1:
            position = max(0, position - 3)
    return conflicts


@pytest.mark.parametrize("seed", range(12))
async def test_every_interleaving_ends_with_the_truth(seed: int, database: Database, follower: Follower) -> None:
    for world in (make_world(seed * 100 + number) for number in range(6)):
        async with database.transaction() as tx:
            await tx.execute("TRUNCATE sub_touchpoints, sub_fragments, sub_profiles, facts, levels")
        partitions = shuffle_into_partitions(world, 3)
        conflicts = await asyncio.gather(
            *(work(database, follower, records, random.Random(number)) for number, records in enumerate(partitions))
        )
        assert await read_levels(database) == world.truth()
        assert sum(conflicts) == 0, "sorted locks leave no deadlock"


async def test_one_big_poll_ends_with_the_truth_too(database: Database, follower: Follower) -> None:
    world = make_world(7, steps=60)
    [records] = shuffle_into_partitions(world, 1)
    async with database.transaction() as tx:
        await follower.handle(tx, records)
    assert await read_levels(database) == world.truth()
