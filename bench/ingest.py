"""`make bench-ingest`: the gateway and the broker alone, loaded by wrk. A table, and its figures in bench/reports/latest.json."""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.__main__ import describe_machine
from bench.ingest_profile import measure_mix
from bench.phases import REPORT, add_to_report
from bench.running import ROOT, Running, measure, run
from deploy.local.ports import find_free

LOAD = Path(__file__).with_name("load.lua")
PARTS = ("ingest", "kafka")
BATCH = 100
GATEWAY_START_S = 30.0
_seeds = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What wrk saw, and what gateway and broker used for it, in core-microseconds an event."""

    events_per_second: float
    p50_ms: float
    p99_ms: float
    core_us: float


def load(
    running: Running, *, connections: int, seconds: float, batch: int = 1, traits: bool = False, url: str | None = None
) -> Loaded:
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("bench-ingest needs wrk: apt-get install wrk")
    variables = {"BENCH_BATCH": str(batch), "BENCH_TRAITS": str(int(traits)), "BENCH_SEED": f"{time.time_ns()}-{next(_seeds)}"}
    command = [wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s", "--timeout", "10s"]
    before = measure(running)
    said = subprocess.run(  # noqa: S603
        [*command, "--script", str(LOAD), url or running.urls["ingest"]],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = measure(running).since(before)
    seen = json.loads(said.splitlines()[-1])
    if seen["errors"] or not seen["requests"]:
        raise RuntimeError(f"not a measurement: {seen}")
    events = seen["requests"] * batch
    core_us = sum(used.get(name, 0.0) for name in PARTS) / events * 1e6
    return Loaded(events / seen["seconds"], seen["p50_us"] / 1000, seen["p99_us"] / 1000, core_us)


@contextmanager
def gateways(running: Running, count: int) -> Iterator[str]:
    """So many processes on one port of their own, as several stand behind one address; their URL."""
    port = find_free()
    environment = os.environ | running.environment | {"INGEST_PORT": str(port), "INGEST_REUSE_PORT": "true"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "services.ingest.main", "api"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        for _ in range(count)
    ]
    try:
        deadline = time.monotonic() + GATEWAY_START_S
        while any(not listens(process.pid, port) for process in started):
            if time.monotonic() > deadline:
                raise TimeoutError("a gateway doesn't listen")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def listens(pid: int, port: int) -> bool:
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in psutil.Process(pid).net_connections())


def gateway_rss_mb(running: Running) -> int:
    return round(sum(process.memory_info().rss for name, process in running.processes() if name == "ingest") / 1e6)


def measure_all(running: Running, seconds: float) -> dict[str, Any]:
    report: dict[str, Any] = {}
    load(running, connections=32, seconds=min(seconds, 5), batch=BATCH)  # the broker's code is compiled, caches are warm
    for connections in (32, 128, 512):
        single = load(running, connections=connections, seconds=seconds)
        report |= {
            f"ingest_single_rps_{connections}": round(single.events_per_second),
            f"ingest_single_p99_ms_{connections}": round(single.p99_ms, 1),
            f"ingest_single_core_us_{connections}": round(single.core_us, 1),
        }
    batches = load(running, connections=32, seconds=seconds, batch=BATCH)
    mixed = load(running, connections=32, seconds=seconds, batch=BATCH, traits=True)
    report |= {
        "ingest_single_rps": report["ingest_single_rps_128"],
        "ingest_single_p99_ms": report["ingest_single_p99_ms_128"],
        "ingest_batch_eps": round(batches.events_per_second),
        "ingest_batch_p99_ms": round(batches.p99_ms, 1),
        "ingest_batch_core_us": round(batches.core_us, 1),
        "ingest_batch_traits_eps": round(mixed.events_per_second),
        "ingest_batch_traits_core_us": round(mixed.core_us, 1),
        "ingest_rss_mb": gateway_rss_mb(running),
    }
    return report


def measure_scaling(running: Running, seconds: float) -> dict[str, Any]:
    """Two gateways on the cores that they share with everything else."""
    with gateways(running, 2) as url:
        single = load(running, connections=128, seconds=seconds, url=url)
        batches = load(running, connections=32, seconds=seconds, batch=BATCH, url=url)
    return {
        "ingest_two_gateways_single_rps_128": round(single.events_per_second),
        "ingest_two_gateways_batch_eps": round(batches.events_per_second),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    seconds = parser.parse_args().seconds
    # Told to end, it ends what it started, as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder, run(Path(folder), only=("ingest",)) as running:
        figures = measure_all(running, seconds) | measure_scaling(running, seconds)
    stages = {mix: {stage: round(us, 1) for stage, us in measure_mix(mix, 1.0)} for mix in ("plain", "traits")}
    add_to_report(figures | {"ran_ingest": describe_machine(seconds, 20_000), "ingest_stage_us": stages})
    for name, value in figures.items():
        print(f"{name:40} {value:>12,}")
    for mix, costs in stages.items():
        print(f"microseconds an event, {mix}: {costs}")
    print(f"written to {REPORT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
