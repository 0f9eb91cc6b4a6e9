"""The parts together: chosen ports, started side by side, ended with their starter, known by their addresses."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from deploy.local.errors import HomeInUse, HomeUnusable, LocalStackError, PortTaken, StartGivenUp
from deploy.local.kafka import Kafka
from deploy.local.mail import MailSink
from deploy.local.part import Part
from deploy.local.ports import ANY_FREE, HOST, choose_port, is_free
from deploy.local.postgres import Postgres
from deploy.local.records import ProcessRecord, find_recorded, load_record
from deploy.local.redis_server import RedisServer, find_redis

BACKING_PARTS = ("postgres", "redis", "kafka", "mail")
DEFAULT_PORTS: Mapping[str, int] = {"kafka": 9092, "postgres": 5432, "redis": 6379, "mail": 8025}
PartType = TypeVar("PartType", bound=Part)
_TYPES: Mapping[str, type[Part]] = {"postgres": Postgres, "redis": RedisServer, "mail": MailSink}


class LocalStack:
    """Owns a home while it runs: one stack a home. Whatever it started ends with it, even when this process is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.parts: dict[str, Part] = {}
        self._reserved: set[int] = set()
        self._giving_up = threading.Event()
        self._lock = _take_home(self.home)
        self._warden = _start_warden()

    @property
    def kafka(self) -> Kafka:
        return self._get("kafka", Kafka)

    @property
    def postgres(self) -> Postgres:
        return self._get("postgres", Postgres)

    @property
    def redis(self) -> RedisServer | None:
        """None where the machine has no Redis and the wheel brings none."""
        return self._get("redis", RedisServer) if "redis" in self.parts else None

    @property
    def mail(self) -> MailSink:
        return self._get("mail", MailSink)

    @property
    def warden_pid(self) -> int:
        return self._warden.pid

    @property
    def promised_ports(self) -> frozenset[int]:
        """What nobody else may be given: reserved, or a part's already."""
        return frozenset(self._reserved.union(*(part.ports for part in self.parts.values())))

    def reserve_port(self, name: str, port: int) -> None:
        """Keep this very port for a part. Raises PortTaken where it isn't free.

        What is left of the part's own earlier run doesn't count: its start ends it.
        """
        record = load_record(self.home, name)
        is_own_leftover = record is not None and record.port == port and find_recorded(record) is not None
        if port in self.promised_ports or not (is_own_leftover or is_free(port)):
            raise PortTaken(f"Port {port}, which {name} was given, isn't free.", hint="Give it another, or 0 for any free one.")
        self._reserved.add(port)

    def choose_port(self, name: str, wanted: int) -> int:
        """`wanted` when it is free, else the one this home had last time, else any; never one promised to another part."""
        record = load_record(self.home, name)
        taken = self.promised_ports
        if wanted == ANY_FREE:
            return choose_port(record.port if record else ANY_FREE, taken=taken)
        return choose_port(wanted, record.port if record else ANY_FREE, taken=taken)

    def add(self, part: Part) -> None:
        """Make a part (one of ours, or a service) belong to this stack: started through it, it ends with it."""
        part.watch = self._watch
        part.giving_up = self._giving_up
        self.parts[part.name] = part

    def start_all(self, names: Collection[str]) -> None:
        """Side by side. When one fails its error is raised, the others stop waiting, and the stack can only be stopped."""
        chosen = [part for name, part in self.parts.items() if name in names]
        if not chosen:
            return
        with ThreadPoolExecutor(max_workers=len(chosen), thread_name_prefix="start") as pool:
            starts = [pool.submit(part.start) for part in chosen]
            try:
                done, _ = wait(starts, return_when=FIRST_EXCEPTION)
                has_failed = any(start.exception() is not None for start in done)
            except BaseException:
                self.give_up()
                raise
            if has_failed:
                self.give_up()  # the others needn't be waited for
        failures = [error for start in starts if (error := start.exception()) is not None]
        if failures:
            raise next((error for error in failures if not isinstance(error, StartGivenUp)), failures[0])

    def environment(self) -> dict[str, str]:
        """The addresses as the services read them."""
        known: dict[str, str] = {}
        for name, variable in (("kafka", "RAPPORT_KAFKA"), ("postgres", "RAPPORT_POSTGRES"), ("redis", "RAPPORT_REDIS")):
            if name in self.parts:
                known[variable] = self.parts[name].address
        if "mail" in self.parts:
            known |= {"ENGAGEMENT_SMTP_HOST": HOST, "ENGAGEMENT_SMTP_PORT": str(self.mail.port)}
        return known

    def stop(self) -> None:
        """In two waves: services first, while the broker and the database they need for a clean end are there. Repeatable."""
        self.give_up()
        backing = [part for name, part in self.parts.items() if name in BACKING_PARTS]
        services = [part for name, part in self.parts.items() if name not in BACKING_PARTS]
        for wave in (services, backing):
            with ThreadPoolExecutor(max_workers=max(1, len(wave)), thread_name_prefix="stop") as pool:
                list(pool.map(Part.stop, wave))
        if self._warden.stdin is not None and not self._warden.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._warden.stdin.close()
            self._warden.wait(timeout=30)
        self._lock.close()

    def kill(self) -> None:
        """No waves, no patience: for the second Ctrl-C."""
        self.give_up()
        for part in self.parts.values():
            part.kill()

    def give_up(self) -> None:
        """Whoever waits for a part to get ready stops waiting: this stack is about to end."""
        self._giving_up.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _get(self, name: str, kind: type[PartType]) -> PartType:
        part = self.parts.get(name)
        if not isinstance(part, kind):
            raise LocalStackError(f"This stack was started without {name}.")
        return part

    def _watch(self, record: ProcessRecord, stop_signal: int) -> None:
        # One unbuffered write shorter than a pipe's atomic size: starts run in threads.
        if self._warden.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody killed the warden: the parts can do without
                os.write(self._warden.stdin.fileno(), f"watch {record.pid} {record.created} {stop_signal}\n".encode())


