"""What several benchmarks do alike: read profiles, probe how fresh they are, wait until all is worked off, and keep figures."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx

from bench.client import LoadResult, build_request, load
from bench.running import ROOT, Running
from bench.shop_load import ShopLoad
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import consumer_lag

REPORT = ROOT / "bench" / "reports" / "latest.json"
STAFF = {"authorization": "Bearer dev-api-key"}
READ_CONNECTIONS = 64
SMALL_BATCH = 20
PROBE_EVERY_S = 0.1
DRAIN_TIMEOUT_S = 600

Ask = Callable[[httpx.AsyncClient, str, dict[str, str]], Awaitable[None]]
"""Asks for what a probe made: client, the profile's URL, and the parameters that wait for the touchpoint."""


def find_settings(running: Running) -> PlatformSettings:
    environment = running.environment
    return PlatformSettings(kafka=environment["RAPPORT_KAFKA"], postgres=environment["RAPPORT_POSTGRES"])


def check(result: LoadResult) -> None:
    if result.errors or not result.answers:
        raise RuntimeError(f"{result.errors} errors, {result.answers} answers: not a measurement")


async def drain(settings: PlatformSettings, groups: Sequence[str]) -> None:
    """Until all that was sent is committed by these consumer groups."""
    deadline = time.perf_counter() + DRAIN_TIMEOUT_S
    while time.perf_counter() < deadline:
        behind = sum([sum((await consumer_lag(settings, group)).values()) for group in groups])
        if behind == 0:
            return
        # Asking costs the broker and us a connection: the further behind, the less often.
        await asyncio.sleep(min(max(behind / 10_000, 0.1), 2.0))
    raise TimeoutError(f"{', '.join(groups)} doesn't catch up")


async def read_profiles(running: Running, customers: Sequence[int], seconds: float) -> LoadResult:
    """Full views of these customers, again and again."""
    url = running.urls["profile"]
    paths = [build_request(url, "GET", f"/v1/profiles/user_id:u{number}", STAFF) for number in customers]

    def forever() -> Iterator[bytes]:
        while True:
            yield from paths

    read = await load(url, forever(), connections=READ_CONNECTIONS, seconds=seconds)
    check(read)
    return read


async def probe_under_load(
    running: Running, shop: ShopLoad, probes: ShopLoad, *, per_second: float, seconds: float, ask: Ask
) -> None:
    """`ask` for what each probe made, ten times a second, while `shop` sends at this pace."""
    url = running.urls["ingest"]
    requests = shop.batch_requests(url, int(per_second * seconds) // SMALL_BATCH, SMALL_BATCH)
    steady = asyncio.create_task(load(url, requests, connections=8, seconds=None, per_second=per_second / SMALL_BATCH))
    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as probing:
        while not steady.done():
            probing.create_task(_probe(running, client, probes.make_call(), ask))
            await asyncio.sleep(PROBE_EVERY_S)
    check(await steady)


async def _probe(running: Running, client: httpx.AsyncClient, call: dict[str, Any], ask: Ask) -> None:
    answer = await client.post(
        f"{running.urls['ingest']}/v1/batch",
        json={"batch": [call]},
        auth=("dev-write-key", ""),
        headers={"Prefer": "return=representation"},
    )
    url = f"{running.urls['profile']}/v1/profiles/user_id:{call['userId']}"
    await ask(client, url, {"wait_for": answer.json()["accepted"][0]["id"], "wait_ms": "10000"})


def add_to_report(figures: dict[str, Any]) -> None:
    """Beside what other benchmarks have left there."""
    kept = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(kept | figures, indent=2) + "\n", encoding="utf-8")
