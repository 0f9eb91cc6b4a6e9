"""The spool's folder as one process sees it: what it appends to, what it drains, and what others left behind.

Blocking code, called by one thread at a time. Several processes may share the folder: a segment is its lock holder's, and the
folder's own lock orders who makes and who adopts one.
"""

import fcntl
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from libs.events.envelope import Outgoing
from libs.kit.logging import get_logger
from libs.kit.metrics import counter
from libs.messaging.errors import PublishFailed
from services.ingest.adapters.segments import Segment, encode_frames, sync_folder
from services.ingest.ports import Usage

SEGMENT_BYTES: Final = 16 * 1024 * 1024
_LEAST_SEGMENTS: Final = 4
_SUFFIX: Final = ".spool"
_REFUSED: Final = "refused"
_log = get_logger(__name__)

SYNCS = counter("ingest_spool_syncs_total", "Groups of records that were written to the spool's disk together.")

Frames = tuple[bytes, int]
"""Encoded records of one call, and how many they are."""


class SegmentFolder:
    """Oldest first: adopted segments, then our own; the last may be the one that is appended to."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // _LEAST_SEGMENTS)
        self._segments: deque[Segment] = deque()
        self._active: Segment | None = None
        self._reading: tuple[Segment, int, int] | None = None
        self._made = 0
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_folder(folder.parent)

    def write(self, calls: Sequence[Frames]) -> list[PublishFailed | None]:
        """Append and fsync, once for all of them; what became of each. A refused one may be in the file and be drained later."""
        outcomes: list[PublishFailed | None] = []
        touched: dict[Segment, tuple[int, int]] = {}
        try:
            for frames, count in calls:
                segment = self._find_room(len(frames))
                if segment is None:
                    outcomes.append(PublishFailed("the spool is full"))
                    continue
                touched.setdefault(segment, (segment.written, segment.records))
                segment.append(frames, count)
                outcomes.append(None)
            for segment in touched:
                segment.sync()
                SYNCS.inc()
        except OSError as error:
            # What a disk that failed once has of these segments nobody knows: they take nothing more.
            _log.error("spool_not_written", reason=type(error).__name__, number=error.errno)
            for segment, (written, records) in touched.items():
                with suppress(OSError):
                    segment.seal(written, records)
            self._active = None
            return [PublishFailed("the spool's disk took nothing")] * len(calls)
        return outcomes

    def read(self, max_records: int, max_bytes: int) -> list[Outgoing]:
        """The oldest records that aren't confirmed; the same again until they are."""
        for segment in list(self._segments):
            records, end = segment.read(max_records, max_bytes)
            if records:
                self._reading = segment, end, len(records)
                return records
            if segment is not self._active:
                self._finish(segment)
        return []

    def confirm(self) -> None:
        """What `read` gave last needs to be kept no longer."""
        if self._reading is None:
            return
        segment, end, count = self._reading
        self._reading = None
        segment.drain(end, count)
        if segment.waiting_bytes == 0 and segment is not self._active:
            self._finish(segment)

    def set_aside(self, record: Outgoing) -> None:
        """Keep a record that the log refuses for what is in it where a person can look at it. Raises OSError."""
        with (self._folder / _REFUSED).open("ab") as kept:
            kept.write(encode_frames([record]))
            kept.flush()
            os.fsync(kept.fileno())
        sync_folder(self._folder)

    def adopt(self) -> list[Segment]:
        """Take over what ended processes left, oldest first; it is drained before our own that is younger."""
        ours = {segment.path for segment in self._segments}
        with self._locked():
            left = [path for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if path not in ours]
            found = [segment for path in left if (segment := Segment.adopt(path)) is not None]
        if found:
            self._segments = deque(sorted([*found, *self._segments], key=lambda segment: segment.path.name))
        return found

    def rest(self) -> None:
        """Nothing is waiting: an idle spool leaves no file."""
        for segment in list(self._segments):
            if segment.waiting_bytes == 0:
                self._finish(segment)

    def close(self) -> None:
        """What isn't drained is the next process's."""
        self.rest()
        while self._segments:
            segment = self._segments.popleft()
            with suppress(OSError):
                segment.seal(segment.written, segment.records)
            segment.close()
        self._active = None

    def measure(self) -> Usage:
        """What waits to be drained."""
        return Usage(sum(one.records for one in self._segments), sum(one.waiting_bytes for one in self._segments))

    def _find_room(self, size_bytes: int) -> Segment | None:
        """The active segment, or a new one; None where the folder may not grow further. Raises OSError."""
        if self._active is not None:
            if self._active.has_room(size_bytes):
                return self._active
            self._active.seal(self._active.written, self._active.records)
        self._active = None
        wanted_bytes = max(self._segment_bytes, size_bytes)
        with self._locked():
            # Every file, whoever's, is as long as it may grow: their lengths are what the folder can come to.
            if self._measure_folder() + wanted_bytes > self._max_bytes:
                return None
            self._made += 1
            path = self._folder / f"{time.time_ns():020}-{os.getpid()}-{self._made}{_SUFFIX}"
            self._active = Segment.create(path, wanted_bytes)
        self._segments.append(self._active)
        return self._active

    def _measure_folder(self) -> int:
        total = 0
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _finish(self, segment: Segment) -> None:
        self._segments.remove(segment)
        if segment is self._active:
            self._active = None
        segment.discard()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