def start(
    home: Path,
    *,
    only: Collection[str] = BACKING_PARTS,
    ports: Mapping[str, int] = DEFAULT_PORTS,
) -> LocalStack:
    """Start real Kafka, PostgreSQL and Redis (where there is one) below `home` and wait until they serve.

    Blocking: from a coroutine, call it through `asyncio.to_thread`. A port of 0 takes any free one. Raises LocalStackError.
    """
    stack = LocalStack(home)
    try:
        for name in BACKING_PARTS:
            if name in only and (part := build_part(stack, name, ports.get(name, DEFAULT_PORTS[name]))) is not None:
                stack.add(part)
        stack.start_all(stack.parts)
    except BaseException:
        stack.stop()
        raise
    return stack


def build_part(stack: LocalStack, name: str, wanted_port: int) -> Part | None:
    """One of the backing parts, not started yet; None where the machine can't have it (Redis is the only one to do without)."""
    if name == "redis" and find_redis() is None:
        return None
    port = stack.choose_port(name, wanted_port)
    return Kafka(stack.home, port, taken=stack.promised_ports) if name == "kafka" else _TYPES[name](stack.home, port)


def prepare_home(home: Path) -> None:
    """Make the folder. Raises HomeUnusable, or HomeInUse while a stack runs there."""
    _take_home(home).close()


def is_home_in_use(home: Path) -> bool:
    """A look: nothing is written."""
    try:
        handle = (home / "lock").open()
    except (FileNotFoundError, NotADirectoryError):
        return False
    with handle:
        return not _lock(handle)


def _take_home(home: Path) -> IO[str]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / "lock").open("w")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise HomeUnusable(f"{home} can't be used: {reason}.", hint="--home or RAPPORT_HOME name another folder.") from error
    if not _lock(handle):
        handle.close()
        raise HomeInUse(f"A platform already runs in {home}.", hint="`rapport status` shows it, `rapport down` stops it.")
    return handle


def _lock(handle: IO[str]) -> bool:
    """An advisory lock the system drops with its holder, so nothing stale can remain of it. False where somebody has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start_warden() -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("warden.py")
    return subprocess.Popen([sys.executable, "-P", str(script)], stdin=subprocess.PIPE, start_new_session=True, bufsize=0)
