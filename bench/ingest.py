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

from bench.__main__ import describe_machine
from bench.ingest_profile import measure_mix
from bench.phases import REPORT, add_to_report
from bench.running import ROOT, Running, measure, run

LOAD = Path(__file__).with_name("load.lua")
PARTS = ("ingest", "kafka")
BATCH = 100
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


def measure_memory_mb(running: Running) -> int:
    """Resident; what forked processes share counts once."""
    return round(sum(process.memory_full_info().pss for name, process in running.processes() if name == "ingest") / 1e6)


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
        "ingest_rss_mb": measure_memory_mb(running),
    }
    return report


def measure_one(seconds: float) -> dict[str, Any]:
    """What a single process comes to, in the loads that matter."""
    with started(1) as running:
        load(running, connections=32, seconds=min(seconds, 5), batch=BATCH)
        single = load(running, connections=128, seconds=seconds)
        batches = load(running, connections=32, seconds=seconds, batch=BATCH)
        return {
            "ingest_one_process_single_rps": round(single.events_per_second),
            "ingest_one_process_single_p99_ms": round(single.p99_ms, 1),
            "ingest_one_process_single_core_us": round(single.core_us, 1),
            "ingest_one_process_batch_eps": round(batches.events_per_second),
            "ingest_one_process_batch_core_us": round(batches.core_us, 1),
            "ingest_one_process_rss_mb": measure_memory_mb(running),
        }


@contextmanager
def started(processes: int) -> Iterator[Running]:
    """Broker, database and a gateway of so many processes."""
    environment = {"INGEST_PROCESSES": str(processes)}
    with (
        tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder,
        run(Path(folder), only=("ingest",), more=environment) as running,
    ):
        yield running


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="of the gateway (default: as many as cores)")
    asked = parser.parse_args()
    seconds = asked.seconds
    # Told to end, it ends what it started, as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with started(asked.processes) as running:
        figures = {"ingest_processes": asked.processes} | measure_all(running, seconds)
    figures |= measure_one(seconds)
    stages = {mix: {stage: round(us, 1) for stage, us in measure_mix(mix, 1.0)} for mix in ("plain", "traits")}
    add_to_report(figures | {"ran_ingest": describe_machine(seconds, 20_000), "ingest_stage_us": stages})
    for name, value in figures.items():
        print(f"{name:40} {value:>12,}")
    for mix, costs in stages.items():
        print(f"microseconds an event, {mix}: {costs}")
    print(f"written to {REPORT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
