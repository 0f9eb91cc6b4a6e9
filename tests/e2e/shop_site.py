"""A shop's website of an origin of its own, and the line between its visitors and ingest, which can be cut."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages"
HOST = "127.0.0.1"
CHUNK = 65_536


class Line:
    """A TCP line to ingest. While it is cut, nobody answers at its address."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for end in list(self._ends):
                end.transport.abort()
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target_port)
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._ends -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class Site:
    """Pages by path. `scripts` are the SDKs' files, by the paths under which a site's own build would serve them."""

    def __init__(self, scripts: Mapping[str, bytes]) -> None:
        self._pages: dict[str, tuple[str, bytes]] = {
            **{path: ("text/javascript", script) for path, script in scripts.items()},
            "/away": ("text/html", b"<!doctype html><title>Elsewhere</title>Bye"),
            "/favicon.ico": ("image/x-icon", b""),
        }
        self.url = ""

    def publish(self, path: str, template: str, ingest: str, *, calls: str = "", options: Any = None) -> str:
        """The page's address. `calls` is the script that follows the loading of the SDK."""
        text = (PAGES / template).read_text(encoding="utf-8")
        said = {"INGEST": ingest, "OPTIONS": json.dumps(options or {}), "CALLS": calls}
        for word, value in said.items():
            text = text.replace(word, value)
        self._pages[path] = ("text/html", text.encode())
        return f"{self.url}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode().partition("?")[0]
            kind, body = self._pages.get(path, ("text/plain", b"no such page"))
            status = "200 OK" if path in self._pages else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def open_site(scripts: Mapping[str, bytes]) -> AsyncIterator[Site]:
    site = Site(scripts)
    server = await asyncio.start_server(site.answer, HOST, 0)
    site.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield site
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def open_line(target_port: int) -> AsyncIterator[Line]:
    line = Line(target_port)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
