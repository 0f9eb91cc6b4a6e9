"""`make bench`: the platform as a whole, with everything on this machine. A table, and bench/reports/latest.json."""

import argparse
import asyncio
import json
import os
import platform as machine
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.client import LoadResult, load
from bench.phases import REPORT, STAFF, check, drain, find_settings, probe_under_load, read_profiles
from bench.running import ROOT, Running, measure, run
from bench.shop_load import SEGMENTS, ShopLoad
from libs.messaging.admin import compute_lag

GROUPS = ("profile", "segmentation", "loyalty")
SINGLE_CONNECTIONS = 128
BATCH_CONNECTIONS = 16


@dataclass(slots=True)
class Freshness:
    profile_ms: LoadResult = field(default_factory=LoadResult)
    facets_ms: LoadResult = field(default_factory=LoadResult)

    async def ask(self, client: httpx.AsyncClient, url: str, wait: dict[str, str]) -> None:
        began_s = time.perf_counter()
        (await client.get(url, params=wait, headers=STAFF)).raise_for_status()
        self.profile_ms.note(began_s)
        (await client.get(url, params=wait | {"wait_for_facets": "loyalty,segments"}, headers=STAFF)).raise_for_status()
        self.facets_ms.note(began_s)


class Bench:
    """One run against one platform; phases in the order in which they leave the least behind for the next."""

    def __init__(self, running: Running, seconds: float, customers: int) -> None:
        self.running = running
        self.seconds = seconds
        self.customers = customers
        self.report: dict[str, Any] = {}
        self.peak_rss = 0
        self._known: list[int] = []
        self.settings = find_settings(running)

    async def run(self) -> None:
        watching = asyncio.create_task(self._watch_memory())
        await self._set_up()
        await self._end_to_end("", ShopLoad(1, self.customers))
        await self._end_to_end("uniform_", ShopLoad(6, self.customers, "uniform"))
        await self._freshness()
        await self._profile_reads()
        await self._single()
        await self._batches()
        watching.cancel()
        self.report["peak_rss_mb"] = round(self.peak_rss / 1e6)

    async def _set_up(self) -> None:
        async with httpx.AsyncClient(headers=STAFF, timeout=60) as staff:
            for segment in SEGMENTS:
                (await staff.post(f"{self.running.urls['segmentation']}/v1/segments", json=segment)).raise_for_status()

    async def _end_to_end(self, prefix: str, shop: ShopLoad) -> None:
        """Sent as fast as the platform takes them in while it works on them, until all is committed everywhere."""
        events = max(20_000, int(self.seconds * 4_000)) // 100 * 100
        requests = shop.batch_requests(self.running.urls["ingest"], events // 100)
        self._known = sorted(shop.seen)
        before, changes = measure(self.running), await self._change_records()
        began_s = time.perf_counter()
        sent = await load(self.running.urls["ingest"], requests, connections=4, seconds=None)
        accepted_s = time.perf_counter() - began_s
        await self._drain()
        seconds = time.perf_counter() - began_s
        check(sent)
        cost = measure(self.running).since(before)
        self.report |= {
            f"{prefix}e2e_eps": round(events / seconds),
            f"{prefix}e2e_events": events,
            f"{prefix}e2e_seconds": round(seconds, 1),
            f"{prefix}e2e_accepted_eps": round(events / accepted_s),
            f"{prefix}core_us_per_event": round(sum(cost.values()) / events * 1e6, 1),
            f"{prefix}core_us_by_part": {part: round(used / events * 1e6, 1) for part, used in sorted(cost.items())},
            f"{prefix}changes_per_touchpoint": round((await self._change_records() - changes) / events, 3),
        }

    async def _freshness(self) -> None:
        """Accepted -> visible in the profile API, while half of what the platform can do is being sent."""
        per_second, seen = self.report["e2e_eps"] / 2, Freshness()
        shop, probes = ShopLoad(3, self.customers), ShopLoad(2, 1_000)
        await probe_under_load(self.running, shop, probes, per_second=per_second, seconds=self._phase_s, ask=seen.ask)
        await self._drain()
        self.report |= {
            "freshness_p50_ms": seen.profile_ms.percentile_ms(50),
            "freshness_p99_ms": seen.profile_ms.percentile_ms(99),
            "freshness_facets_p50_ms": seen.facets_ms.percentile_ms(50),
            "freshness_facets_p99_ms": seen.facets_ms.percentile_ms(99),
            "freshness_load_eps": round(per_second),
            "freshness_samples": seen.profile_ms.answers,
        }

    async def _profile_reads(self) -> None:
        read = await read_profiles(self.running, self._known[:2_000], self._phase_s)
        self.report |= {"profile_read_rps": round(read.per_second), "profile_read_p99_ms": read.percentile_ms(99)}

    async def _single(self) -> None:
        url = self.running.urls["ingest"]
        requests = ShopLoad(4, self.customers).single_requests(url, int(self._phase_s * 16_000))
        sent = await load(url, requests, connections=SINGLE_CONNECTIONS, seconds=self._phase_s)
        check(sent)
        self.report |= {
            "ingest_single_rps": round(sent.per_second),
            "ingest_single_p50_ms": sent.percentile_ms(50),
            "ingest_single_p99_ms": sent.percentile_ms(99),
        }
        await self._drain()

    async def _batches(self) -> None:
        """Acknowledged batches of 100. The rest of the platform works on them meanwhile: everything shares the machine."""
        url = self.running.urls["ingest"]
        requests = ShopLoad(5, self.customers).batch_requests(url, int(self._phase_s * 600))
        before = measure(self.running)
        sent = await load(url, requests, connections=BATCH_CONNECTIONS, seconds=self._phase_s)
        check(sent)
        used = measure(self.running).since(before)
        events = sent.answers * 100
        self.report |= {
            "ingest_batch_eps": round(events / sent.seconds),
            "ingest_batch_p50_ms": sent.percentile_ms(50),
            "ingest_batch_p99_ms": sent.percentile_ms(99),
            "ingest_core_us_per_event": round(used.get("ingest", 0.0) / events * 1e6, 1),
        }

    @property
    def _phase_s(self) -> float:
        return min(self.seconds, 30.0)

    async def _drain(self) -> None:
        """Until profile, segments and points of everything sent are committed."""
        await drain(self.settings, GROUPS)

    async def _change_records(self) -> int:
        """Records ever written to profile-changes: those that nobody's group has read are all that are there."""
        return sum((await compute_lag(self.settings, "bench-counts-only", ["profile-changes"])).values())

    async def _watch_memory(self) -> None:
        while True:
            self.peak_rss = max(self.peak_rss, measure(self.running).rss_bytes)
            await asyncio.sleep(1)


def describe_machine(seconds: float, customers: int) -> dict[str, Any]:
    packages = ("aiokafka", "asyncpg", "fastapi", "msgspec", "uvicorn", "uvloop")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": machine.python_version(),
        "machine": machine.machine(),
        "versions": {name: version(name) for name in packages},
        "revision": find_revision(),
        "seconds": seconds,
        "customers": customers,
    }


def find_revision() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    told = subprocess.run([git, "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return told.stdout.strip() or None


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the long phases; short ones are at most 30 s")
    parser.add_argument("--customers", type=int, default=20_000)
    arguments = parser.parse_args()
    # Told to end, it ends what it started, as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder, run(Path(folder)) as running:
        bench = Bench(running, arguments.seconds, arguments.customers)
        uvloop.run(bench.run())
    report = bench.report | {"ran": describe_machine(arguments.seconds, arguments.customers)}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, value in report.items():
        if not isinstance(value, dict):
            print(f"{name:28} {value:>12,}" if isinstance(value, int | float) else f"{name:28} {value}")
    print(f"core-us by part: {report['core_us_by_part']}")
    print(f"written to {REPORT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
