"""The store of rows on PostgreSQL, and the whole fold on it against the plain reference."""

import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Database
from libs.orders.statements import OrderStatement
from services.profile.adapters.sentiment import VaderSentiment
from services.profile.domain.state import encode_packed
from services.profile.handlers.fold_profiles import FactRows, ProfileWork, fold_profiles
from services.profile.store.facts import PostgresFacts
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.support.fact_rows_suite import CHECKS
from tests.support.fold_histories import FRAGMENTS, histories
from tests.support.folding import FoldingBook, score_by_length_exactly
from tests.support.profile_reference import compute_core

History = list[tuple[UUID, TouchpointRecorded]]
ALL = [make_fragment(*named.split(":", 1)) for named in FRAGMENTS]


@pytest.mark.parametrize("check", CHECKS)
async def test_postgresql_keeps_rows_as_the_suite_says(check: Callable[[FactRows], Awaitable[None]], database: Database) -> None:
    async with database.transaction() as tx:
        await check(PostgresFacts(tx))


async def live(database: Database, history: History, rng: random.Random) -> None:
    """One transaction a batch, merges in between, compared after each."""
    book = FoldingBook(None)  # type: ignore[arg-type]
    applied: History = []
    while len(applied) < len(history):
        batch = history[len(applied) : len(applied) + rng.randint(1, 8)]
        joined = [(rng.choice(ALL), rng.choice(ALL))] if rng.random() < 0.3 else []
        async with database.transaction() as tx:
            book.rows = PostgresFacts(tx)
            await book.apply(batch, joined=joined)
        applied += batch
        for members in book.groups():
            mine: list[Any] = [(touchpoint, ()) for fragment, touchpoint in applied if fragment in members]
            if mine:
                assert book.view(members[0]) == compute_core(mine, score_by_length_exactly)


@given(history=histories(max_size=40), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_histories_give_the_reference_on_postgresql(history: History, seed: int, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("TRUNCATE facts, sessions, order_days, tallies")
    await live(database, history, random.Random(seed))


@given(history=histories("order", "tangle", "activity", max_size=40), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_orders_and_sessions_give_the_reference_on_postgresql(history: History, seed: int, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("TRUNCATE facts, sessions, order_days, tallies")
    await live(database, history, random.Random(seed))


async def test_a_batch_folds_many_profiles_at_once_and_mentions_get_vaders_score(database: Database) -> None:
    sentiment = VaderSentiment()
    work = []
    for number in range(50):
        fragment = make_fragment("user_id", str(number))
        by = (f"user_id:{number}",)
        texts = {"text": "I love this shop, it is great!"} if number % 2 else {"text": "Terrible. I hate it."}
        told = [
            make_touchpoint(2 * number, name="Social Mention Posted", by=by, properties=texts),
            make_touchpoint(2 * number + 1, kind="page", channel="web", by=by),
        ]
        work.append(ProfileWork(UUID(int=number), (fragment,), (), (), [(fragment, one) for one in told], {fragment: b""}, b""))
    async with database.transaction() as tx:
        await fold_profiles(tx, work, sentiment=sentiment)
        assert await tx.fetchval("SELECT count(*) FROM facts") == 50
    for number, one in enumerate(work):
        average = b"0.86" if number % 2 else b"-0.78"
        assert b'"social":{"mentions":1,"sentiment_average":%b}' % average in one.core
        assert b'"web":{"page_views":1,"sessions":1,' in one.core
        assert list(one.changed_states) == list(one.members)
        assert {"web", "social"} <= one.parts


class WatchedFacts(PostgresFacts):
    """`read`: how many rows of history each statement brought."""

    def __init__(self, tx: Any) -> None:
        super().__init__(tx)
        self.read: list[int] = []

    async def load_fragments(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        found = list(await super().load_fragments(fragments))
        self.read.append(len(found))
        return found

    async def load_sessions(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, int]]:
        found = list(await super().load_sessions(fragments))
        self.read.append(len(found))
        return found


async def test_profiles_counted_anew_are_read_a_few_at_a_time(database: Database) -> None:
    names = [f"u{number}" for number in range(9)]
    owners = {name: make_fragment("user_id", name) for name in names}

    def tell(number: int, name: str) -> tuple[UUID, TouchpointRecorded]:
        by, order = (f"user_id:{name}",), OrderStatement(step="completed", order_id=f"o{number}", currency="EUR", amount="10")
        return owners[name], make_touchpoint(number, name="Order Completed", channel="web", by=by, at=number * 90, order=order)

    # The last has more than a portion's worth; it is read alone.
    before = [tell(100 * place + number, name) for place, name in enumerate(names) for number in range(4 if name != "u8" else 30)]
    after = [tell(100 * place + 99, name) for place, name in enumerate(names)]
    async with database.transaction() as tx:
        rows = WatchedFacts(tx)
        book = FoldingBook(rows, history_max=20)
        await book.apply(before)
        assert rows.read == []
        for stored in book.profiles.values():
            stored.totals = encode_packed([1, *msgspec.msgpack.decode(stored.totals)[1:]])
        await book.apply(after)
        # Each one's latest session is in its state.
        assert sum(rows.read) == len(before) + len(before) - len(names)
        assert sorted(rows.read)[-2:] == [29, 30]
        assert all(count <= 20 for count in sorted(rows.read)[:-2])
        for owner in owners.values():
            mine: list[Any] = [(one, ()) for fragment, one in before + after if fragment == owner]
            assert book.view(owner) == compute_core(mine, score_by_length_exactly)
        rows.read.clear()
        await book.apply([tell(98, "u0")])
        assert rows.read == []
