"""`python -m bench.ingest_profile`: what the pure part of ingest costs an event, in microseconds of one core, without any I/O.

Least of many short runs, in processor time, so that neighbours on the machine count as little as possible.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from libs.events.touchpoints import Identifier, compute_touchpoint_id
from libs.identity import IdentityKey
from libs.kit.auth import Source
from libs.messaging.fake_broker import FakeBroker
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.calls import Call, read_call
from services.ingest.domain.identifiers import IdentifierBook
from services.ingest.domain.normalise import Draft, normalise
from services.ingest.domain.requests import Batch, read_batch, read_single
from services.ingest.handlers.records import Recorder
from services.ingest.handlers.take_touchpoints import Intake

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SOURCE = Source("bench", "Bench", "server", verified=True)
KEY = IdentityKey(b"only for measuring: 32 bytes ...")
BATCH = 100
CUSTOMERS = 5000
MIXES = ("plain", "traits", "browser", "orders")
AGENTS = tuple(
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    for version in range(60, 160)
)


def make_event(random: Random, number: int, mix: str) -> dict[str, Any]:
    """About 600 bytes, as a server SDK sends them; `traits` names e-mail and phone too, `browser` the page and the user agent,
    `orders` has two lines.
    """
    customer = random.randrange(CUSTOMERS)
    event: dict[str, Any] = {
        "type": "track",
        "event": "Product Viewed",
        "userId": f"user-{customer}",
        "anonymousId": f"2f1c7c1e-9d1b-4b7e-8f8b-0c2f9d6f{customer:04}",
        "messageId": f"node-next-1700000000000-2f1c7c1e-9d1b-4b7e-8f8b-{number:012}",
        "timestamp": "2026-11-22T11:59:58.123Z",
        "properties": {
            "product_id": "p-123",
            "sku": "sku-123",
            "category": "shoes",
            "name": "Trail runner",
            "brand": "Acme",
            "price": 89.99,
            "quantity": 1,
            "currency": "EUR",
            "url": "https://shop.example/p/123",
        },
        "context": {"library": {"name": "analytics-node", "version": "3.1.0"}, "userAgent": "Mozilla/5.0", "locale": "de-DE"},
    }
    if mix == "traits":
        event["context"]["traits"] = {"email": f"Ada{customer}@Example.com", "phone": f"+4915112{customer:06}"}
    if mix == "browser":
        page = {"url": "https://shop.example/p/123?utm_source=x", "path": "/p/123", "title": "Trail runner", "referrer": ""}
        event["context"] |= {"page": page, "userAgent": AGENTS[customer % len(AGENTS)]}
    if mix == "orders":
        lines = [{"product_id": f"p{n}", "sku": f"s{n}", "category": "shoes", "price": 44.99, "quantity": 1} for n in range(2)]
        event["event"] = "Order Completed"
        event["properties"] = {"order_id": f"o{number}", "revenue": 89.98, "currency": "EUR", "products": lines}
    return event


def make_body(mix: str) -> bytes:
    random, numbers = Random(1), count()
    events = [make_event(random, next(numbers), mix) for _ in range(BATCH)]
    return msgspec.json.encode({"batch": events, "sentAt": "2026-11-22T11:59:59.500Z"})


def least_us(work: Callable[[], object], per: int, *, seconds: float) -> float:
    """Least time of one run in microseconds per event, over as many runs as fit into the time."""
    least, over = float("inf"), time.thread_time() + seconds
    while time.thread_time() < over:
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
    return least / per * 1e6


def measure_mix(mix: str, seconds: float) -> Iterator[tuple[str, float]]:
    ids = (UUID(int=number) for number in count(1))
    intake = Intake(KEY, region="DE", publisher=FakeBroker().publisher(), new_id=lambda: next(ids))
    book: IdentifierBook[Identifier] = IdentifierBook(KEY, region="DE", make=Identifier)
    arrival = Arrival(SOURCE, "/v1/batch", NOW, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    body = make_body(mix)
    batch = read_batch(body)
    assert isinstance(batch, Batch)  # noqa: S101 - it is ours
    items = [bytes(item) for item in batch.items]
    calls = [call for item in items if isinstance(call := read_call(item, kind=None, source=SOURCE), Call)]
    touchpoint_id = compute_touchpoint_id(SOURCE.id, "m")

    def judge(call: Call) -> object:
        return normalise(call, touchpoint_id=touchpoint_id, source=SOURCE, received_at=NOW, skew=timedelta(0), book=book)

    drafts = [draft for call in calls if isinstance(draft := judge(call), Draft)]
    recorder = Recorder.of(arrival)
    yield "split the body", least_us(lambda: [bytes(item) for item in _items(body)], BATCH, seconds=seconds)
    yield "read a call", least_us(lambda: [read_call(item, kind=None, source=SOURCE) for item in items], BATCH, seconds=seconds)
    yield (
        "make its id",
        least_us(lambda: [compute_touchpoint_id("bench", str(c.message_id)) for c in calls], BATCH, seconds=seconds),
    )
    yield "normalise it", least_us(lambda: [judge(call) for call in calls], BATCH, seconds=seconds)
    yield "write its record", least_us(lambda: [recorder.record(d, touchpoint_id, "m") for d in drafts], BATCH, seconds=seconds)
    yield "all, in batches", least_us(lambda: intake.judge_calls(arrival, _read(body)), BATCH, seconds=seconds)
    yield (
        "all, one by one",
        least_us(
            lambda: [intake.judge_calls(arrival, read_single(item), kind="track") for item in items], BATCH, seconds=seconds
        ),
    )


def _read(body: bytes) -> Batch:
    batch = read_batch(body)
    assert isinstance(batch, Batch)  # noqa: S101 - it is ours
    return batch


def _items(body: bytes) -> Any:
    return _read(body).items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    seconds = parser.parse_args().seconds
    print("microseconds an event")
    columns = {mix: dict(measure_mix(mix, seconds)) for mix in MIXES}
    print(f"{'':<20}" + "".join(f"{mix:>10}" for mix in MIXES))
    print(f"{'bytes an event':<20}" + "".join(f"{len(make_body(mix)) // BATCH:>10}" for mix in MIXES))
    for stage in columns["plain"]:
        print(f"{stage:<20}" + "".join(f"{columns[mix][stage]:>10.1f}" for mix in MIXES))


if __name__ == "__main__":
    main()
