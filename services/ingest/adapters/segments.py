"""One file of the spool: finished records, each framed and checksummed, appended by one process and read by one.

A frame is `length (4 bytes), CRC-32 (4 bytes), record`; the file is as long as it may grow, so what lies behind the last frame is
zeros. Decides what is a record and what is the torn end of a write that nobody was told had succeeded.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct as Layout
from typing import Final, Self

import msgspec

from libs.events.envelope import Headers, Outgoing

_HEAD: Final = Layout("<II")
_LARGEST: Final = 64 * 1024 * 1024
"""Longer than any record can be: a length beyond it is no length."""
_ENCODER: Final = msgspec.msgpack.Encoder()


class _Stored(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A record as it will lie on Kafka."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None


_DECODER: Final = msgspec.msgpack.Decoder(_Stored)


def encode_frames(records: Sequence[Outgoing]) -> bytes:
    parts: list[bytes] = []
    for record in records:
        data = _ENCODER.encode((record.topic, record.key, record.value, record.headers, record.timestamp_ms))
        parts.append(_HEAD.pack(len(data), zlib.crc32(data)))
        parts.append(data)
    return b"".join(parts)


class Segment:
    """An open file whose lock is this process's; closing gives the lock up, as does any end of the process.

    `written` is how far it is filled, `drained` how far the log has it; `records` count between them.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.written = 0
        self.drained = 0
        self.records = 0
        self.damaged = 0
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, size_bytes: int) -> Self:
        """A new, empty one that may grow to `size_bytes`; its name is on disk when this returns. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, size_bytes)
            sync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """One that its writer left behind. None where that one lives, or where it is gone already. Raises OSError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                os.close(descriptor)
                return None
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        segment = cls(path, descriptor)
        segment._measure()
        return segment

    @property
    def waiting_bytes(self) -> int:
        return self.written - self.drained

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    def has_room(self, size_bytes: int) -> bool:
        return self.written + size_bytes <= self.size_bytes

    def append(self, frames: bytes, count: int) -> None:
        """Not on disk before `sync`. Raises OSError: then nothing more may be appended."""
        view = memoryview(frames)
        at = self.written
        while view:
            done = os.pwrite(self._descriptor, view, at)
            view, at = view[done:], at + done
        self.written = at
        self.records += count

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def seal(self, at: int, records: int) -> None:
        """Give back the room that isn't used, and forget what was appended behind `at`, where the disk didn't take it."""
        self.written, self.records = at, records
        os.ftruncate(self._descriptor, at)

    def read(self, max_records: int, max_bytes: int) -> tuple[list[Outgoing], int]:
        """The oldest records that aren't drained, at least one where there is one, and where they end."""
        records: list[Outgoing] = []
        end = self.drained
        for frame_end, stored in self._frames(self.drained, self.written):
            if records and frame_end - self.drained > max_bytes:
                break
            end = frame_end
            if stored is not None:
                records.append(Outgoing(stored.topic, stored.key, stored.value, stored.headers, stored.timestamp_ms))
            if len(records) == max_records:
                break
        return records, end

    def drain(self, end: int, count: int) -> None:
        """The log has the records up to `end`."""
        self.drained = end
        self.records = self.records - count if self.waiting_bytes else 0

    def discard(self) -> None:
        """Remove the file. The lock goes last: nobody finds a file that is neither drained nor anybody's."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def _measure(self) -> None:
        """Find the end, count the records, and cut off what is torn."""
        end = records = damaged = 0
        for frame_end, stored in self._frames(0, self.size_bytes):
            end = frame_end
            if stored is None:
                damaged += 1
            else:
                records += 1
        self.damaged = damaged
        self.seal(end, records)

    def _frames(self, start: int, end: int) -> Iterator[tuple[int, _Stored | None]]:
        """Where each frame ends, and its record; None for one whose bytes are no longer those that were written.

        A length that can't be one is the end: a write was cut off there, or nothing was ever written.
        """
        at = start
        while at + _HEAD.size <= end:
            length, checksum = _HEAD.unpack(os.pread(self._descriptor, _HEAD.size, at))
            if not 0 < length <= _LARGEST or at + _HEAD.size + length > end:
                return
            data = os.pread(self._descriptor, length, at + _HEAD.size)
            at += _HEAD.size + length
            yield at, _DECODER.decode(data) if zlib.crc32(data) == checksum else None


def sync_folder(folder: Path) -> None:
    """A file's name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
