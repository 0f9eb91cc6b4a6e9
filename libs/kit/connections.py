"""One HTTP/1.1 connection of ours: uvicorn's, with limits for clients that are slow, silent or endless, and a gentle end.

uvicorn bounds the time between two requests and nothing else. Here one look a second at all connections finds those whose request
doesn't come, whose answer isn't read, or that stay after a stop; a request that comes in one piece pays next to nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from libs.kit.metrics import counter

if TYPE_CHECKING:
    import asyncio
    from collections import deque

    from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
    from uvicorn.config import Config

SWEEP_S: Final = 1.0
_LEAST_BYTES_PER_S: Final = 500
_LARGEST_HEAD_BYTES: Final = 64 * 1024
_LINGER_S: Final = 1.0
_LARGEST_JOINED_BYTES: Final = 64 * 1024
_OF_THE_CONNECTION: Final = frozenset((b"connection", b"transfer-encoding"))
_CUT: Final = counter(
    "http_connections_cut_total", "Connections that were ended for what their client did or didn't.", ("cause",)
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`patience_s`: for a request's head, and for the rest of it once more for every 500 bytes a second that do come.

    `unread_s`: for a client that doesn't read its answer. `idle_s`: between an answer and the next request; longer than load
    balancers wait, so that it is never us who cut a request off. Beyond `max_connections` new ones are answered 503 at once.
    """

    patience_s: float = 20.0
    unread_s: float = 60.0
    idle_s: float = 75.0
    max_connections: int = 10_000


class ConnectionsState(ServerState):
    """What all connections of a process share. While it drains, each answer is its connection's last."""

    def __init__(self, limits: ConnectionLimits) -> None:
        super().__init__()
        self.limits = limits
        self.is_draining = False

    def sweep(self, now_s: float) -> None:
        for connection in list(self.connections):
            if isinstance(connection, Connection):
                connection.look(now_s)


class Cycle(RequestResponseCycle):
    """A request and its answer. A plain answer, of one body with its length in the head, leaves in a single write.

    uvicorn's own `send` writes the head and the body one after the other, and asks two regular expressions about each header:
    a tenth of what a small request costs. What isn't plain goes its way.
    """

    _held: tuple[HTTPResponseStartEvent, bytes] | None = None

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            head = self._write_head(message)
            self._held = None if head is None else (message, head)
            if head is not None:
                return
        elif self._held is not None:
            (start, head), self._held = self._held, None
            if message["type"] == "http.response.body" and self._finish(head, message.get("body", b""), message):
                return
            await super().send(start)
        await super().send(message)

    def _write_head(self, start: HTTPResponseStartEvent) -> bytes | None:
        """None where it isn't plain, or no head at all: a line break in a header would begin another."""
        headers = [*self.default_headers, *start.get("headers", ())]
        parts = [STATUS_LINE[start["status"]]]
        has_length = False
        for name, value in headers:
            lowered = name.lower()
            if lowered == b"content-length":
                has_length = True
            elif lowered in _OF_THE_CONNECTION:
                return None
            parts += (lowered, b": ", value, b"\r\n")
        parts.append(b"\r\n")
        head, lines = b"".join(parts), len(headers) + 2
        return head if has_length and head.count(b"\r") == head.count(b"\n") == lines else None

    def _finish(self, head: bytes, body: bytes, message: HTTPResponseBodyEvent) -> bool:
        """Whether that was all. Somebody has to listen, and to go on listening."""
        if (
            len(body) > _LARGEST_JOINED_BYTES
            or message.get("more_body")
            or not self.keep_alive
            or self.flow.write_paused
            or self.disconnected
            or self.scope["method"] == "HEAD"
            or b"\r\ncontent-length: %d\r\n" % len(body) not in head
        ):
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        self.transport.write(head + body)
        self.on_response()
        return True


class Connection(HttpToolsProtocol):
    """See the module. `_since_s` is when the request that isn't complete began; None between requests: idle since `_idle_s`."""

    server_state: ConnectionsState
    pipeline: deque[tuple[RequestResponseCycle, ASGI3Application]]

    def __init__(
        self,
        config: Config,
        server_state: ConnectionsState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._since_s: float | None = self.loop.time()
        self._idle_s = 0.0
        self._got_bytes = 0
        self._has_head = False
        self._unread: tuple[int, float] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.server_state.limits.max_connections:
            self._refuse(b"503 Service Unavailable", "too_many", b"retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        self._got_bytes += len(data)
        super().data_received(data)
        if self._got_bytes > _LARGEST_HEAD_BYTES and self._since_s is not None and not self._has_head:
            self._refuse(b"431 Request Header Fields Too Large", "head_too_large")

    def on_message_begin(self) -> None:
        self._since_s = self.loop.time()
        self._got_bytes = 0
        self._has_head = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._has_head = True
        super().on_headers_complete()
        if self.server_state.is_draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._since_s = None
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = Cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """As uvicorn's, but who stays idle is found by the look at all connections: a timer for each answer costs more."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_s = self.loop.time()

    def shutdown(self) -> None:
        """A client may be about to use what looks idle: it has a moment, and is told to go with the answer."""
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(_LINGER_S, self._close_idle)

    def look(self, now_s: float) -> None:
        """End it where it is beyond its limits."""
        limits = self.server_state.limits
        if self.transport.is_closing() or self.flow.write_paused:
            unread_bytes = self.transport.get_write_buffer_size()
            if self._unread is None or unread_bytes != self._unread[0]:
                self._unread = unread_bytes, now_s
            elif now_s - self._unread[1] > limits.unread_s:
                _CUT.labels("answer_unread").inc()
                self.transport.abort()
            return
        self._unread = None
        if self._since_s is not None and self.flow.read_paused:
            self._since_s = now_s  # it is we who don't read
        elif self._since_s is not None and now_s - self._since_s > limits.patience_s + self._earned_s():
            self._refuse(b"408 Request Timeout", "request_too_slow" if self._got_bytes else "silent")
        elif self._since_s is None and not self._is_answering() and now_s - self._idle_s > limits.idle_s:
            self.transport.close()

    def _earned_s(self) -> float:
        """Whoever has the answer needn't go on sending."""
        if not self._has_head or self.cycle.response_complete:
            return 0.0
        return self._got_bytes / _LEAST_BYTES_PER_S

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_idle(self) -> None:
        if not self._is_answering() and (self._since_s is None or not self._got_bytes):
            self.transport.close()

    def _refuse(self, status: bytes, cause: str, header: bytes = b"") -> None:
        """Say why where nothing else is being said, and close."""
        if self.transport.is_closing():
            return
        _CUT.labels(cause).inc()
        if self.cycle is None or not self.cycle.response_started:
            self.transport.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n%s\r\n" % (status, header))
        self.transport.close()
