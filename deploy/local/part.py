"""One process of the stack: started, asked whether it is ready, stopped, killed and started again on the same port."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from deploy.local.errors import PartFailed, StartGivenUp
from deploy.local.ports import HOST
from deploy.local.records import ProcessRecord, find_recorded, load_record, remove_record, save_record

LOG_LIMIT_BYTES = 20 * 1024 * 1024
PROBE_PAUSE_S = 0.05
PATIENCE_S = 15.0
# What works on touchpoints later steps back for what takes them in: a burst that is acknowledged can wait, a site can't.
BEHIND_THE_DOOR = 10


class Part(ABC):
    """A program and its data below `home`. Starting is repeatable: what an earlier run left, alive or not, is cleared away."""

    name: str
    title: str
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 30.0
    # How far it steps back for others when the machine is full (nice(2)).
    niceness: int = 0

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        # Told of every process that is started: the stack tells its warden.
        self.watch: Callable[[ProcessRecord, int], None] = lambda _record, _signal: None
        # Set to give up waiting for readiness: somebody wants the whole stack to end.
        self.giving_up = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """One quick look, true once the part serves requests; may raise OSError while it doesn't."""

    @property
    @abstractmethod
    def address(self) -> str: ...

    def prepare(self) -> None:  # noqa: B027 a hook, not a duty
        """Whatever must be on disk before the command can run; repeatable."""

    def complete(self) -> None:  # noqa: B027 a hook, not a duty
        """Whatever can only be done once the part answers; repeatable."""

    def environment(self) -> Mapping[str, str]:
        return os.environ

    @property
    def ports(self) -> frozenset[int]:
        """All it listens on."""
        return frozenset({self.port})

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors that its process gets beside the standard ones."""
        return ()

    @property
    def data(self) -> Path:
        return self.home / self.name

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the last process, once it has ended by itself or been ended."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    def launch(self) -> ProcessRecord:
        """Start the process and return at once; `wait_ready` tells when it serves."""
        self._check_wanted()
        self._end_leftover()
        self.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._check_wanted()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must reach the starter only, which then stops the parts in order.
            self._process = subprocess.Popen(
                list(self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment()),
                start_new_session=True,
                pass_fds=self.inherited,
            )
        if self.niceness:
            step_back(self._process.pid, self.niceness)
        record = ProcessRecord(self.name, self._process.pid, psutil.Process(self._process.pid).create_time(), self.port)
        save_record(self.home, record)
        self.watch(record, self.stop_signal)
        return record

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Raises PartFailed with the end of the log when the process ends or the time runs out."""
        deadline = time.monotonic() + (self.start_timeout_s if timeout_s is None else timeout_s)
        while time.monotonic() < deadline:
            if not self.is_running:
                raise PartFailed(
                    f"{self.title} ended with code {self.exit_code} while starting: {self.last_words()}", hint=f"See {self.log}"
                )
            with contextlib.suppress(OSError):
                if self.is_ready():
                    self.complete()
                    return
            if self.giving_up.wait(PROBE_PAUSE_S):
                self._check_wanted()
        raise PartFailed(f"{self.title} didn't answer on {HOST}:{self.port} in time: {self.last_words()}", hint=f"See {self.log}")

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def stop(self, timeout_s: float = PATIENCE_S) -> None:
        """Ask politely, then by force."""
        if self._process is not None:
            end_process(self._process, self.stop_signal, timeout_s=timeout_s)
        remove_record(self.home, self.name)

    def kill(self) -> None:
        """SIGKILL to the process and all its children: the crash the harness is about. The data stays, the port is free again."""
        process = self._process
        if process is not None and process.poll() is None:
            kill_family(process, children_of(process.pid))

    def restart(self) -> None:
        """Up again on the same port with the same data, after a kill or a stop (or instead of one)."""
        self.stop()
        self.start()

    def last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return "no log"
        return next((line.strip() for line in reversed(lines) if line.strip()), "an empty log")

    def _check_wanted(self) -> None:
        if self.giving_up.is_set():
            raise StartGivenUp(f"{self.title} was told to stop while starting.")

    def _end_leftover(self) -> None:
        """A process of an earlier run that outlived its starter holds the data and the port: end it before starting anew."""
        leftover = find_recorded(load_record(self.home, self.name))
        if leftover is None or (self._process is not None and leftover.pid == self._process.pid):
            return
        with contextlib.suppress(psutil.Error):
            family = leftover.children(recursive=True)
            leftover.send_signal(self.stop_signal)
            _, alive = psutil.wait_procs([leftover], timeout=PATIENCE_S)
            end_by_force([*alive, *family])


def end_process(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals, *, timeout_s: float) -> None:
    """Ask politely, then by force, children included."""
    if process.poll() is not None:
        return
    family = children_of(process.pid)
    process.send_signal(stop_signal)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill_family(process, family)


def kill_family(process: "subprocess.Popen[bytes]", family: Sequence[psutil.Process]) -> None:
    process.kill()
    end_by_force(family)
    process.wait()


def children_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end_by_force(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(list(processes), timeout=PATIENCE_S)


def step_back(pid: int, niceness: int) -> None:
    """Let others go first. To be called before the process has threads: they inherit it.

    Where Linux groups processes by session (sched(7), autogroup), a process's own niceness counts only within its session, and
    the session's counts among others.
    """
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness), encoding="ascii")
