"""A load generator that costs little: raw HTTP/1.1 over asyncio transports, one request under way a connection."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from hdrh.histogram import HdrHistogram

HIGHEST_US = 60_000_000
_LENGTH = b"content-length: "


@dataclass(slots=True)
class LoadResult:
    """`latencies` in microseconds, from the first byte written to the last one read."""

    seconds: float = 0.0
    answers: int = 0
    errors: int = 0
    latencies: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, HIGHEST_US, 3))

    def percentile_ms(self, percentile: float) -> float:
        return round(float(self.latencies.get_value_at_percentile(percentile)) / 1000, 2)

    def note(self, began_s: float) -> None:
        """One more answer, to what began then (time.perf_counter())."""
        self.latencies.record_value(max(1, int((time.perf_counter() - began_s) * 1e6)))
        self.answers += 1

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last answer is complete."""

    def __init__(
        self, requests: Iterator[bytes], result: LoadResult, is_over: Callable[[], bool], due_s: Iterator[float] | None
    ) -> None:
        self._requests = requests
        self._result = result
        self._is_over = is_over
        self._due_s = due_s
        self._buffer = bytearray()
        self._began_s = 0.0
        self._is_finished = False
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lowered = bytes(self._buffer[:head]).lower()
        at = lowered.find(_LENGTH)
        length = int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        if self._buffer.startswith(b"HTTP/1.1 200"):
            self._result.note(self._began_s)
        else:
            self._result.errors += 1
        del self._buffer[: head + 4 + length]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.done.done():
            if not self._is_finished:
                self._result.errors += 1
            self.done.set_result(None)

    def _send(self) -> None:
        request = None if self._is_over() else next(self._requests, None)
        assert self._transport is not None  # noqa: S101 - connected
        if request is None:
            self._is_finished = True
            self._transport.close()
            return
        if self._due_s is None:
            self._write(request)
        else:
            asyncio.get_running_loop().call_later(next(self._due_s) - time.perf_counter(), self._write, request)

    def _write(self, request: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - connected
        self._began_s = time.perf_counter()
        self._transport.write(request)


def build_request(url: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    host = urlsplit(url).netloc
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def load(
    url: str, requests: Iterator[bytes], *, connections: int, seconds: float | None, per_second: float | None = None
) -> LoadResult:
    """Send requests over so many connections until the time is over or there are none left; as fast as they are answered,
    or so many a second.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    result = LoadResult()
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()

    def is_over() -> bool:
        return seconds is not None and time.perf_counter() - began_s >= seconds

    due_s = (began_s + number / per_second for number in itertools.count()) if per_second else None
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: _Connection(requests, result, is_over, due_s), host, port)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    result.seconds = time.perf_counter() - began_s
    return result
