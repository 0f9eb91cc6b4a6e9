"""A spool in memory. It passes the real one's contract suite; nothing of it survives the process."""

import asyncio
from collections import deque
from collections.abc import Sequence

from libs.events.envelope import Outgoing
from libs.messaging.errors import PublishFailed
from services.ingest.adapters.segments import encode_frames
from services.ingest.ports import Usage


class FakeSpool:
    """`left_behind` is what an ended process would have left; set `is_broken` and its disk takes nothing."""

    def __init__(self, *, max_bytes: int = 1024 * 1024) -> None:
        self.is_taking = True
        self.is_broken = False
        self.left_behind: list[Outgoing] = []
        self.refused: list[Outgoing] = []
        self._max_bytes = max_bytes
        self._records: deque[Outgoing] = deque()
        self._read = 0

    @property
    def usage(self) -> Usage:
        return Usage(len(self._records), len(encode_frames(list(self._records))))

    async def append(self, records: Sequence[Outgoing]) -> None:
        await asyncio.sleep(0)
        self.is_taking = not self.is_broken and self.usage.size_bytes + len(encode_frames(records)) <= self._max_bytes
        if not self.is_taking:
            raise PublishFailed("the spool is full")
        self._records.extend(records)

    async def read(self, *, max_records: int, max_bytes: int) -> Sequence[Outgoing]:
        await asyncio.sleep(0)
        records: list[Outgoing] = []
        for record in self._records:
            if records and (len(records) == max_records or len(encode_frames([*records, record])) > max_bytes):
                break
            records.append(record)
        self._read = len(records)
        return records

    async def confirm(self) -> None:
        await asyncio.sleep(0)
        for _ in range(self._read):
            self._records.popleft()
        self._read = 0

    async def set_aside(self, record: Outgoing) -> None:
        await asyncio.sleep(0)
        self.refused.append(record)

    async def adopt(self) -> None:
        await asyncio.sleep(0)
        self._records.extendleft(reversed(self.left_behind))
        self.left_behind.clear()

    async def rest(self) -> None:
        await asyncio.sleep(0)
