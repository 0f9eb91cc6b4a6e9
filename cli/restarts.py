"""When a process that ended unasked is started again: soon at first, ever later while it keeps failing."""

from dataclasses import dataclass

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
STEADY_AFTER_S = 60.0
"""A process that ran this long has proved itself: its next crash counts as the first."""


@dataclass(slots=True)
class RestartPlan:
    """Of one part. Times are readings of one monotonic clock."""

    restarts: int = 0
    failures_in_a_row: int = 0
    started_at: float = 0.0
    due_at: float | None = None

    def note_started(self, now: float) -> None:
        self.started_at = now
        self.due_at = None

    def note_ended(self, now: float) -> float:
        """The seconds until the next start."""
        self.failures_in_a_row = 1 if now - self.started_at >= STEADY_AFTER_S else self.failures_in_a_row + 1
        wait_s = compute_wait_s(self.failures_in_a_row)
        self.due_at = now + wait_s
        self.restarts += 1
        return wait_s

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and now >= self.due_at


def compute_wait_s(failures_in_a_row: int) -> float:
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures_in_a_row - 1, 16))
