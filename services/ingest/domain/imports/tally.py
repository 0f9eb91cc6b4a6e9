"""What became of an import's rows so far, and when there is no point in going on."""

from typing import Final

from msgspec import Struct, field

MIN_ROWS_TO_JUDGE: Final = 1000
"""A small file runs to its end whatever it holds: its list of errors is the better answer."""


class Tally(Struct):
    """`steps` counts the acknowledged prefix of the file, for going on; the rest is the report."""

    steps: int = 0
    rows: int = 0
    accepted: int = 0
    accepted_rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_rows: dict[str, int] = field(default_factory=dict)
    skipped_rows: dict[str, int] = field(default_factory=dict)

    def accept(self, rows: int) -> None:
        self._step(rows)
        self.accepted += 1
        self.accepted_rows += rows

    def reject(self, reason: str, rows: int) -> None:
        self._step(rows)
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.rejected_rows[reason] = self.rejected_rows.get(reason, 0) + rows

    def skip(self, reason: str, rows: int) -> None:
        self._step(rows)
        self.skipped_rows[reason] = self.skipped_rows.get(reason, 0) + rows

    def _step(self, rows: int) -> None:
        self.steps += 1
        self.rows += rows

    def copy(self) -> "Tally":
        return Tally(
            self.steps,
            self.rows,
            self.accepted,
            self.accepted_rows,
            dict(self.rejected),
            dict(self.rejected_rows),
            dict(self.skipped_rows),
        )

    def is_hopeless(self, max_error_ratio: float) -> bool:
        """Whether nearly everything failed: a wrong mapping, most likely."""
        failed = self.rows - self.accepted_rows
        return self.rows >= MIN_ROWS_TO_JUDGE and failed > self.rows * max_error_ratio

    def most_frequent_reason(self) -> str:
        counts = {**self.skipped_rows, **self.rejected_rows}
        return max(counts, key=lambda reason: counts[reason], default="")
