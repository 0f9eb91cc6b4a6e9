"""TLS as managed clusters have it: certificates, and servers that end TLS in front of ones built without."""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

HOST = "127.0.0.1"
_CHUNK = 65_536
# How a PostgreSQL client asks for TLS before it speaks it: length, code 1234.5679 (the protocol's SSLRequest).
_SSL_REQUEST = struct.pack(">ihh", 8, 1234, 5679)
Greeting = Literal["none", "postgres"]


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: whom clients trust, and a server's key (PKCS #8, as Java wants it) with its certificate."""

    authority: Path
    server: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server)
        return context


def make_certificates(folder: Path) -> Certificates:
    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    made = Certificates(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    made.server.write_bytes(key + b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return made


@contextlib.contextmanager
def tls_front(certificates: Certificates, target: tuple[str, int], greeting: Greeting = "none") -> Iterator[int]:
    """A port where TLS, and nothing else, is spoken; what comes in goes on in plain to `target`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tls-front", daemon=True)
    thread.start()
    front = _Front(certificates.server_context(), target, greeting)
    try:
        yield asyncio.run_coroutine_threadsafe(front.open(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(front.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Front:
    def __init__(self, context: ssl.SSLContext, target: tuple[str, int], greeting: Greeting) -> None:
        self._context = context
        self._target = target
        self._greeting = greeting
        self._server: asyncio.Server | None = None
        self._served: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        context = self._context if self._greeting == "none" else None
        self._server = await asyncio.start_server(self._accept, HOST, 0, ssl=context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                if self._greeting == "postgres":
                    if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                        return  # hostssl: whoever speaks plain isn't let in
                    writer.write(b"S")
                    await writer.start_tls(self._context)
                behind_reader, behind_writer = await asyncio.open_connection(*self._target)
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(_pump(reader, behind_writer))
                    pumps.create_task(_pump(behind_reader, writer))
            finally:
                writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side hung up: so does the other
    finally:
        writer.close()
