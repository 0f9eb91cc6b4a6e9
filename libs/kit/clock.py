"""Time as an argument: the one place that asks the operating system, and clocks that tests can move."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from libs.kit.errors import ConfigurationRefused

if TYPE_CHECKING:
    from libs.kit.settings import PlatformSettings

_REREAD_EVERY_S = 0.05


class Clock(Protocol):
    """`now` is aware UTC and may be moved by tests or jump; `monotonic` (seconds) never runs backwards and is never moved."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class _Setting(msgspec.Struct, frozen=True):
    """`now = anchor + (real now - anchor) * rate + offset`; without an anchor the rate counts from the file's time of change."""

    offset_s: float = 0.0
    rate: float = 1.0
    anchor: datetime | None = None


class FileClock:
    """A clock that all processes share through a JSON file `{"offset_s", "rate", "anchor"?}`; a missing file means real time.

    The file is looked at again at most every 50 ms, so a move reaches every process within that. Write it by rename: a torn
    file is ignored and the last good setting stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._setting = _Setting()
        self._origin = datetime.now(UTC)
        self._changed_ns = -1
        self._looked_at = -1.0
        self._refresh()

    def now(self) -> datetime:
        looked = time.monotonic()
        if looked - self._looked_at >= _REREAD_EVERY_S:
            self._looked_at = looked
            self._refresh()
        real = datetime.now(UTC)
        setting = self._setting
        if setting.rate == 1.0:
            return real + timedelta(seconds=setting.offset_s)
        return self._origin + (real - self._origin) * setting.rate + timedelta(seconds=setting.offset_s)

    def monotonic(self) -> float:
        return time.monotonic()

    def _refresh(self) -> None:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._changed_ns:
                return
            setting = msgspec.json.decode(self._path.read_bytes(), type=_Setting)
        except FileNotFoundError:
            self._setting, self._changed_ns = _Setting(), -1
            return
        except (OSError, msgspec.DecodeError):
            return
        anchor = setting.anchor or datetime.fromtimestamp(changed_ns / 1e9, UTC)
        self._origin = anchor if anchor.tzinfo else anchor.replace(tzinfo=UTC)
        self._setting, self._changed_ns = setting, changed_ns


class FakeClock:
    """For tests: stands still until moved. `monotonic` moves with it, but never back."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        self.set(self._now + by)

    def set(self, to: datetime) -> None:
        self._monotonic += max(0.0, (to - self._now).total_seconds())
        self._now = to


def write_file_clock(path: Path, *, offset_s: float = 0.0, rate: float = 1.0, anchor: datetime | None = None) -> None:
    """Move every process that shares the file, at once."""
    torn_free = path.with_name(path.name + ".new")
    torn_free.write_bytes(msgspec.json.encode(_Setting(offset_s=offset_s, rate=rate, anchor=anchor)))
    torn_free.replace(path)


def build_clock(settings: "PlatformSettings") -> Clock:
    """The clock this installation runs on. A movable one is refused in production."""
    if settings.clock is None:
        return SystemClock()
    if settings.env == "production":
        raise ConfigurationRefused("RAPPORT_CLOCK moves time for tests and is refused when RAPPORT_ENV=production. Unset it.")
    return FileClock(settings.clock)
