"""A restart without a gap: under load no connection is refused or cut, and what was acknowledged is in the log."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.acked_load import AckedLoad, read_message_ids, sending
from tests.support.eventually import eventually
from tests.support.platform import RunningTestPlatform, run_platform

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTestPlatform]:
    with run_platform(tmp_path_factory.mktemp("restart") / "home", only=("ingest",)) as running:
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


async def test_what_is_not_there_is_not_restarted(platform: RunningTestPlatform) -> None:
    said = await asyncio.to_thread(lambda: platform.rapport("restart", "nobody", check=False))
    assert said.returncode == 1
    assert "no service called nobody" in said.stdout + said.stderr
