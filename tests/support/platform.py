"""The whole platform as an operator starts it (`rapport up --detach`), in a home of its own, and a way to hurt it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from libs.kit.settings import PlatformSettings

ROOT = Path(__file__).parents[2]
PORTS = ("INGEST_PORT", "PROFILE_PORT", "SEGMENTATION_PORT", "ENGAGEMENT_PORT", "LOYALTY_PORT")
FOREIGN = ("RAPPORT_KAFKA", "RAPPORT_POSTGRES", "RAPPORT_REDIS", "RAPPORT_CLOCK", "RAPPORT_TOPIC_PREFIX", "RAPPORT_ENV")
START_TIMEOUT_S = 240
EMPTY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RunningTestPlatform:
    """`urls` by service; `home` holds logs, mail and `state.json`."""

    home: Path
    environment: dict[str, str]

    @property
    def state(self) -> dict[str, object]:
        state: dict[str, object] = json.loads((self.home / "state.json").read_text(encoding="utf-8"))
        return state

    @property
    def urls(self) -> dict[str, str]:
        urls = self.state["urls"]
        assert isinstance(urls, dict)
        return urls

    @property
    def settings(self) -> PlatformSettings:
        given = self.state["environment"]
        assert isinstance(given, dict)
        return PlatformSettings(kafka=given["RAPPORT_KAFKA"], postgres=given["RAPPORT_POSTGRES"], home=self.home)

    @property
    def mail(self) -> Path:
        return self.home / "mail"

    def pid_of(self, part: str) -> int | None:
        parts = self.state["parts"]
        assert isinstance(parts, list)
        return next((entry["pid"] for entry in parts if entry["name"] == part), None)

    def kill(self, part: str) -> int | None:
        """SIGKILL to the part's process and its children; the supervisor brings it back. None when it is down already."""
        pid = self.pid_of(part)
        if pid is None:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            family = process.children(recursive=True)
            for victim in (process, *family):
                with contextlib.suppress(psutil.Error):
                    victim.send_signal(signal.SIGKILL)
            return pid
        return None

    def start(self, only: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """`rapport up --detach`, whatever becomes of it."""
        arguments = ["up", "--detach", *(["--only", ",".join(only)] if only else [])]
        return self.rapport(*arguments, timeout_s=START_TIMEOUT_S, check=False)

    def rapport(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command line, on this platform."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=check,
        )  # fmt: skip


def describe_platform(home: Path, variables: Mapping[str, str] = EMPTY) -> RunningTestPlatform:
    """Not started yet. Port 0 is any free one, so that a developer's own platform and this one don't meet."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return RunningTestPlatform(home, environment | {"RAPPORT_HOME": str(home), **dict.fromkeys(PORTS, "0")} | dict(variables))


@contextlib.contextmanager
def run_platform(home: Path, *, only: Sequence[str] = (), variables: Mapping[str, str] = EMPTY) -> Iterator[RunningTestPlatform]:
    """Started on free ports, stopped at the end; nothing of the surrounding environment's platform is used."""
    running = describe_platform(home, variables)
    started = running.start(only)
    try:
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}\n{_last_words(home)}"
        yield running
    finally:
        running.rapport("down", check=False)


def _last_words(home: Path) -> str:
    logs = sorted((home / "logs").glob("*.log")) if (home / "logs").is_dir() else []
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)
