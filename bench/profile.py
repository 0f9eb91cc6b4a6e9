"""`make bench-profile`: from touchpoints that lie in the log to committed profiles, and back to who reads them.

A table, and its figures in bench/reports/latest.json beside those of the other benchmarks. The log is filled while the service
stands still, so that what fills it costs nothing of what is measured.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.__main__ import describe_machine
from bench.client import LoadResult, load
from bench.phases import REPORT, STAFF, add_to_report, check, drain, find_settings, probe_under_load, read_profiles
from bench.running import ROOT, Running, measure, run
from bench.shop_load import ShopLoad

PARTS = ("kafka", "postgres", "profile")
BATCH = 100
FILL_CONNECTIONS = 4
HOT_PROBE = 2_000
HOT_PROFILE = 100_000


@contextmanager
def stopped(running: Running, part: str) -> Iterator[None]:
    """The part's processes stand still meanwhile."""
    processes = [process for name, process in running.processes() if name == part]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


class ProfileBench:
    """Phases against one running profile service."""

    def __init__(self, running: Running, events: int, customers: int, seconds: float) -> None:
        self._running = running
        self._events = events // BATCH * BATCH
        self._customers = customers
        self._seconds = seconds
        self._settings = find_settings(running)
        self.report: dict[str, Any] = {}

    async def run(self, *, profiles: int, hot: bool) -> None:
        busy = ShopLoad(11, self._customers)
        await self._apply("warm_up", ShopLoad(10, self._customers), BATCH * 50)
        await self._apply("zipf", busy, self._events)
        await self._apply("once", ShopLoad(12, 1, "once"), self._events // 2)
        await self._reads(sorted(busy.seen)[:2_000])
        await self._freshness(self.report["profile_zipf_eps"] / 2)
        if hot:
            await self._apply("hot_first", ShopLoad(13, 1), HOT_PROBE)
            await self._apply("hot_between", ShopLoad(14, 1), HOT_PROFILE)
            await self._apply("hot_last", ShopLoad(15, 1), HOT_PROBE)
        if profiles:
            await self._apply("crowd", ShopLoad(16, 1, "once"), profiles)
            await self._apply("zipf_in_crowd", ShopLoad(17, self._customers), self._events)
            await self._apply("once_in_crowd", ShopLoad(18, 1, "once"), self._events // 2)

    async def _apply(self, name: str, shop: ShopLoad, events: int) -> None:
        """How fast what lies in the log is committed, and what a touchpoint costs, broker and database with it."""
        url = self._running.urls["ingest"]
        requests = shop.batch_requests(url, events // BATCH)
        with stopped(self._running, "profile"):
            check(await load(url, requests, connections=FILL_CONNECTIONS, seconds=None))
            before = measure(self._running)
        began_s = time.perf_counter()
        await drain(self._settings, ("profile",))
        seconds = time.perf_counter() - began_s
        cost = measure(self._running).since(before)
        self.report |= {
            f"profile_{name}_eps": round(events / seconds),
            f"profile_{name}_core_us": round(sum(cost.get(part, 0.0) for part in PARTS) / events * 1e6, 1),
        }

    async def _reads(self, known: list[int]) -> None:
        read = await read_profiles(self._running, known, self._seconds)
        self.report |= {"profile_get_rps": round(read.per_second), "profile_get_p99_ms": read.percentile_ms(99)}

    async def _freshness(self, per_second: float) -> None:
        """Accepted -> readable, while half of what the service can do is being sent."""
        seen = LoadResult()

        async def ask(client: httpx.AsyncClient, url: str, wait: dict[str, str]) -> None:
            began_s = time.perf_counter()
            (await client.get(url, params=wait, headers=STAFF)).raise_for_status()
            seen.note(began_s)

        shop, probes = ShopLoad(20, self._customers), ShopLoad(21, 1_000)
        await probe_under_load(self._running, shop, probes, per_second=per_second, seconds=self._seconds, ask=ask)
        self.report |= {
            "profile_fresh_p50_ms": seen.percentile_ms(50),
            "profile_fresh_p99_ms": seen.percentile_ms(99),
            "profile_fresh_load_eps": round(per_second),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-profile", description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="of the long phases")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of reading, and of the probes")
    parser.add_argument("--profiles", type=int, default=0, help="measure again among so many (a million takes minutes)")
    parser.add_argument("--hot", action="store_true", help="one customer's touchpoints at the first and at the 100,000th")
    asked = parser.parse_args()
    # Told to end, it ends what it started, as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder, run(Path(folder), only=("ingest", "profile")) as running:
        bench = ProfileBench(running, asked.events, asked.customers, asked.seconds)
        uvloop.run(bench.run(profiles=asked.profiles, hot=asked.hot))
    add_to_report(bench.report | {"ran_profile": describe_machine(asked.seconds, asked.customers)})
    for name, value in bench.report.items():
        print(f"{name:34} {value:>12,}")
    print(f"written to {REPORT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
