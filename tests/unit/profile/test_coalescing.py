"""Reads that wait together share a statement, and none sees what was loaded before it asked."""

import asyncio
from collections.abc import Collection

import pytest

from services.profile.adapters.coalescing import Coalescer


class Table:
    def __init__(self) -> None:
        self.rows = {1: "one", 2: "two"}
        self.loads: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, keys: Collection[int]) -> dict[int, str]:
        self.loads.append(sorted(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await self.gate.wait()
        return found


async def test_readers_of_the_same_moment_share_one_statement() -> None:
    table = Table()
    coalescer = Coalescer(table.load)
    assert await asyncio.gather(*(coalescer.get(key) for key in (1, 2, 1, 3))) == ["one", "two", "one", None]
    assert table.loads == [[1, 2, 3]]


async def test_a_reader_that_comes_while_a_statement_runs_gets_a_later_one() -> None:
    table = Table()
    coalescer = Coalescer(table.load, concurrency=1)
    table.gate.clear()
    first = asyncio.create_task(coalescer.get(1))
    while not table.loads:
        await asyncio.sleep(0)
    table.rows[1] = "new"
    second = asyncio.create_task(coalescer.get(1))
    await asyncio.sleep(0)
    table.gate.set()
    assert (await first, await second) == ("one", "new")
    assert table.loads == [[1], [1]]


async def test_a_failed_load_fails_its_readers_and_nobody_after() -> None:
    table = Table()

    async def load(keys: Collection[int]) -> dict[int, str]:
        if not table.loads:
            await table.load(keys)
            raise ConnectionResetError
        return await table.load(keys)

    coalescer = Coalescer(load)
    answers = await asyncio.gather(coalescer.get(1), coalescer.get(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionResetError, ConnectionResetError]
    assert await coalescer.get(1) == "one"


async def test_a_statement_takes_at_most_so_many_keys() -> None:
    table = Table()
    coalescer = Coalescer(table.load, batch_max=2, concurrency=1)
    await asyncio.gather(*(coalescer.get(key) for key in range(5)))
    assert [len(keys) for keys in table.loads] == [2, 2, 1]


async def test_a_reader_that_goes_away_leaves_the_answer_to_the_others() -> None:
    table = Table()
    coalescer = Coalescer(table.load)
    leaving = asyncio.create_task(coalescer.get(1))
    staying = asyncio.create_task(coalescer.get(1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "one"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await coalescer.close()
