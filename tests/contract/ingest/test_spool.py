"""One suite over the spool in memory and the one on disk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from libs.events.envelope import Outgoing
from libs.messaging.errors import PublishFailed
from services.ingest.adapters.fake_spool import FakeSpool
from services.ingest.adapters.segments import encode_frames
from services.ingest.adapters.spool import FileSpool
from services.ingest.ports import Spool

MAX_BYTES = 1024 * 1024


def make_records(*values: str, size: int = 0) -> list[Outgoing]:
    return [
        Outgoing("touchpoints", f"k{value}".encode(), (value + "." * size).encode(), (("ce_id", value.encode()),), 1_700_000)
        for value in values
    ]


def name(records: Sequence[Outgoing]) -> list[str]:
    return [(record.value or b"").decode().rstrip(".") for record in records]


@pytest.fixture(params=["fake", "files"])
async def spool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Spool]:
    if request.param == "fake":
        yield FakeSpool(max_bytes=MAX_BYTES)
        return
    opened = await FileSpool.open(tmp_path / "spool", max_bytes=MAX_BYTES)
    yield opened
    await opened.close()


async def leave_behind(spool: Spool, records: list[Outgoing], folder: Path) -> None:
    """As a process that ended with these in its spool."""
    if isinstance(spool, FakeSpool):
        spool.left_behind.extend(records)
        return
    ended = await FileSpool.open(folder / "spool", max_bytes=MAX_BYTES)
    await ended.append(records)
    await ended.close()


async def read(spool: Spool, max_records: int = 100, max_bytes: int = MAX_BYTES) -> list[str]:
    return name(await spool.read(max_records=max_records, max_bytes=max_bytes))


async def drain(spool: Spool) -> list[str]:
    drained: list[str] = []
    while page := await read(spool):
        drained += page
        await spool.confirm()
    return drained


async def fill(spool: Spool) -> AsyncIterator[str]:
    """Until it refuses; the names of what it took."""
    for number in range(100):
        try:
            await spool.append(make_records(str(number), size=50_000))
        except PublishFailed:
            return
        yield str(number)


async def test_a_record_comes_back_exactly_as_it_went_in(spool: Spool) -> None:
    records = [
        Outgoing("touchpoints", b"k", b'{"a":1}', (("ce_id", b"1"), ("traceparent", b"\x00\xff")), 1_700_000_000_123),
        Outgoing("touchpoint-rejections", b"", None, (), None),
    ]
    await spool.append(records)
    assert list(await spool.read(max_records=10, max_bytes=MAX_BYTES)) == records


async def test_records_come_back_in_the_order_of_their_appends(spool: Spool) -> None:
    await asyncio.gather(*(spool.append(make_records(f"{n}a", f"{n}b")) for n in range(20)))
    await spool.append(make_records("last"))
    assert await drain(spool) == [*[f"{n}{part}" for n in range(20) for part in "ab"], "last"]


async def test_the_same_is_read_until_it_is_confirmed(spool: Spool) -> None:
    await spool.append(make_records("1", "2", "3"))
    assert await read(spool, max_records=2) == ["1", "2"]
    assert await read(spool, max_records=2) == ["1", "2"]
    await spool.confirm()
    assert await read(spool, max_records=2) == ["3"]
    await spool.confirm()
    assert await read(spool) == []


async def test_a_page_is_bounded_in_bytes_but_never_empty_where_there_is_a_record(spool: Spool) -> None:
    records = make_records("1", "2", "3", size=1000)
    await spool.append(records)
    assert await read(spool, max_bytes=10) == ["1"]
    assert await read(spool, max_bytes=len(encode_frames(records[:2]))) == ["1", "2"]


async def test_its_usage_counts_what_is_not_confirmed(spool: Spool) -> None:
    assert spool.usage == (0, 0)
    records = make_records("1", "2", "3")
    await spool.append(records)
    assert spool.usage == (3, len(encode_frames(records)))
    await read(spool, max_records=2)
    await spool.confirm()
    assert spool.usage == (1, len(encode_frames(records[2:])))
    await drain(spool)
    assert spool.usage == (0, 0)


async def test_a_full_spool_refuses_and_takes_again_once_it_is_drained(spool: Spool) -> None:
    taken = [number async for number in fill(spool)]
    assert 10 <= len(taken) <= 20
    assert not spool.is_taking
    assert await drain(spool) == taken
    await spool.append(make_records("again"))
    assert spool.is_taking
    assert await drain(spool) == ["again"]


async def test_what_an_ended_process_left_is_adopted_and_comes_before_what_is_younger(spool: Spool, tmp_path: Path) -> None:
    await leave_behind(spool, make_records("left 1", "left 2"), tmp_path)
    await spool.append(make_records("younger"))
    await spool.adopt()
    assert spool.usage.records == 3
    assert await drain(spool) == ["left 1", "left 2", "younger"]
    assert spool.usage == (0, 0)


async def test_reading_goes_on_while_others_append(spool: Spool) -> None:
    async def append() -> None:
        for number in range(200):
            await spool.append(make_records(str(number)))

    appending = asyncio.create_task(append())
    drained: list[str] = []
    while not appending.done() or spool.usage.records:
        drained += await read(spool, max_records=7)
        await spool.confirm()
    await appending
    assert drained == [str(number) for number in range(200)]


async def test_rest_keeps_what_is_waiting(spool: Spool) -> None:
    await spool.append(make_records("1"))
    await spool.rest()
    assert await drain(spool) == ["1"]
    await spool.rest()
    await spool.append(make_records("2"))
    assert await drain(spool) == ["2"]
