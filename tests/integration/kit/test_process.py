"""A service's process from outside: how it starts, stops, and dies."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[3]
Start = Callable[..., Awaitable[Process]]


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    return find_port()


@pytest.fixture
async def start(tmp_path: Path, port: int) -> AsyncIterator[Start]:
    started: list[Process] = []

    async def start_process(mode: str = "all", *more: str, pass_fds: tuple[int, ...] = (), **settings: str) -> Process:
        environment = {**os.environ, "SHOP_NOTE": str(tmp_path / "note"), "SHOP_PORT": str(port)}
        environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
        environment |= {f"SHOP_{name.upper()}": value for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.kit.shop_service",
            mode,
            *more,
            env=environment,
            cwd=ROOT,
            stderr=PIPE,
            pass_fds=pass_fds,
        )
        started.append(process)
        return process

    yield start_process
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as opened:
        yield opened


async def is_live(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def finish(process: Process) -> tuple[int | None, str]:
    _, said = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, said.decode()


def list_names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def is_refused(client: httpx.AsyncClient) -> bool:
    try:
        await client.get("/healthz")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        pass
    return False


async def hear(process: Process, event: str, *, times: int = 1) -> None:
    """Read what it says until it has said this so many times."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while times:
            line = await process.stderr.readline()
            assert line, f"ended without {event}"
            times -= f'"{event}"'.encode() in line


async def read_note(tmp_path: Path) -> str:
    note = tmp_path / "note"
    return note.read_text() if note.exists() else ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_and_worker_finish(
    start: Start, client: httpx.AsyncClient, tmp_path: Path, number: signal.Signals
) -> None:
    process = await start()
    await eventually(lambda: is_live(client))
    request = asyncio.create_task(client.get("/slow"))
    await eventually(lambda: read_note(tmp_path), until=lambda note: "asked" in note)
    process.send_signal(number)
    assert (await request).status_code == 200
    code, _ = await finish(process)
    assert code == 0
    assert sorted((await read_note(tmp_path)).split("\n")) == ["", "asked", "closed", "worker began", "worker done"]


@pytest.mark.parametrize("how", ["dies", "ends"])
async def test_a_dead_worker_takes_the_process_with_it(start: Start, how: str) -> None:
    code, said = await finish(await start(worker=how))
    assert code == 1
    assert "part_failed" in said


async def test_a_worker_that_does_not_stop_is_cut_off(start: Start, client: httpx.AsyncClient, tmp_path: Path) -> None:
    process = await start(worker="hangs", stop_timeout_s="0.3")
    await eventually(lambda: is_live(client))
    process.terminate()
    code, said = await finish(process)
    assert (code, await read_note(tmp_path)) == (1, "worker began\nclosed\n")
    assert "stop_took_too_long" in said


async def test_a_second_signal_ends_it_at_once(start: Start, client: httpx.AsyncClient) -> None:
    process = await start(worker="hangs", stop_timeout_s="60")
    await eventually(lambda: is_live(client))
    process.terminate()

    async def is_gone() -> Any:
        if process.returncode is None:
            process.terminate()
        return process.returncode

    assert await eventually(is_gone, until=lambda code: code is not None, pause_s=0.2) == -signal.SIGTERM


async def test_a_refused_start_says_why_in_one_line(start: Start) -> None:
    code, said = await finish(await start(worker="refused"))
    assert code == 2
    assert "Set SHOP_WORKER" in said
    assert "Traceback" not in said


async def test_a_wrong_setting_is_named(start: Start) -> None:
    code, said = await finish(await start(stop_timeout_s="soon"))
    assert code == 2
    assert "shop: setting stop_timeout_s:" in said
    assert "Traceback" not in said


