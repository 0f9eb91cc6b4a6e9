"""The body of a request, bounded: as sent, or inflated where it is gzip or zlib, whatever the headers say about it."""

import zlib
from typing import Final

from msgspec import Struct
from starlette.requests import ClientDisconnect

from libs.kit.http import Message, Receive
from services.ingest.api.gate import Gate
from services.ingest.domain.limits import BATCH_BYTES, GZIP_MEMBERS

_GZIP: Final = b"\x1f\x8b"
_ZLIB: Final = b"\x78"  # "x": no JSON text begins with it
_ANY_WINDOW: Final = 47
"""zlib's word for "gzip or zlib, the largest window"."""
_DRAIN_BYTES: Final = 4 * BATCH_BYTES


class Body(Struct, frozen=True):
    """`complete` is false where it was larger than a batch may be; `data` is then its beginning."""

    data: bytes
    complete: bool


async def read_body(receive: Receive, gate: Gate) -> Body:
    """Read and inflate. rudder-sdk-node calls its gzip a form, so only the first bytes are asked what it is.

    Raises Overloaded where too much is being read at once: what comes slowly is held as long as it takes.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = _cut(message.get("body", b""))
    else:
        body = await _gather(message, receive, gate)
    if body.complete and (body.data.startswith(_GZIP) or body.data.startswith(_ZLIB)):
        return inflate(body.data)
    return body


async def _gather(message: Message, receive: Receive, gate: Gate) -> Body:
    """What comes in pieces. A little more than the limit is read and thrown away: the client gets to read the answer."""
    chunks: list[bytes] = []
    size = held = 0
    try:
        while True:
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            if size <= BATCH_BYTES:
                gate.hold(len(chunk))
                held += len(chunk)
                chunks.append(chunk)
            size += len(chunk)
            if not message.get("more_body") or size > _DRAIN_BYTES:
                break
            message = await receive()
    finally:
        gate.release(held)
    return _cut(b"".join(chunks))


def _cut(data: bytes) -> Body:
    return Body(data, complete=True) if len(data) <= BATCH_BYTES else Body(data[:BATCH_BYTES], complete=False)


def inflate(data: bytes) -> Body:
    """All members of the stream, up to the limit. What can't be inflated stays as it is: it is no JSON, and is told so."""
    parts: list[bytes] = []
    size, sent = 0, data
    while data:
        if len(parts) == GZIP_MEMBERS:
            return Body(sent, complete=True)
        stream = zlib.decompressobj(_ANY_WINDOW)
        try:
            part = stream.decompress(data, BATCH_BYTES + 1 - size)
        except zlib.error:
            return Body(sent, complete=True)
        parts.append(part)
        size += len(part)
        if size > BATCH_BYTES:
            return Body(b"".join(parts)[:BATCH_BYTES], complete=False)
        if not stream.eof:
            return Body(sent, complete=True)
        data = stream.unused_data
    return Body(b"".join(parts), complete=True)
