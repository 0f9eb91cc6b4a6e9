import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.kit.clock import FakeClock, FileClock, SystemClock, build_clock, write_file_clock
from libs.kit.errors import ConfigurationRefused
from libs.kit.settings import PlatformSettings

TOLERANCE = timedelta(seconds=5)


def age_clock(clock: FileClock) -> None:
    """As if the last look at the file was long ago."""
    clock._looked_at = -1.0


def test_the_system_clock_is_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert abs(SystemClock().now() - datetime.now(UTC)) < TOLERANCE


def test_without_a_file_time_is_real(tmp_path: Path) -> None:
    assert abs(FileClock(tmp_path / "clock").now() - datetime.now(UTC)) < TOLERANCE


def test_an_offset_moves_a_running_clock(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    clock = FileClock(path)
    write_file_clock(path, offset_s=86_400)
    age_clock(clock)
    assert abs(clock.now() - datetime.now(UTC) - timedelta(days=1)) < TOLERANCE


def test_a_rate_counts_from_the_anchor(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    anchor = datetime.now(UTC) - timedelta(hours=1)
    write_file_clock(path, rate=24.0, anchor=anchor, offset_s=60)
    assert abs(FileClock(path).now() - (anchor + timedelta(days=1, seconds=60))) < 24 * TOLERANCE


def test_a_rate_without_anchor_counts_from_the_change_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    write_file_clock(path, rate=0.0)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert FileClock(path).now() == datetime.fromtimestamp(1_700_000_000, UTC)


def test_removing_the_file_brings_real_time_back(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    write_file_clock(path, offset_s=86_400)
    clock = FileClock(path)
    path.unlink()
    age_clock(clock)
    assert abs(clock.now() - datetime.now(UTC)) < TOLERANCE


@pytest.mark.parametrize("torn", [b"", b'{"offset_s": 8', b'{"rate": "fast"}'])
def test_a_torn_file_leaves_the_last_setting(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "clock"
    write_file_clock(path, offset_s=86_400)
    clock = FileClock(path)
    path.write_bytes(torn)
    os.utime(path, (time.time() + 10, time.time() + 10))
    age_clock(clock)
    assert abs(clock.now() - datetime.now(UTC) - timedelta(days=1)) < TOLERANCE


def test_the_file_is_not_read_at_every_call(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    clock = FileClock(path)
    clock._looked_at = time.monotonic() + 1000  # as if looked at just now, however slow this machine is
    write_file_clock(path, offset_s=86_400)
    assert abs(clock.now() - datetime.now(UTC)) < TOLERANCE


def test_a_fake_clock_moves_only_by_hand() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(timedelta(days=2))
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 1, 3, tzinfo=UTC), 172_800.0)
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert (clock.now().year, clock.monotonic()) == (2025, 172_800.0)


def test_settings_choose_the_clock(tmp_path: Path) -> None:
    assert isinstance(build_clock(PlatformSettings()), SystemClock)
    assert isinstance(build_clock(PlatformSettings(clock=tmp_path / "clock")), FileClock)


def test_a_movable_clock_is_refused_in_production(tmp_path: Path) -> None:
    unchecked = PlatformSettings.model_construct(env="production", clock=tmp_path / "clock")
    with pytest.raises(ConfigurationRefused, match="RAPPORT_CLOCK"):
        build_clock(unchecked)
