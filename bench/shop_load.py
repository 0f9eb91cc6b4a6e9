"""What the benchmark sends: a shop's mixture of visits and orders by many customers, seeded, as a Segment SDK would."""

import base64
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import msgspec

from bench.client import build_request

AUTH = "Basic " + base64.b64encode(b"dev-write-key:").decode()
HEADERS = {"authorization": AUTH, "content-type": "application/json"}
ORDER_SHARE = 0.2
SDK_CONTEXT = {
    "library": {"name": "bench", "version": "1"},
    "locale": "de-DE",
    "page": {"url": "https://shop.example/p/1", "path": "/p/1"},
}
SEGMENTS: tuple[dict[str, Any], ...] = (
    {"id": "customers", "name": "Customers", "rule": {"view": "aggregates.orders.count", "gte": 1}},
    {"id": "repeat-buyers", "name": "Repeat buyers", "rule": {"view": "aggregates.orders.occasions", "gte": 2}},
    {"id": "vip", "name": "VIP", "rule": {"view": "aggregates.orders.net_minor.EUR", "gte": 30000}},
    {
        "id": "browsers",
        "name": "Only looking",
        "rule": {"all": [{"did": "Product Viewed", "times": {"gte": 3}}, {"not": {"did": "Order Completed"}}]},
    },
)


Spread = Literal["zipf", "uniform", "once"]


class ShopLoad:
    """Calls of about 600 bytes by `customers` customers, a device each; every fifth is an order.

    `zipf` is how shops are visited: the n-th busiest customer comes 1/n times as often as the first, and whoever
    is there now makes several calls. `uniform` is the worst case: nearly every call of a poll is somebody else's. With `once`
    every call is of a customer who was never seen before.
    """

    def __init__(self, seed: int, customers: int, spread: Spread = "zipf") -> None:
        self._random = Random(seed)
        self._customers = range(customers)
        self._spread = spread
        busyness = (1 / (rank + 1) if spread == "zipf" else 1.0 for rank in self._customers)
        self._cumulated = list(itertools.accumulate(busyness))
        self._seed = seed
        self._number = 0
        self.seen: set[int] = set()
        self._now = datetime.now(UTC)

    def make_call(self) -> dict[str, Any]:
        random = self._random
        self._number += 1
        if self._spread == "once":
            customer = self._seed * 100_000_000 + self._number
        else:
            customer = random.choices(self._customers, cum_weights=self._cumulated)[0]
        self.seen.add(customer)
        at = self._now - timedelta(seconds=random.random() * 86_400 * 30)
        call: dict[str, Any] = {
            "type": "track",
            "messageId": f"bench-{self._seed}-{self._number}",
            "userId": f"u{customer}",
            "anonymousId": f"a{customer}",
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "context": SDK_CONTEXT,
        }
        product = {
            "product_id": f"p{random.randrange(500)}",
            "name": "Espresso Nero 1 kg",
            "category": "coffee",
            "price": 17.9,
            "quantity": 1,
        }
        if random.random() < ORDER_SHARE:
            money = {"order_id": f"o-{self._seed}-{self._number}", "revenue": round(random.uniform(3, 200), 2), "currency": "EUR"}
            return call | {"event": "Order Completed", "properties": money | {"products": [product]}}
        return call | {
            "event": "Product Viewed",
            "properties": product | {"brand": "Hafen", "url": "https://shop.example/p/1", "position": 3},
        }

    def single_requests(self, url: str, count: int) -> Iterator[bytes]:
        """Made beforehand: the generator must not be what is measured."""
        return iter(
            [build_request(url, "POST", "/v1/track", HEADERS, msgspec.json.encode(self.make_call())) for _ in range(count)]
        )

    def batch_requests(self, url: str, batches: int, size: int = 100) -> Iterator[bytes]:
        made = []
        for _ in range(batches):
            body = msgspec.json.encode({"batch": [self.make_call() for _ in range(size)]})
            made.append(build_request(url, "POST", "/v1/batch", HEADERS, body))
        return iter(made)
