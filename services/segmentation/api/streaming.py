"""Answers that are streamed from one moment's state of the database, and end with their reader."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from libs.kit.db import Database, Tx
from libs.kit.times import format_utc
from services.segmentation.errors import TooManyStreams

SNAPSHOT_HEADER: Final = "Rapport-Snapshot-At"
_LONGEST_STALL_S: Final = 30.0
_MOST_STREAMS: Final = 2
"""In one process: each holds a connection of the pool to its end."""


class Streams:
    """How many run in this process."""

    def __init__(self) -> None:
        self.running = 0


class SnapshotResponse(StreamingResponse):
    """Chunks read under one snapshot, whose moment the header tells. A reader who takes nothing for 30 s is cut off."""

    def __init__(
        self,
        database: Database,
        read: Callable[[Tx], AsyncIterator[bytes]],
        streams: Streams,
        *,
        longest_s: float,
        **options: Any,
    ) -> None:
        super().__init__(_nothing(), **options)
        self._database = database
        self._read = read
        self._streams = streams
        self._longest_s = longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.running >= _MOST_STREAMS:
            detail = f"{_MOST_STREAMS} streams run already. Come again when one has ended."
            raise TooManyStreams(detail, headers={"Retry-After": "10"})
        self._streams.running += 1
        try:
            async with asyncio.timeout(self._longest_s), self._database.snapshot() as snapshot:
                self.headers[SNAPSHOT_HEADER] = format_utc(await snapshot.fetchval("SELECT now()"))
                async with aclosing(self._read(snapshot)) as chunks:  # type: ignore[type-var]
                    self.body_iterator = chunks
                    await super().__call__(scope, receive, _with_patience(send))
        finally:
            self._streams.running -= 1


def _with_patience(send: Send) -> Send:
    """The snapshot keeps what has changed since from being cleaned up: it isn't held for somebody who went away."""

    async def send_soon(message: Message) -> None:
        async with asyncio.timeout(_LONGEST_STALL_S):
            await send(message)

    return send_soon


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield
