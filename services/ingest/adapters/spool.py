"""The spool on this process's own disk: appends of many requests share one fsync, and no file access holds up the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from libs.events.envelope import Outgoing
from libs.kit.logging import get_logger
from services.ingest.adapters.segment_folder import SegmentFolder
from services.ingest.adapters.segments import encode_frames
from services.ingest.ports import Usage

T = TypeVar("T")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Append:
    frames: bytes
    count: int
    done: "asyncio.Future[None]"


class FileSpool:
    """See services.ingest.ports.Spool."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = SegmentFolder(folder, max_bytes=max_bytes)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._waiting: list[_Append] = []
        self._committing: asyncio.Task[None] | None = None
        self._stored = Usage(0, 0)
        self._coming = Usage(0, 0)
        self.is_taking = True

    @classmethod
    async def open(cls, folder: Path, *, max_bytes: int) -> Self:
        """With what ended processes left in the folder. Raises OSError."""
        spool = await asyncio.to_thread(cls, folder, max_bytes=max_bytes)
        await spool.adopt()
        return spool

    @property
    def usage(self) -> Usage:
        return Usage(self._stored.records + self._coming.records, self._stored.size_bytes + self._coming.size_bytes)

    async def append(self, records: Sequence[Outgoing]) -> None:
        append = _Append(encode_frames(records), len(records), asyncio.get_running_loop().create_future())
        self._expect(append, 1)
        self._waiting.append(append)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await append.done

    async def read(self, *, max_records: int, max_bytes: int) -> Sequence[Outgoing]:
        return await self._run(lambda: self._folder.read(max_records, max_bytes))

    async def confirm(self) -> None:
        await self._run(self._folder.confirm)

    async def set_aside(self, record: Outgoing) -> None:
        await self._run(lambda: self._folder.set_aside(record))

    async def adopt(self) -> None:
        found = await self._run(self._folder.adopt)
        if found:
            records, damaged = sum(segment.records for segment in found), sum(segment.damaged for segment in found)
            _log.warning("spool_adopted", segments=len(found), records=records, damaged=damaged)

    async def rest(self) -> None:
        await self._run(self._folder.rest)

    async def close(self) -> None:
        if self._committing is not None:
            await asyncio.wait({self._committing})
        await self._run(self._folder.close)
        self._thread.shutdown()

    async def _commit(self) -> None:
        """Group after group: what comes while one is being written is the next."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            frames = [(append.frames, append.count) for append in group]
            outcomes = await self._run(partial(self._folder.write, frames))
            self.is_taking = None in outcomes
            for append, outcome in zip(group, outcomes, strict=True):
                self._expect(append, -1)
                if append.done.cancelled():
                    continue
                if outcome is None:
                    append.done.set_result(None)
                else:
                    append.done.set_exception(outcome)
        self._committing = None

    def _expect(self, append: _Append, sign: int) -> None:
        coming = self._coming
        self._coming = Usage(coming.records + sign * append.count, coming.size_bytes + sign * len(append.frames))

    async def _run(self, work: Callable[[], T]) -> T:
        """In the one thread that touches files; what is stored afterwards is noted before anything else happens."""

        def work_and_measure() -> tuple[T, Usage]:
            return work(), self._folder.measure()

        result, self._stored = await asyncio.get_running_loop().run_in_executor(self._thread, work_and_measure)
        return result
