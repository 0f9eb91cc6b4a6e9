"""The spool's files: torn ends, damaged bytes, locks, bounds, and a disk that refuses."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from libs.events.envelope import Outgoing
from libs.kit.errors import ConfigurationRefused
from libs.messaging.errors import PublishFailed
from services.ingest.adapters.segment_folder import SYNCS, SegmentFolder
from services.ingest.adapters.segments import encode_frames
from services.ingest.adapters.spool import FileSpool
from services.ingest.main import open_gateway_publisher
from services.ingest.settings import Settings

if TYPE_CHECKING:
    from libs.durable.runtime import Runtime

MAX_BYTES = 1024 * 1024
ROOT = Path(__file__).parents[3]


def make_record(value: str, size: int = 0) -> Outgoing:
    return Outgoing("touchpoints", b"key", (value + "." * size).encode(), (), 1)


def frame(*values: str) -> tuple[bytes, int]:
    return encode_frames([make_record(value) for value in values]), len(values)


def name(records: list[Outgoing]) -> list[str]:
    return [(record.value or b"").decode().rstrip(".") for record in records]


def read_orphans(folder: Path) -> tuple[list[str], int]:
    """What the next process finds, and how much of it was damaged."""
    opened = SegmentFolder(folder, max_bytes=MAX_BYTES)
    damaged = sum(segment.damaged for segment in opened.adopt())
    return name(opened.read(1000, MAX_BYTES)), damaged


def leave_file(folder: Path, content: bytes, room: int = 4096) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "00000000000000000001-1-1.spool"
    path.write_bytes(content + b"\0" * room)
    return path


ONE, TWO, THREE = (frame(value)[0] for value in ("one", "two", "three"))


@pytest.mark.parametrize("cut", range(1, len(THREE)))
@pytest.mark.parametrize("room", [0, 4096])
def test_a_write_that_was_torn_anywhere_costs_only_what_was_never_acknowledged(tmp_path: Path, cut: int, room: int) -> None:
    leave_file(tmp_path, ONE + TWO + THREE[:cut], room)
    found, _ = read_orphans(tmp_path)
    assert found == ["one", "two"]


def test_garbage_behind_the_last_record_is_its_end(tmp_path: Path) -> None:
    leave_file(tmp_path, ONE + b"\xff" * 100)
    assert read_orphans(tmp_path) == (["one"], 0)


def test_a_damaged_record_costs_itself_alone_and_is_counted(tmp_path: Path) -> None:
    damaged = bytearray(TWO)
    damaged[-1] ^= 1
    leave_file(tmp_path, ONE + bytes(damaged) + THREE)
    assert read_orphans(tmp_path) == (["one", "three"], 1)


def test_a_file_without_a_whole_record_is_removed(tmp_path: Path) -> None:
    path = leave_file(tmp_path, b"")
    assert read_orphans(tmp_path) == ([], 0)
    assert not path.exists()


def test_adopted_room_that_was_never_used_is_given_back(tmp_path: Path) -> None:
    path = leave_file(tmp_path, ONE, room=500_000)
    SegmentFolder(tmp_path, max_bytes=MAX_BYTES).adopt()
    assert path.stat().st_size == len(ONE)


def test_a_file_whose_process_lives_is_not_adopted(tmp_path: Path) -> None:
    living = SegmentFolder(tmp_path, max_bytes=MAX_BYTES)
    living.write([frame("mine")])
    other = SegmentFolder(tmp_path, max_bytes=MAX_BYTES)
    assert other.adopt() == []
    assert name(living.read(10, MAX_BYTES)) == ["mine"]
    living.close()
    assert [segment.records for segment in other.adopt()] == [1]
    assert name(other.read(10, MAX_BYTES)) == ["mine"]


def test_no_two_processes_adopt_the_same(tmp_path: Path) -> None:
    leave_file(tmp_path, ONE)
    first, second = (SegmentFolder(tmp_path, max_bytes=MAX_BYTES) for _ in range(2))
    assert (len(first.adopt()), len(second.adopt())) == (1, 0)
    first.read(10, MAX_BYTES)
    first.confirm()
    assert second.adopt() == []
    assert list(tmp_path.glob("*.spool")) == []


def test_the_bound_holds_for_all_processes_of_the_folder_together(tmp_path: Path) -> None:
    folders = [SegmentFolder(tmp_path, max_bytes=MAX_BYTES) for _ in range(6)]
    blob = encode_frames([make_record("x", 60_000)]), 1
    outcomes = [folder.write([blob])[0] for _ in range(10) for folder in folders]
    assert outcomes.count(None) == 4 * (MAX_BYTES // 4 // len(blob[0]))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= MAX_BYTES


def test_a_drained_spool_leaves_no_file_once_it_rests(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, max_bytes=MAX_BYTES)
    folder.write([frame(str(number)) for number in range(50)])
    folder.read(1000, MAX_BYTES)
    folder.confirm()
    folder.rest()
    assert list(tmp_path.glob("*.spool")) == []


def test_a_call_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, max_bytes=MAX_BYTES)
    large = encode_frames([make_record(str(number), 1000) for number in range(500)]), 500
    assert folder.write([frame("before"), large, frame("after")]) == [None, None, None]
    assert name(folder.read(1000, MAX_BYTES)) == ["before"]
    folder.confirm()
    assert len(folder.read(1000, MAX_BYTES)) == 500


def test_a_refused_record_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, max_bytes=MAX_BYTES)
    folder.set_aside(make_record("huge"))
    assert (tmp_path / "refused").read_bytes() == frame("huge")[0]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB: a write there fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.usefixtures("small_disk")
async def test_a_disk_that_refuses_acknowledges_nothing(tmp_path: Path) -> None:
    spool = await FileSpool.open(tmp_path, max_bytes=MAX_BYTES)
    with pytest.raises(PublishFailed, match="disk"):
        await spool.append([make_record("lost")])
    assert (spool.usage, spool.is_taking) == ((0, 0), False)
    await spool.close()


async def test_hundreds_of_requests_share_a_few_syncs(tmp_path: Path) -> None:
    spool = await FileSpool.open(tmp_path, max_bytes=MAX_BYTES)
    before = SYNCS._value.get()
    await asyncio.gather(*(spool.append([make_record(str(number))]) for number in range(500)))
    assert spool.usage.records == 500
    assert SYNCS._value.get() - before <= 3
    await spool.close()


async def test_a_caller_that_goes_away_neither_takes_its_record_back_nor_hurts_the_group(tmp_path: Path) -> None:
    spool = await FileSpool.open(tmp_path, max_bytes=MAX_BYTES)
    calls = [asyncio.create_task(spool.append([make_record(str(number))])) for number in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.wait(calls)
    assert name(list(await spool.read(max_records=10, max_bytes=MAX_BYTES))) == ["0", "1", "2"]
    await spool.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from libs.events.envelope import Outgoing
from services.ingest.adapters.spool import FileSpool

async def main():
    spool = await FileSpool.open(Path(sys.argv[1]), max_bytes=64 * 1024 * 1024)
    async def write(writer):
        for number in range(1_000_000):
            name = f"{writer}-{number}"
            await spool.append([Outgoing("t", b"k", name.encode() + b"." * 700, (), 1)])
            sys.stdout.write(name + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(writer) for writer in range(20)))

asyncio.run(main())
"""


def test_everything_acknowledged_before_a_kill_is_found_by_the_next_process(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for round_ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline().decode().strip() for _ in range(300 + 150 * round_)]
            process.kill()
            lines += process.stdout.read().decode().splitlines()[:-1]
        acknowledged += lines
        opened = SegmentFolder(tmp_path, max_bytes=64 * 1024 * 1024)
        opened.adopt()
        found: list[str] = []
        while page := opened.read(1000, MAX_BYTES):
            found += name(page)
            opened.confirm()
        opened.close()
        assert set(lines) <= set(found)
        assert len(found) - len(set(found)) == 0
    assert len(acknowledged) >= 1350


async def test_a_folder_that_can_not_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = Settings(spool_dir=tmp_path / "file" / "spool")
    with pytest.raises(ConfigurationRefused, match="INGEST_SPOOL_DIR"):
        async with open_gateway_publisher(settings, cast("Runtime", None)):
            pass
