"""Clients that are slow, silent, endless or many, on real sockets, and those that behave and must not be hurt by it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.requests import ClientDisconnect

from libs.kit.asgi import AsgiApp, Message, Receive, Scope, Send, read_body, send_json
from libs.kit.connections import Connection, ConnectionLimits
from libs.kit.process import _notice_the_dead, _Server
from tests.support.eventually import eventually

QUICK = ConnectionLimits(patience_s=0.5, unread_s=1.0, max_connections=20)
LARGE = 64 * 1024 * 1024


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return int(head.split(b" ", 2)[1]), await self.reader.readexactly(length)

    async def is_closed(self) -> bool:
        with suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True


@dataclass
class Running:
    server: _Server
    port: int
    gate: asyncio.Event

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            client.writer.transport.abort()

    @property
    def open_connections(self) -> int:
        return len(self.server.server_state.connections)


@asynccontextmanager
async def serve(limits: ConnectionLimits = QUICK, answer: AsgiApp | None = None) -> AsyncIterator[Running]:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            if scope["path"] == "/large":
                await send_json(send, 200, b"x" * LARGE)
                return
            body = await read_body(scope, receive, 1024 * 1024)
            if scope["path"] == "/wait":
                await gate.wait()
            await send_json(send, 200, b'{"got": %d}' % len(body))

    with closing(_notice_the_dead(socket.socket())) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        config = uvicorn.Config(answer or app, http=Connection, log_config=None, lifespan="off", timeout_graceful_shutdown=5)
        running = Running(_Server(config, limits), listener.getsockname()[1], gate)
        serving = asyncio.create_task(running.server.serve(sockets=[listener]))
        await eventually(lambda: running.server.started)
        yield running
        running.server.should_exit = True
        await serving


def request(path: str = "/", body: bytes = b"", length: int | None = None) -> bytes:
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (
        path.encode(),
        len(body) if length is None else length,
        body,
    )


async def pass_time(seconds: float) -> None:
    """These tests are about clients that take their time, and a server that may."""
    await asyncio.sleep(seconds)


async def drip(client: Client, data: bytes, every_s: float) -> None:
    """One byte after the other, until the other side has had enough."""
    with suppress(ConnectionError):
        for byte in data:
            await client.send(bytes([byte]))
            await asyncio.sleep(every_s)


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serve() as running, running.connect() as client:
        assert await asyncio.wait_for(client.answer(), 5) == (408, b"")
        assert await client.is_closed()


@pytest.mark.parametrize("beginning", [b"", request(length=1000)], ids=["in the head", "in the body"])
async def test_a_request_that_drips_is_cut_off(beginning: bytes) -> None:
    async with serve() as running, running.connect() as client:
        await client.send(beginning)
        dripping = asyncio.create_task(drip(client, b"POST / HTTP/1.1\r\nx: " + b"a" * 1000, 0.05))
        status, _ = await asyncio.wait_for(client.answer(), 5)
        assert status == 408
        dripping.cancel()
        await eventually(lambda: running.open_connections == 0)


async def test_a_slow_but_steady_upload_is_waited_for() -> None:
    async with serve() as running, running.connect() as client:
        await client.send(request(length=60_000))
        for _ in range(30):
            await client.send(b"x" * 2_000)
            await pass_time(0.1)
        assert await asyncio.wait_for(client.answer(), 5) == (200, b'{"got": 60000}')


async def test_the_time_we_take_is_not_the_clients() -> None:
    async with serve() as running, running.connect() as client:
        await client.send(request("/wait"))
        await pass_time(2.5)
        running.gate.set()
        assert (await client.answer())[0] == 200


async def test_pipelined_requests_are_all_answered_in_order_however_long_the_first_takes() -> None:
    async with serve() as running, running.connect() as client:
        await client.send(request("/wait"), *(request(body=b"x" * number) for number in range(1, 6)))
        await pass_time(2.0)
        running.gate.set()
        assert [await client.answer() for _ in range(6)] == [(200, b'{"got": %d}' % number) for number in range(6)]


async def test_a_kept_connection_may_rest_between_requests() -> None:
    async with serve() as running, running.connect() as client:
        for _ in range(2):
            await client.send(request(body=b"x"))
            assert await client.answer() == (200, b'{"got": 1}')
            await pass_time(2.0)
        assert running.open_connections == 1


async def test_a_connection_that_stays_idle_is_closed_without_a_word() -> None:
    async with serve(ConnectionLimits(idle_s=1.0)) as running, running.connect() as client:
        await client.send(request())
        await client.answer()
        assert await asyncio.wait_for(client.is_closed(), 5)


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def answering(*messages: Message) -> AsgiApp:
    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return answer


OK = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("messages", "headers", "content"),
    [
        ([start(OK), body(b"ok")], [b"content-length: 2"], b"ok"),
        ([start((b"Content-Length", b"2")), body(b"ok")], [b"content-length: 2"], b"ok"),
        ([start(OK), body(b"o", more=True), body(b"k")], [b"content-length: 2"], b"ok"),
        ([start((b"content-length", b"70000")), body(b"x" * 70_000)], [b"content-length: 70000"], b"x" * 70_000),
        ([start(), body(b"ok")], [b"transfer-encoding: chunked"], b"2\r\nok\r\n0\r\n\r\n"),
        ([start(OK, (b"Connection", b"close")), body(b"ok")], [b"content-length: 2", b"connection: close"], b"ok"),
    ],
    ids=["plain", "capitals", "in two parts", "large", "no length", "the last"],
)
async def test_an_answer_is_what_the_app_said_however_it_is_written(
    messages: list[Message], headers: list[bytes], content: bytes
) -> None:
    async with serve(answer=answering(*messages)) as running, running.connect() as client:
        for _ in range(1 if b"connection: close" in headers else 2):
            await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            status, *lines = (await client.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
            assert status == b"HTTP/1.1 200 OK"
            assert [line for line in lines if not line.startswith((b"date:", b"server:"))] == headers
            assert await client.reader.readexactly(len(content)) == content


async def test_the_answer_to_head_has_no_body() -> None:
    async with serve(answer=answering(start(OK), body(b"ok"))) as running, running.connect() as client:
        await client.send(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        for _ in range(2):
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("value", [b"1\r\nset-cookie: a", b"1\rset-cookie: a"], ids=["a line", "half a line"])
async def test_a_header_cannot_begin_another(value: bytes) -> None:
    async with serve(answer=answering(start(OK, (b"x", value)), body(b"ok"))) as running, running.connect() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await asyncio.wait_for(client.reader.read(-1), 5) == b""


@pytest.mark.parametrize("messages", [[start(OK)], [start(OK), start(OK)]], ids=["no body", "two heads"])
async def test_half_an_answer_is_our_fault_and_says_so(messages: list[Message]) -> None:
    async with serve(answer=answering(*messages)) as running, running.connect() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 500")
        assert await asyncio.wait_for(client.reader.read(-1), 5) == b"Internal Server Error"


async def test_an_answer_shorter_than_it_says_ends_the_connection() -> None:
    async with serve(answer=answering(start((b"content-length", b"3")), body(b"ok"))) as running, running.connect() as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(client.reader.read(-1), 5)).endswith(b"ok")


async def test_an_endless_head_is_cut_off() -> None:
    async with serve() as running, running.connect() as client:
        with suppress(ConnectionError):
            await client.send(b"POST / HTTP/1.1\r\n", *(b"x-%d: %s\r\n" % (number, b"a" * 8_000) for number in range(200)))
        await eventually(lambda: running.open_connections == 0)


async def test_who_has_the_answer_and_still_sends_is_cut_off() -> None:
    async with serve() as running, running.connect() as client:

        async def send_for_ever() -> None:
            with suppress(ConnectionError):
                await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    await client.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                    await asyncio.sleep(0)

        sending = asyncio.create_task(send_for_ever())
        await eventually(lambda: running.open_connections == 1)
        await eventually(lambda: running.open_connections == 0)
        sending.cancel()


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    async with serve() as running:
        with socket.create_connection(("127.0.0.1", running.port)) as deaf:
            deaf.sendall(request("/large"))
            await eventually(lambda: running.open_connections == 1)
            await eventually(lambda: running.open_connections == 0)


async def test_who_reads_a_large_answer_slowly_gets_it_all() -> None:
    async with serve() as running, running.connect() as client:
        await client.send(request("/large"))
        await client.reader.readuntil(b"\r\n\r\n")
        left = LARGE
        while left:
            left -= len(await client.reader.read(4 * 1024 * 1024))
            await pass_time(0.02)


async def test_one_connection_too_many_is_told_to_come_again() -> None:
    async with serve() as running:
        kept = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(QUICK.max_connections)]
        await eventually(lambda: running.open_connections == QUICK.max_connections)
        async with running.connect() as client:
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in head
        for _, writer in kept:
            writer.close()


async def test_a_stop_answers_what_comes_in_its_first_moment_and_says_that_it_was_the_last() -> None:
    async with serve(ConnectionLimits()) as running, running.connect() as busy, running.connect() as idle:
        for client in (busy, idle):
            await client.send(request())
            await client.answer()
        await busy.send(request("/wait"))
        running.server.should_exit = True
        await eventually(lambda: running.server.server_state.is_draining)
        await idle.send(request(body=b"late"))
        head = await idle.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        running.gate.set()
        assert (await busy.answer())[0] == 200
        assert await busy.is_closed()


async def test_a_stop_closes_what_stays_idle() -> None:
    async with serve(ConnectionLimits()) as running, running.connect() as silent, running.connect() as idle:
        await idle.send(request())
        await idle.answer()
        running.server.should_exit = True
        assert await asyncio.wait_for(idle.is_closed(), 4)
        assert await asyncio.wait_for(silent.is_closed(), 4)
