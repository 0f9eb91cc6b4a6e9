"""Acknowledged is durable: whatever is killed in mid-load, every id that ingest said 200 to is in the log.

`make test` kills a few times, the runs marked `full` twenty times and over 200,000 ids each.
"""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import psutil
import pytest

from tests.support.acked_load import AckedLoad, read_message_ids, sending
from tests.support.eventually import eventually
from tests.support.platform import RunningTestPlatform, run_platform

WITHOUT_SPOOL = {"INGEST_SPOOL_DIR": ""}
KILLS = 20
IDS = 200_000


async def read_metric(platform: RunningTestPlatform, name: str) -> float:
    async with httpx.AsyncClient(timeout=10) as client:
        text = (await client.get(f"{platform.urls['ingest']}/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(f"rapport_{name} ")).split()[1])


async def acknowledges_more(load: AckedLoad, count: int) -> None:
    before = len(load.acknowledged)
    await eventually(lambda: len(load.acknowledged) > before + count, within_s=90)


async def kill(platform: RunningTestPlatform, part: str, load: AckedLoad, moment: Random, count: int) -> None:
    """Some time into a phase of `count` acknowledged ids, and then until it is back and the phase is over."""
    await acknowledges_more(load, int(count * moment.random() / 2))
    killed = await eventually(lambda: platform.kill(part), within_s=90)
    await eventually(lambda: platform.pid_of(part) not in (killed, None), within_s=90)
    await acknowledges_more(load, count)


async def kill_both(platform: RunningTestPlatform, load: AckedLoad) -> None:
    """The broker, and the gateway while what it acknowledged lies in nothing but its spool."""
    killed = {"kafka": platform.kill("kafka")}
    await eventually(lambda: read_metric(platform, "ingest_spool_records"), until=lambda records: records > 0, within_s=10)
    killed["ingest"] = platform.kill("ingest")
    for part, pid in killed.items():
        await eventually(lambda part=part, pid=pid: platform.pid_of(part) not in (pid, None), within_s=90)
    await acknowledges_more(load, 500)


@pytest.mark.timeout(240)
async def test_with_a_spool_a_killed_broker_is_not_even_noticed_and_nothing_is_lost(tmp_path: Path) -> None:
    with run_platform(tmp_path / "home", only=("ingest",)) as platform:
        async with sending(platform.urls["ingest"], connections=8, pause_s=0.01) as load:
            await kill(platform, "kafka", load, Random(1), 1_000)
            assert set(load.answers) == {200}
            assert load.broken == {}
            # Under load that goes on, the spool is left again.
            await eventually(lambda: read_metric(platform, "ingest_broker_away"), until=lambda away: away == 0, within_s=60)
            await kill(platform, "ingest", load, Random(2), 1_000)
            await kill_both(platform, load)
        await read_message_ids(platform.settings, until=load.acknowledged)
        await eventually(lambda: read_metric(platform, "ingest_spool_records"), until=lambda records: records == 0)


@pytest.mark.timeout(240)
async def test_without_a_spool_nothing_is_acknowledged_that_could_be_lost(tmp_path: Path) -> None:
    with run_platform(tmp_path / "home", only=("ingest",), variables=WITHOUT_SPOOL) as platform:
        async with sending(platform.urls["ingest"], connections=8, pause_s=0.01) as load:
            await kill(platform, "kafka", load, Random(1), 1_000)
            await kill(platform, "ingest", load, Random(2), 1_000)
        assert set(load.answers) <= {200, 503}
        await read_message_ids(platform.settings, until=load.acknowledged)
        assert not (platform.home / "spool").exists()


@asynccontextmanager
async def hanging(platform: RunningTestPlatform) -> AsyncIterator[None]:
    """The broker neither answers nor ends, which is the worst it can do."""
    pid = platform.pid_of("kafka")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def outage(home: Path, *, records: int, seconds: float) -> None:
    """Until so many records are spooled and so much time is over: nothing is refused, nothing lost, and memory stays flat."""
    with run_platform(home, only=("ingest",)) as platform:
        async with sending(platform.urls["ingest"], connections=8, pause_s=0.05) as load:
            gateway, began_s = psutil.Process(platform.pid_of("ingest")), time.monotonic()
            before_bytes = gateway.memory_info().rss
            async with hanging(platform):
                await eventually(lambda: read_metric(platform, "ingest_broker_away"), until=lambda away: away == 1)
                await eventually(
                    lambda: read_metric(platform, "ingest_spool_records"),
                    until=lambda spooled: spooled > records and time.monotonic() - began_s > seconds,
                    within_s=60 + seconds,
                )
                assert (await fetch_ready(platform)).status_code == 200
                assert gateway.memory_info().rss - before_bytes < 40_000_000
            await eventually(lambda: read_metric(platform, "ingest_broker_away"), until=lambda away: away == 0, within_s=120)
            await acknowledges_more(load, 500)
            assert gateway.memory_info().rss - before_bytes < 60_000_000
        assert set(load.answers) == {200}
        assert load.broken == {}
        await read_message_ids(platform.settings, until=load.acknowledged)


@pytest.mark.timeout(240)
async def test_a_broker_that_hangs_costs_nothing_but_disk(tmp_path: Path) -> None:
    await outage(tmp_path / "home", records=5_000, seconds=0)


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_a_broker_that_hangs_for_five_minutes_costs_nothing_but_disk(tmp_path: Path) -> None:
    await outage(tmp_path / "home", records=100_000, seconds=300)


async def fetch_ready(platform: RunningTestPlatform) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.get(f"{platform.urls['ingest']}/readyz")


@pytest.mark.full
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("variables", [{}, WITHOUT_SPOOL], ids=["with a spool", "without"])
async def test_twenty_kills_cost_no_acknowledged_id(tmp_path: Path, variables: dict[str, str]) -> None:
    random = Random("kills")
    with run_platform(tmp_path / "home", only=("ingest",), variables=variables) as platform:
        async with sending(platform.urls["ingest"], connections=16, per_call=50) as load:
            for number in range(KILLS):
                await kill(platform, ("kafka", "ingest")[number % 2], load, random, IDS // KILLS)
        assert len(load.acknowledged) >= IDS
        await read_message_ids(platform.settings, until=load.acknowledged)
