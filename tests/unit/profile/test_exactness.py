"""Random lives through the real handlers: whatever the order, the batches and the copies, every table is the reference's.

`make property N=10000` looks for longer.
"""

import asyncio
import os
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.profile_store import FakeProfileStore
from tests.support.profile_lives import (
    HARMLESS,
    Move,
    Told,
    assert_equal,
    live,
    lives,
    make_memory_profiles,
    replay,
    show_profiles,
    shuffle,
    shuffle_between_commands,
    tell_plainly,
    views_by_label,
)

HISTORIES = int(os.environ.get("RAPPORT_PROPERTY_HISTORIES", "200"))
SHARDS = 4
far = settings(max_examples=max(1, HISTORIES // (2 * SHARDS)), suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32)
every_shard = pytest.mark.parametrize("shard", range(SHARDS))


def run(stretches: Sequence[Sequence[Move]], random: Random) -> tuple[FakeProfileStore, Told]:
    store = FakeProfileStore()
    return store, asyncio.run(live(make_memory_profiles(store), store, stretches, random))


@every_shard
@far
@given(moves=lives(), seed=seeds)
def test_whatever_happens_in_whatever_order_is_what_the_reference_says_in_the_journalled_order(
    shard: int, moves: list[Move], seed: int
) -> None:
    random = Random(seed)
    store, told = run([shuffle(moves, random)] if seed % 2 else shuffle_between_commands(moves, random), random)
    assert_equal(store, replay(store, told))


@every_shard
@far
@given(moves=lives(HARMLESS, harmless=True), seed=seeds)
def test_where_no_rule_is_hit_every_order_ends_in_the_same_views(shard: int, moves: list[Move], seed: int) -> None:
    random = Random(seed)
    store, told = run(shuffle_between_commands(moves, random), random)
    again = replay(store, told)
    assert_equal(store, again)
    plain = tell_plainly(moves)
    if not (plain.is_rule_hit or again.is_rule_hit):
        nodes = {id_: (row.value, row.epoch) for id_, row in store.fragments.items()}
        assert views_by_label(show_profiles(store, nodes)) == views_by_label(plain.show_profiles())
