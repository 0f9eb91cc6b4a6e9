"""More workers of profile beside the platform's own: they are killed, dismissed and hired again while the load runs."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from deploy.local.part import BEHIND_THE_DOOR, step_back
from tests.support.platform import ROOT, RunningTestPlatform

LAST_WORDS_S = 60


@dataclass
class Crew:
    """Each keeps its name in the consumer group, so that who comes again has its partitions back at once."""

    platform: RunningTestPlatform
    size: int
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def mend(self) -> None:
        """Whoever isn't there is hired again: killed ones, dismissed ones, and those who ended because the database was away."""
        for number in range(self.size):
            name = f"profile-worker-{number}"
            if name not in self.workers or self.workers[name].poll() is not None:
                self.workers[name] = self._hire(name)

    def _hire(self, name: str) -> subprocess.Popen[bytes]:
        given = self.platform.state["environment"]
        assert isinstance(given, dict)
        environment = self.platform.environment | given | {"PROFILE_PORT": "0", "RAPPORT_KAFKA_INSTANCE": name}
        with (self.platform.home / "logs" / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "services.profile.main", "worker"]
            worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        step_back(worker.pid, BEHIND_THE_DOOR)
        return worker

    def _present(self) -> list[subprocess.Popen[bytes]]:
        return [worker for worker in self.workers.values() if worker.poll() is None]

    def kill(self, random: Random) -> int | None:
        """SIGKILL to one of them; None when none is there."""
        present = self._present()
        if not present:
            self.mend()
            return None
        victim = random.choice(present)
        victim.kill()
        victim.wait()
        return victim.pid

    async def dismiss(self, random: Random) -> None:
        """One finishes its batch, gives its partitions back and ends."""
        present = self._present()
        if present:
            leaving = random.choice(present)
            leaving.terminate()
            await asyncio.to_thread(leaving.wait, LAST_WORDS_S)

    def disband(self) -> None:
        for worker in self._present():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
