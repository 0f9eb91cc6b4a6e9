"""How patient and how large the consumer loop is: numbers, and pure arithmetic over them. No clock, no I/O."""

from collections import deque
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """When to stop rather than go on rejecting: more than `free` and more than `max_ratio` of the last `window_records`."""

    max_ratio: float = 0.05
    free: int = 20
    window_records: int = 10_000


@dataclass(frozen=True, slots=True)
class ConsumerPolicy:
    """Sizes and patience of one consumer.

    `lanes`: batches of a topic in work at once, of different partitions: PostgreSQL works on one while Python works on another.
    `revoke_wait_s` bounds how long a rebalance waits for the batch in work; past it the batch is abandoned (rolled back).
    `drain_wait_s` is the same for a graceful stop. A transaction that takes longer than `batch_timeout_s` counts as a lost
    connection: rolled back and tried again.
    """

    lanes: int = 2
    batch_max_records: int = 2_000
    batch_max_bytes: int = 32 * 1024 * 1024
    poll_timeout_s: float = 0.5
    batch_timeout_s: float = 120.0
    backoff_min_s: float = 0.1
    backoff_max_s: float = 30.0
    revoke_wait_s: float = 10.0
    drain_wait_s: float = 20.0
    sweep_interval_s: float = 5.0
    dead_letters: DeadLetterLimit = field(default_factory=DeadLetterLimit)


def compute_backoff_s(attempt: int, policy: ConsumerPolicy, random: Random, *, at_least_s: float = 0.0) -> float:
    """Seconds to wait after the `attempt`-th failure in a row (1 is the first): doubling from the least, capped, with jitter.

    Jitter takes off up to half of what backing off added, never of what the caller asked for with `at_least_s`.
    """
    growing = min(policy.backoff_max_s, max(policy.backoff_min_s, at_least_s) * 2.0 ** min(attempt - 1, 30))
    return max(at_least_s, growing * (0.5 + random.random() / 2))


class DeadLetterBudget:
    """Counts what a topic's batches rejected and says when the limit would be passed. Holds one pair of numbers a batch."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0

    def allows(self, *, records: int, rejected: int) -> bool:
        """Whether a batch with so many rejects may be committed. Nothing rejected is always allowed."""
        total_rejected = self._rejected + rejected
        if rejected == 0 or total_rejected <= self._limit.free:
            return True
        return total_rejected <= self._limit.max_ratio * (self._records + records)

    def spend(self, *, records: int, rejected: int) -> None:
        """Remember a committed batch; forget the oldest once the newer ones fill the window."""
        self._batches.append((records, rejected))
        self._records += records
        self._rejected += rejected
        while self._records - self._batches[0][0] >= self._limit.window_records:
            old_records, old_rejected = self._batches.popleft()
            self._records -= old_records
            self._rejected -= old_rejected
