"""The world the protocol runs in: rows and locks, a log, processes that stop in the middle. Knows nothing of profiles."""

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
Key = tuple[Hashable, ...]
Steps = Generator[None, None, T]
"""A process, or a part of one. Each `yield` is a place where others may run and where it may be killed."""


class Deadlock(Exception):
    """PostgreSQL's answer to a circle of waits: this transaction is rolled back."""


class Database:
    """Committed rows, and who holds or waits for which row's lock."""

    def __init__(self) -> None:
        self.rows: dict[Key, Any] = {}
        self.holders: dict[Key, Transaction] = {}
        self.awaited: dict[Transaction, Key] = {}
        self.deadlocks = 0

    def committed(self, kind: str) -> dict[Key, Any]:
        return {key: row for key, row in self.rows.items() if key[0] == kind}


class Transaction:
    """READ COMMITTED: each read sees what is committed at that moment, and the transaction's own writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes: dict[Key, Any] = {}
        self._held: list[Key] = []

    def read(self, key: Key) -> Any:
        return self._writes[key] if key in self._writes else self._database.rows.get(key)

    def read_all(self, kind: str) -> dict[Key, Any]:
        own = {key: row for key, row in self._writes.items() if key[0] == kind}
        return {key: row for key, row in (self._database.committed(kind) | own).items() if row is not None}

    def lock(self, key: Key) -> Steps[None]:
        """SELECT ... FOR UPDATE of one row: waits for its holder."""
        database = self._database
        while database.holders.get(key, self) is not self:
            database.awaited[self] = key
            self._refuse_circle()
            yield
        database.awaited.pop(self, None)
        if database.holders.get(key) is None:
            database.holders[key] = self
            self._held.append(key)
        yield

    def _refuse_circle(self) -> None:
        database = self._database
        other = database.holders.get(database.awaited[self])
        while other is not None:
            if other is self:
                database.deadlocks += 1
                self.rollback()
                raise Deadlock
            awaited = database.awaited.get(other)
            other = None if awaited is None else database.holders.get(awaited)

    def try_lock(self, key: Key) -> bool:
        """FOR UPDATE SKIP LOCKED."""
        holder = self._database.holders.get(key)
        if holder is None:
            self._database.holders[key] = self
            self._held.append(key)
        return holder is None or holder is self

    def write(self, key: Key, row: Any) -> Steps[None]:
        """An update: takes the row's lock, then writes whatever was meant, however old the reason."""
        yield from self.lock(key)
        self._writes[key] = row

    def insert(self, key: Key, row: Any) -> Steps[bool]:
        """INSERT ... ON CONFLICT DO NOTHING: waits for a concurrent insert of the same key; True where the row is ours."""
        mark = self.savepoint()
        yield from self.lock(key)
        if self.read(key) is not None:
            self.release_since(mark)
            return False
        self._writes[key] = row
        return True

    def savepoint(self) -> int:
        return len(self._held)

    def release_since(self, mark: int) -> None:
        """ROLLBACK TO SAVEPOINT, for locks: rows written since must not be among them."""
        for key in self._held[mark:]:
            del self._database.holders[key]
        del self._held[mark:]

    def commit(self) -> None:
        for key, row in self._writes.items():
            if row is None:
                self._database.rows.pop(key, None)
            else:
                self._database.rows[key] = row
        self._end()

    def rollback(self) -> None:
        self._end()

    def _end(self) -> None:
        self._writes = {}
        self.release_since(0)
        self._database.awaited.pop(self, None)


def in_transaction(database: Database, body: Callable[[Transaction], Steps[T]]) -> Steps[T]:
    """Runs the body until it commits: a deadlock makes the whole of it come again, a kill rolls it back."""
    while True:
        transaction = Transaction(database)
        try:
            result = yield from body(transaction)
        except Deadlock:
            yield
            continue
        finally:
            transaction.rollback()  # nothing to do after a commit
        return result


