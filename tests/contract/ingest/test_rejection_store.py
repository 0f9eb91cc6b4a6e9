"""One suite over the fake and the real store of parked rejections."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

import pytest

from libs.kit.db import Database, migrate
from services.ingest.ports import ParkedRejection, Place, RejectionBounds, RejectionFilter, RejectionStore
from services.ingest.store.fakes import FakeRejections
from services.ingest.store.rejections import PostgresRejections
from services.ingest.tables import SCHEMA
from tests.support.intake import NOW

if TYPE_CHECKING:
    from libs.kit.db import Tx

MIGRATIONS = Path(__file__).parents[3] / "services/ingest/migrations"
ALL = RejectionFilter()
HOUR = timedelta(hours=1)


class Opened(Protocol):
    store: RejectionStore

    def transaction(self) -> "AbstractAsyncContextManager[Tx]": ...


class InMemory:
    def __init__(self) -> None:
        self.store: RejectionStore = FakeRejections()

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Tx]":
        yield cast("Tx", None)


class InPostgres:
    def __init__(self, database: Database) -> None:
        self.store: RejectionStore = PostgresRejections()
        self.transaction = database.transaction


@pytest.fixture(params=["fake", "postgres"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    if request.param == "fake":
        yield InMemory()
        return
    dsn = request.getfixturevalue("database_dsn")
    await migrate(dsn, schema=SCHEMA, script_location=MIGRATIONS)
    database = await Database.open(dsn, schema=SCHEMA, application_name="test")
    try:
        async with database.transaction() as tx:
            await tx.execute("TRUNCATE rejections")
        yield cast("Opened", InPostgres(database))
    finally:
        await database.close()


def make(number: int, **changes: Any) -> ParkedRejection:
    given = {
        "source_id": "s1",
        "received_at": NOW + number * HOUR,
        "reason": "no_identifier",
        "detail": "nobody",
        "path": "/v1/batch",
        "body": b"\x00\xff{}",
    }
    return ParkedRejection(id=UUID(int=number), **{**given, **changes})


async def park(opened: Opened, *rejections: ParkedRejection) -> set[UUID]:
    async with opened.transaction() as tx:
        return await opened.store.add(tx, rejections)


async def find(opened: Opened, where: RejectionFilter = ALL, *, after: Place | None = None, limit: int = 50) -> list[int]:
    async with opened.transaction() as tx:
        return [row.id.int for row in await opened.store.find(tx, where, after=after, limit=limit)]


async def test_what_is_parked_comes_back_byte_for_byte(opened: Opened) -> None:
    await park(opened, make(1))
    async with opened.transaction() as tx:
        assert await opened.store.find(tx, ALL, after=None, limit=1) == [make(1)]
        assert await opened.store.lock(tx, ALL, after=None, limit=1) == [make(1)]


async def test_adding_tells_what_is_new_and_the_first_one_stands(opened: Opened) -> None:
    assert await park(opened) == set()
    assert await park(opened, make(1), make(2), make(1, reason="else")) == {UUID(int=1), UUID(int=2)}
    assert await park(opened, make(1, reason="else"), make(3)) == {UUID(int=3)}
    async with opened.transaction() as tx:
        assert await opened.store.count_reasons(tx, ALL) == {"no_identifier": 3}


async def test_pages_are_newest_first_and_go_on_behind_a_place(opened: Opened) -> None:
    same_time = [make(number, received_at=NOW) for number in (4, 5, 6)]
    await park(opened, make(1), make(2), make(3), *same_time)
    assert await find(opened) == [3, 2, 1, 6, 5, 4]
    assert await find(opened, limit=2) == [3, 2]
    assert await find(opened, after=Place(NOW, UUID(int=6))) == [5, 4]


async def test_filters_hold_together(opened: Opened) -> None:
    await park(opened, make(1), make(2, source_id="s2"), make(3, reason="not_json"), make(4))
    assert await find(opened, RejectionFilter(source_id="s2")) == [2]
    assert await find(opened, RejectionFilter(reason="not_json")) == [3]
    assert await find(opened, RejectionFilter(since=NOW + 2 * HOUR, until=NOW + 4 * HOUR)) == [3, 2]
    assert await find(opened, RejectionFilter(ids=[UUID(int=4), UUID(int=2), UUID(int=9)])) == [4, 2]
    assert await find(opened, RejectionFilter(source_id="s1", reason="no_identifier", since=NOW + 2 * HOUR)) == [4]
    async with opened.transaction() as tx:
        counts = await opened.store.count_reasons(tx, RejectionFilter(source_id="s1"))
    assert counts == {"no_identifier": 2, "not_json": 1}


async def test_what_was_replayed_is_found_no_more_but_remembered(opened: Opened) -> None:
    await park(opened, make(1), make(2))
    async with opened.transaction() as tx:
        await opened.store.mark_replayed(tx, [UUID(int=1)], NOW)
    assert await find(opened) == [2]
    assert await park(opened, make(1)) == set()
    assert await find(opened) == [2]


async def test_a_reason_can_change(opened: Opened) -> None:
    await park(opened, make(1))
    async with opened.transaction() as tx:
        await opened.store.update_reason(tx, UUID(int=1), "currency_unknown", "which?")
        row = (await opened.store.find(tx, ALL, after=None, limit=1))[0]
    assert (row.reason, row.detail) == ("currency_unknown", "which?")


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        (RejectionBounds(NOW, 10, 1000), [4, 3, 2, 1]),
        (RejectionBounds(NOW + 3 * HOUR, 10, 1000), [4, 3]),
        (RejectionBounds(NOW, 2, 1000), [4, 3, 2]),
        (RejectionBounds(NOW, 10, 8), [4, 3, 2]),
    ],
)
async def test_the_oldest_of_a_source_go_first(opened: Opened, bounds: RejectionBounds, kept: list[int]) -> None:
    await park(opened, make(1), make(2, source_id="s2"), make(3), make(4))
    async with opened.transaction() as tx:
        removed = await opened.store.trim(tx, bounds)
    assert await find(opened) == kept
    assert removed == 4 - len(kept)


async def test_a_summary_counts_by_source_and_reason_with_the_newest_of_each(opened: Opened) -> None:
    await park(opened, make(1), make(2), make(3), make(4, source_id="s2"), make(5, reason="not_json"), make(6, source_id="s2"))
    async with opened.transaction() as tx:
        groups = await opened.store.summarise(tx, ALL, samples=2)
        without = await opened.store.summarise(tx, RejectionFilter(source_id="s1", reason="not_json"), samples=0)
        await opened.store.mark_replayed(tx, [UUID(int=6)], NOW)
        left = await opened.store.summarise(tx, RejectionFilter(source_id="s2"), samples=1)
    told = [(group.source_id, group.reason, group.total, [row.id.int for row in group.samples]) for group in groups]
    assert told == [("s1", "no_identifier", 3, [3, 2]), ("s2", "no_identifier", 2, [6, 4]), ("s1", "not_json", 1, [5])]
    assert (groups[0].first_at, groups[0].last_at) == (NOW + HOUR, NOW + 3 * HOUR)
    assert [(group.total, group.samples) for group in without] == [(1, [])]
    assert [group.total for group in left] == [1]