async def test_a_port_in_use_is_said_plainly(start: Start, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        code, said = await finish(await start("api"))
    assert code == 1
    assert f"127.0.0.1:{port}" in said
    assert "Traceback" not in said


async def test_a_worker_alone_answers_operators_and_nobody_else(start: Start, client: httpx.AsyncClient, tmp_path: Path) -> None:
    process = await start("worker")
    await eventually(lambda: is_live(client))
    assert (await client.get("/readyz")).status_code == 200
    assert "rapport_" in (await client.get("/metrics")).text
    refused = await client.get("/slow")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert "/metrics" in refused.json()["detail"]
    process.terminate()
    assert (await finish(process))[0] == 0
    assert await read_note(tmp_path) == "worker began\nworker done\nclosed\n"


async def test_an_inherited_socket_keeps_waiting_clients_over_a_restart(start: Start, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            waiting = asyncio.create_task(client.get("/slow"))  # nobody is there yet
            first = await start("api", "--fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
            assert (await waiting).json() == {"pid": first.pid}
            first.terminate()
            assert (await finish(first))[0] == 0
            waiting = asyncio.create_task(client.get("/slow"))
            second = await start("api", "--fd", str(listener.fileno()), pass_fds=(listener.fileno(),))
            assert (await waiting).json() == {"pid": second.pid}


async def ask_both(port: int) -> tuple[set[int], int]:
    """The pids of two processes behind one port, and how many connections it took until both had answered."""
    pids: set[int] = set()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        # A connection stays with the process that took it.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            pids.add((await client.get("/pid")).json()["pid"])
            asked += 1

    async def have_both_answered() -> bool:
        await asyncio.gather(*(ask() for _ in range(8)))
        return len(pids) == 2

    await eventually(have_both_answered)
    return pids, asked


async def test_two_processes_answer_on_one_port_as_one(
    start: Start, client: httpx.AsyncClient, port: int, tmp_path: Path
) -> None:
    process = await start(processes="2")
    await eventually(lambda: is_live(client))
    pids, asked = await ask_both(port)
    assert process.pid not in pids
    for _ in range(10):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as anybody:
            assert (await anybody.get("/readyz")).json()["pid"] == process.pid
            assert f"rapport_shop_asked_total {asked}.0\n" in (await anybody.get("/metrics")).text
    request = asyncio.create_task(client.get("/slow"))
    await eventually(lambda: read_note(tmp_path), until=lambda note: "asked" in note)
    process.terminate()
    assert (await request).status_code == 200
    assert (await finish(process))[0] == 0
    assert sorted((await read_note(tmp_path)).split()) == ["asked", "began", "closed", "closed", "done", "worker", "worker"]


async def hold(client: httpx.AsyncClient, tmp_path: Path) -> tuple[asyncio.Task[httpx.Response], int]:
    """A request that is answered after `release`, and the pid of who has it."""
    request = asyncio.create_task(client.get("/held"))
    note = await eventually(lambda: read_note(tmp_path), until=lambda note: "held by" in note)
    return request, int(note.split("held by ")[1].split()[0])


def release(tmp_path: Path) -> None:
    (tmp_path / "note.released").touch()


@pytest.mark.parametrize("is_parent_first", [True, False])
async def test_a_signal_to_parent_and_child_lets_requests_finish(
    start: Start, client: httpx.AsyncClient, tmp_path: Path, *, is_parent_first: bool
) -> None:
    process = await start("api", processes="2")
    await eventually(lambda: is_live(client))
    request, holder = await hold(client, tmp_path)
    os.kill(process.pid if is_parent_first else holder, signal.SIGTERM)
    await hear(process, "stopping", times=2 if is_parent_first else 1)
    os.kill(holder if is_parent_first else process.pid, signal.SIGTERM)
    await eventually(lambda: is_refused(client))
    release(tmp_path)
    assert (await request).json() == {"pid": holder}
    code, said = await finish(process)
    assert code == 0
    assert "stopped_at_once" not in said
    assert "parent_ended" not in said


async def test_new_clients_are_refused_while_several_finish(start: Start, client: httpx.AsyncClient, tmp_path: Path) -> None:
    process = await start("api", processes="2")
    await eventually(lambda: is_live(client))
    request, _ = await hold(client, tmp_path)
    process.terminate()
    await eventually(lambda: is_refused(client))
    assert not request.done()
    release(tmp_path)
    assert (await request).status_code == 200
    assert (await finish(process))[0] == 0


async def test_a_second_signal_ends_several_at_once(start: Start, client: httpx.AsyncClient) -> None:
    process = await start(worker="hangs", stop_timeout_s="60", processes="2")
    await eventually(lambda: is_live(client))
    process.terminate()
    await hear(process, "stopping", times=2)
    process.terminate()
    code, said = await finish(process)
    assert code == 1
    assert "stopped_at_once" in said


async def test_several_that_are_refused_their_start_give_its_code(start: Start) -> None:
    code, said = await finish(await start(worker="refused", processes="2"))
    assert code == 2
    assert "Set SHOP_WORKER" in said
    assert "Traceback" not in said


async def test_one_of_several_that_fails_unexpectedly_says_why(start: Start) -> None:
    code, said = await finish(await start(worker="cannot be built", processes="2"))
    assert code == 1
    assert "process_failed" in said
    assert "the service's own trouble" in said


async def test_one_of_several_that_dies_takes_the_others_with_it(start: Start, client: httpx.AsyncClient, port: int) -> None:
    process = await start("api", processes="2")
    await eventually(lambda: is_live(client))
    pids, _ = await ask_both(port)
    os.kill(pids.pop(), signal.SIGKILL)
    code, said = await finish(process)
    assert code == 1
    assert "process_ended_unasked" in said


async def test_several_whose_parent_is_killed_end_by_themselves(start: Start, client: httpx.AsyncClient, tmp_path: Path) -> None:
    process = await start("api", processes="2")
    await eventually(lambda: is_live(client))
    process.kill()
    code, said = await finish(process)  # the children hold the other end of what is read here
    assert code == -signal.SIGKILL
    assert said.count("parent_ended") == 2
    assert await read_note(tmp_path) == "closed\nclosed\n"
    assert list_names(tmp_path) == ["note"]


async def test_several_say_once_why_they_cannot_start(start: Start, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        code, said = await finish(await start("api", processes="2"))
    assert code == 2
    assert said.count(f"127.0.0.1:{port}") == 1
    assert "Traceback" not in said