@dataclass(eq=False)
class Process:
    """A worker that may own a partition (`generation` tells the owner from a zombie), or a sweeper, which owns none."""

    steps: Steps[None]
    partition: int | None = None
    generation: int = 0
    wakes_at: int = 0


@dataclass
class Group:
    """A consumer group over partitioned input, with its committed offsets and the broker's fencing of old generations."""

    start: Callable[["Group", int, int], Steps[None]]
    ends: list[int]
    offsets: list[int] = field(init=False)
    generations: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.offsets = [0 for _ in self.ends]
        self.generations = [0 for _ in self.ends]

    def join(self, partition: int) -> Process:
        """A new owner; whoever had the partition before is a zombie now, if it still runs."""
        self.generations[partition] += 1
        generation = self.generations[partition]
        return Process(self.start(self, partition, generation), partition, generation)

    def owns(self, partition: int, generation: int) -> bool:
        return self.generations[partition] == generation

    def commit_offset(self, partition: int, generation: int, offset: int) -> None:
        if self.owns(partition, generation):
            self.offsets[partition] = max(self.offsets[partition], offset)

    def unfinished(self) -> list[int]:
        return [partition for partition, end in enumerate(self.ends) if self.offsets[partition] < end]


@dataclass(frozen=True)
class Weather:
    """How unkind the scheduler is, each as a chance per step."""

    crash: float = 0.0
    zombie: float = 0.0
    sweep: float = 0.0
    pause: float = 0.0
    """A process stands still for up to `_LONGEST_PAUSE` steps of the others."""


_MAX_SWEEPERS = 4
_MAX_STEPS = 50_000
_LONGEST_PAUSE = 120


class Scheduler:
    """Random steps of random processes, until all input is consumed and nothing is left to sweep."""

    def __init__(self, group: Group, rng: Random, weather: Weather, sweep: Callable[[], Steps[None]] | None = None) -> None:
        self._group = group
        self._rng = rng
        self._weather = weather
        self._sweep = sweep
        self._processes: list[Process] = []

    def run(self, is_clean: Callable[[], bool]) -> None:
        """Raises RuntimeError for a livelock."""
        for step in range(_MAX_STEPS):
            if not self._processes and not self._start(is_clean):
                return
            if self._is_time_to_sweep():
                self._start_sweeper()
            awake = [process for process in self._processes if process.wakes_at <= step]
            self._advance(self._rng.choice(awake or self._processes), step)
        raise RuntimeError("the processes never come to rest")

    def _start(self, is_clean: Callable[[], bool]) -> bool:
        """What an operator would start again: owners of unfinished partitions, else somebody to sweep; False: nothing is left."""
        self._processes = [self._group.join(partition) for partition in self._group.unfinished()]
        if not self._processes and not is_clean():
            self._start_sweeper()
        return bool(self._processes)

    def _is_time_to_sweep(self) -> bool:
        sweepers = sum(process.partition is None for process in self._processes)
        return self._sweep is not None and sweepers < _MAX_SWEEPERS and self._rng.random() < self._weather.sweep

    def _start_sweeper(self) -> None:
        if self._sweep is not None:
            self._processes.append(Process(self._sweep()))

    def _advance(self, process: Process, step: int) -> None:
        rng, weather = self._rng, self._weather
        if rng.random() < weather.crash:
            self._kill(process)
        elif rng.random() < weather.pause:
            process.wakes_at = step + rng.randrange(_LONGEST_PAUSE)
        elif rng.random() < weather.zombie and process.partition is not None and self._count_siblings(process) == 1:
            self._processes.append(self._group.join(process.partition))
        else:
            try:
                next(process.steps)
            except StopIteration:
                self._processes.remove(process)

    def _kill(self, process: Process) -> None:
        process.steps.close()
        if process.partition is not None and self._count_siblings(process) == 1:
            self._processes.append(self._group.join(process.partition))
        self._processes.remove(process)

    def _count_siblings(self, process: Process) -> int:
        return sum(other.partition == process.partition for other in self._processes)
