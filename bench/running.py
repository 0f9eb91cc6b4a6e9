"""The platform the benchmark runs against, in a home of its own, and what its processes cost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PORTS = ("INGEST_PORT", "PROFILE_PORT", "SEGMENTATION_PORT", "ENGAGEMENT_PORT", "LOYALTY_PORT")
ADDRESSES = ("RAPPORT_KAFKA", "RAPPORT_POSTGRES", "RAPPORT_REDIS")


@dataclass(frozen=True, slots=True)
class Running:
    home: Path

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.home / "state.json").read_text(encoding="utf-8"))
        return state

    @property
    def urls(self) -> dict[str, str]:
        urls: dict[str, str] = self.state["urls"]
        return urls

    @property
    def environment(self) -> dict[str, str]:
        environment: dict[str, str] = self.state["environment"]
        return environment

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """Every process of every part, with the part's name; PostgreSQL's backends too."""
        found = []
        for part in self.state["parts"]:
            with suppress(psutil.Error, TypeError):
                process = psutil.Process(part["pid"])
                found += [(part["name"], each) for each in (process, *process.children(recursive=True))]
        return found


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds by part, ended children included, and resident memory in bytes."""

    cpu_s: dict[str, float]
    rss_bytes: int

    def since(self, before: "Cost") -> dict[str, float]:
        return {name: used - before.cpu_s.get(name, 0.0) for name, used in self.cpu_s.items()}


def measure(running: Running) -> Cost:
    cpu_s: dict[str, float] = {}
    rss = 0
    for name, process in running.processes():
        with suppress(psutil.Error):
            times = process.cpu_times()
            cpu_s[name] = cpu_s.get(name, 0.0) + times.user + times.system
            # Shared memory once: PostgreSQL's backends all show its buffers.
            rss += process.memory_info().rss if name != "postgres" else process.memory_info().rss - process.memory_info().shared
    return Cost(cpu_s, rss)


@contextmanager
def run(home: Path, *, only: Sequence[str] = (), more: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Started on free ports by the same command an operator uses, stopped at the end. `more`: settings of the environment."""
    environment = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    environment |= {"RAPPORT_HOME": str(home), "RAPPORT_LOG_LEVEL": "warning", **dict.fromkeys(PORTS, "0"), **more}
    command = [sys.executable, "-m", "cli.main"]
    chosen = ["--only", ",".join(only)] if only else []
    subprocess.run([*command, "up", "--detach", *chosen], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        yield Running(home)
    finally:
        subprocess.run([*command, "down"], cwd=ROOT, env=environment, check=False, stdout=subprocess.DEVNULL)  # noqa: S603
