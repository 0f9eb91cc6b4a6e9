"""The lives of tests/unit/profile/test_exactness.py on real PostgreSQL: several workers and commands at once.

The journal says in which order it happened. Told again in that order, the reference must say the same, and the dictionaries that
stand for PostgreSQL there must hold the same rows to the byte.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.kit.db import Database
from tests.fakes.profile_store import FakeProfileStore
from tests.integration.profile.driving import Profiles, empty
from tests.support.profile_lives import (
    RECEIVED,
    Lift,
    Lifted,
    Merge,
    Move,
    Split,
    Told,
    Touch,
    apply,
    assert_equal,
    compute_target,
    lift,
    lives,
    make_memory_profiles,
    poll,
    read_journal,
    regroup,
    replay,
    shuffle,
)
from tests.support.profile_tables import read_tables

HISTORIES = int(os.environ.get("RAPPORT_PROPERTY_HISTORIES", "200")) // 5
WORKERS = 3


async def until_done(attempt: Callable[[], Awaitable[Any]]) -> None:
    """As the consumer does: a deadlock's victim comes again."""
    while True:
        try:
            await attempt()
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            continue
        return


async def live_at_once(profiles: Profiles, moves: Sequence[Move], random: Random) -> Told:
    """Polls spread over the workers, merges and splits beside them; bans are lifted when all have stopped."""
    told = Told()
    profiles.clock.set(RECEIVED)
    for begin in range(0, len(moves), 6):
        profiles.clock.advance(timedelta(minutes=4))
        stretch = [move for move in moves[begin : begin + 6] if not isinstance(move, Lift)]
        deliveries = poll(shuffle(stretch, random), random)
        polls = [one for one in deliveries if isinstance(one, list)]
        commands = [one for one in deliveries if isinstance(one, Merge | Split)]
        work = [_work(profiles, polls[number::WORKERS]) for number in range(WORKERS)]
        await asyncio.gather(*work, _command(profiles, told, commands))
        profiles.clock.advance(timedelta(seconds=20))
        for move in moves[begin : begin + 6]:
            if isinstance(move, Lift):
                [(applied,)] = await profiles.fetch("SELECT last_value FROM applications")
                await lift(profiles, move, told, applied)
    return told


async def _work(profiles: Profiles, polls: Sequence[list[Touch]]) -> None:
    for batch in polls:
        await until_done(lambda batch=batch: apply(profiles, batch))  # type: ignore[misc]


async def _command(profiles: Profiles, told: Told, commands: Sequence[Merge | Split]) -> None:
    for command in commands:
        await until_done(lambda command=command: regroup(profiles, command, told))  # type: ignore[misc]


async def repeat(store: FakeProfileStore, told: Told) -> FakeProfileStore:
    """The same batches and commands, one after the other in the journalled order, in dictionaries."""
    again = FakeProfileStore()
    profiles = make_memory_profiles(again)
    profiles.clock.set(RECEIVED)
    between = [(number, what) for number, what in told.between if isinstance(what, Lifted)]
    for applied in read_journal(store):
        while between and between[0][0] < applied.number:
            await _lift_again(profiles, again, *between.pop(0))
        again.applications = applied.number - 1
        if applied.command_id is None:
            await profiles.apply(*applied.touchpoints)
            continue
        move = told.commands[applied.command_id]
        profiles.clock.set(told.at[applied.command_id])
        if isinstance(move, Merge):
            await profiles.merge(compute_target(move), move.other, command_id=applied.command_id)
        else:
            await profiles.split(move.value, move.value, command_id=applied.command_id)
    for number, what in between:
        await _lift_again(profiles, again, number, what)
    return again


async def _lift_again(profiles: Profiles, again: FakeProfileStore, number: int, what: Lifted) -> None:
    again.applications = number
    profiles.clock.set(what.at)
    await profiles.lift(what.ban_id)


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(moves=lives(max_size=24), seed=st.integers(0, 2**32))
async def test_several_workers_and_commands_at_once_end_as_the_journalled_order_says(
    database: Database, moves: list[Move], seed: int
) -> None:
    await empty(database)
    profiles = Profiles(database)
    told = await live_at_once(profiles, moves, Random(seed))
    store = await read_tables(profiles.fetch)
    assert_equal(store, replay(store, told))
    again = await repeat(store, told)
    for table in fields(FakeProfileStore):
        if table.name != "applications":
            assert getattr(store, table.name) == getattr(again, table.name), table.name
