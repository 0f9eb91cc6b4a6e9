"""One source's records in the log, for people to look at: told apart by a header, so what isn't shown is never decoded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from libs.events.envelope import Incoming
from libs.kit.settings import PlatformSettings
from libs.messaging.tail import LogTail
from services.ingest.ports import SourceView

_SCANNED = 20_000
_AT_ONCE = 2_000


class KafkaSourceLog:
    """See services.ingest.ports.SourceLog.

    It looks through the last 20,000 records of a topic. Above some thousands of records a second what follows is a part of them:
    a person couldn't read more either, and the gateway has better things to do. As an async context manager it waits at its end
    for the connections of those who left.
    """

    def __init__(self, settings: PlatformSettings) -> None:
        self._settings = settings
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._closing:
            await asyncio.wait(self._closing)

    @asynccontextmanager
    async def open_view(self, source_ids: Sequence[str], topics: Sequence[str]) -> AsyncIterator[SourceView]:
        tail = LogTail(self._settings, topics)
        try:
            yield _View(tail, _build_filter(source_ids))
        finally:
            # A task of its own: who leaves in the middle is cancelled, at each await again, and the log's connections would stay.
            closing = asyncio.create_task(tail.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)


class _View:
    def __init__(self, tail: LogTail, is_own: Callable[[Incoming], bool]) -> None:
        self._tail = tail
        self._is_own = is_own

    async def look_back(self, limit: int) -> list[Incoming]:
        return (await self._tail.look_back(_SCANNED, self._is_own))[-limit:]

    async def read_on(self) -> list[Incoming]:
        return [record for record in await self._tail.latest(_AT_ONCE) if self._is_own(record)]


def _build_filter(source_ids: Sequence[str]) -> Callable[[Incoming], bool]:
    origins = frozenset(f"/sources/{source_id}".encode() for source_id in source_ids)
    return lambda record: record.headers.get("ce_source") in origins
