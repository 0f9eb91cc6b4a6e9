"""Senders that remember: which ids ingest said 200 to, and every way in which a connection went wrong."""

import asyncio
import base64
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

from libs.events.codec import decode
from libs.events.topics import TOUCHPOINTS
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.settings import PlatformSettings
from libs.messaging.kafka_source import KafkaSource
from tests.support.brokers import join
from tests.support.eventually import eventually

KEY = base64.b64encode(b"dev-write-key:").decode()
USERS = 5_000
SEEN = {
    "product_id": "p-123",
    "name": "Trail runner",
    "price": 89.99,
    "currency": "EUR",
    "url": "https://shop.example/" + "x" * 99,
}
ANSWER_WITHIN_S = 30.0


@dataclass
class AckedLoad:
    """`answers` by status, `broken` by what the operating system called it, `slowest_s` of the answers with 200."""

    url: str
    per_call: int = 20
    pause_s: float = 0.0
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    is_over: bool = False
    _prefix: str = field(default_factory=lambda: uuid4().hex[:12])
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def send(self) -> None:
        """One connection, one call under way; what wasn't acknowledged is sent again, as SDKs do."""
        parts = urlsplit(self.url)
        while not self.is_over:
            ids = [f"{self._prefix}-{next(self._numbers)}" for _ in range(self.per_call)]
            request = build_request(parts.netloc, ids)
            while not self.is_over and not await self._exchange(parts.hostname or "", parts.port or 80, request, ids):
                await asyncio.sleep(0.05)

    async def _exchange(self, host: str, port: int, request: bytes, ids: list[str]) -> bool:
        """Calls over one connection until one isn't answered with 200 or the connection ends; whether the first call was."""
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            self.broken[type(error).__name__] += 1
            return False
        is_first = True
        try:
            while True:
                began_s = time.monotonic()
                writer.write(request)
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    status, is_last = await read_answer(reader)
                self.answers[status] += 1
                if status != 200:
                    return not is_first
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
                self.acknowledged.update(ids)
                is_first = False
                if is_last or self.is_over:
                    return True
                await asyncio.sleep(self.pause_s)
                ids = [f"{self._prefix}-{next(self._numbers)}" for _ in range(self.per_call)]
                request = build_request(f"{host}:{port}", ids)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.broken[type(error).__name__] += 1
            return not is_first
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def build_request(host: str, ids: list[str]) -> bytes:
    calls = [
        {"type": "track", "event": "Product Viewed", "userId": f"u{hash(one) % USERS}", "messageId": one, "properties": SEEN}
        for one in ids
    ]
    body = json.dumps({"batch": calls}).encode()
    head = f"POST /v1/batch HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Status, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1]), b"connection: close" in head


@asynccontextmanager
async def sending(url: str, *, connections: int = 16, per_call: int = 20, pause_s: float = 0.0) -> AsyncIterator[AckedLoad]:
    load = AckedLoad(url, per_call, pause_s)
    senders = [asyncio.create_task(load.send()) for _ in range(connections)]
    try:
        await eventually(lambda: len(load.acknowledged) > 20 * per_call)
        yield load
    finally:
        load.is_over = True
        await asyncio.gather(*senders)


async def read_message_ids(settings: PlatformSettings, *, until: set[str], within_s: float = 60.0) -> Counter[str]:
    """How often each message id lies in the log. Returns when all of `until` do; fails where nothing comes for so long before."""
    source = KafkaSource(settings, f"reader-{uuid4().hex[:8]}")
    found: Counter[str] = Counter()
    missing = set(until)
    await join(source, TOUCHPOINTS.name, within_s=60)
    last_s = time.monotonic()
    try:
        while True:
            records = await source.poll(TOUCHPOINTS.name, max_records=2_000, max_bytes=10_000_000, timeout_s=0.5)
            for record in records:
                touchpoint = decode(record)
                assert isinstance(touchpoint, TouchpointRecorded)
                found[touchpoint.message_id] += 1
                missing.discard(touchpoint.message_id)
            if not missing and not records:
                return found
            if records:
                last_s = time.monotonic()
            assert time.monotonic() - last_s < within_s, f"{len(missing)} of {len(until)} acknowledged ids aren't in the log"
    finally:
        await source.close()
