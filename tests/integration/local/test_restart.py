"""A restart without a gap: under load no connection is refused or cut, and what was acknowledged is in the log."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.support.acked_load import AckedLoad, read_message_ids, sending
from tests.support.eventually import eventually
from tests.support.platform import RunningTestPlatform, run_platform

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTestPlatform]:
    with run_platform(tmp_path_factory.mktemp("restart") / "home", only=("ingest", "loyalty")) as running:
        yield running


async def acknowledges_more(load: AckedLoad, count: int = 500) -> None:
    before = len(load.acknowledged)
    await eventually(lambda: len(load.acknowledged) > before + count)


async def test_a_restart_under_load_refuses_and_loses_nothing(platform: RunningTestPlatform) -> None:
    async with sending(platform.urls["ingest"], connections=16, pause_s=0.01) as load:
        pids = [platform.pid_of("ingest")]
        for _ in range(2):
            said = await asyncio.to_thread(platform.rapport, "restart", "ingest")
            assert "ingest is replaced" in said.stderr
            pids.append(platform.pid_of("ingest"))
            await acknowledges_more(load)
    assert len(set(pids)) == 3
    assert load.broken == {}
    assert set(load.answers) == {200}
    assert load.slowest_s < 2.0
    found = await read_message_ids(platform.settings, until=load.acknowledged)
    assert max(found.values()) == 1


async def test_while_a_killed_ingest_is_brought_back_clients_wait_in_its_socket(platform: RunningTestPlatform) -> None:
    async with sending(platform.urls["ingest"], connections=8, pause_s=0.01) as load:
        killed = platform.kill("ingest")
        await eventually(lambda: platform.pid_of("ingest") not in (killed, None), within_s=60)
        await acknowledges_more(load)
    # Whom it was answering notices; nobody is refused.
    assert set(load.broken) <= {"ConnectionResetError", "IncompleteReadError"}
    assert load.broken.total() <= 8
    assert set(load.answers) == {200}
    await read_message_ids(platform.settings, until=load.acknowledged)


async def test_without_a_name_every_service_is_replaced_and_whoever_asks_meanwhile_waits(platform: RunningTestPlatform) -> None:
    before = {name: platform.pid_of(name) for name in platform.urls}
    restarting = asyncio.create_task(asyncio.to_thread(platform.rapport, "restart"))
    answers = 0
    # A connection each: none of them may be refused.
    while not restarting.done():
        async with httpx.AsyncClient(timeout=60) as client:
            for url in platform.urls.values():
                answers += (await client.get(f"{url}/healthz")).status_code == 200
    said = (await restarting).stderr
    assert all(f"{name} is replaced" in said and platform.pid_of(name) != pid for name, pid in before.items())
    assert answers > 2


async def test_a_next_process_that_does_not_get_ready_leaves_the_present_one_in_its_place(platform: RunningTestPlatform) -> None:
    pid = platform.pid_of("ingest")
    key = platform.home / "identity.key"
    right = key.read_text()
    try:
        key.write_text("00" * 32)  # of another installation: a start with it is refused
        said = await asyncio.to_thread(lambda: platform.rapport("restart", "ingest", check=False))
    finally:
        key.write_text(right)
    assert said.returncode == 1
    assert "ended with code 2" in said.stderr
    assert platform.pid_of("ingest") == pid
    async with sending(platform.urls["ingest"], connections=2) as load:
        await acknowledges_more(load, 100)
    assert (load.broken, set(load.answers)) == ({}, {200})


async def test_what_is_not_there_is_not_restarted(platform: RunningTestPlatform) -> None:
    said = await asyncio.to_thread(lambda: platform.rapport("restart", "nobody", check=False))
    assert said.returncode == 1
    assert "no service called nobody" in said.stdout + said.stderr
