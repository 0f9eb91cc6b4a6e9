"""Judge and publish a file's rows, by the rules of the front door, and count what became of each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.ingest.domain.arrivals import Arrival, ArrivalSource
from services.ingest.domain.imports.steps import Planned, SkipReason, Step
from services.ingest.domain.imports.tables import encode_touchpoint
from services.ingest.domain.imports.tally import Tally
from services.ingest.domain.routes import IMPORTS
from services.ingest.handlers.take_touchpoints import Intake, Receipt, Rejected
from services.ingest.ports import ImportRowError

SLICE_ROWS: Final = 50
"""Some 2 ms of judging, between which live requests of the same process have their turn."""
SHOWN_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """A step with its touchpoint as JSON; none where the row is left out."""

    line: int
    rows: int
    body: bytes | None
    reason: SkipReason | None
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch, judged: what is to be published, where the import then stands, and the rows that failed."""

    receipt: Receipt
    tally: Tally
    errors: list[ImportRowError]


def prepare_row(step: Step) -> PreparedRow:
    """For threads: the dear part of a row that needs nobody else."""
    if isinstance(step, Planned):
        return PreparedRow(step.line, step.rows, encode_touchpoint(step.touchpoint), None, "", step.raw)
    return PreparedRow(step.line, step.rows, None, step.reason, step.detail, step.raw)


async def judge_rows(
    intake: Intake,
    source: ArrivalSource,
    batch: Sequence[PreparedRow],
    before: Tally,
    *,
    received_at: datetime,
    give_way: Callable[[], Awaitable[None]],
) -> Judged:
    """`give_way` is awaited between slices."""
    judged = Judged(Receipt([], [], []), before.copy(), [])
    arrival = Arrival(source, IMPORTS, received_at)
    for start in range(0, len(batch), SLICE_ROWS):
        _judge_slice(intake, arrival, batch[start : start + SLICE_ROWS], judged)
        await give_way()
    return judged


def _judge_slice(intake: Intake, arrival: Arrival, rows: Sequence[PreparedRow], judged: Judged) -> None:
    bodies = [row.body for row in rows if row.body is not None]
    receipt = intake.judge_rows(arrival, bodies)
    judged.receipt.accepted.extend(receipt.accepted)
    judged.receipt.rejected.extend(receipt.rejected)
    judged.receipt.outgoing.extend(receipt.outgoing)
    refused = {rejected.index: rejected for rejected in receipt.rejected}
    index = -1
    for row in rows:
        if row.body is None:
            _count_skipped(row, judged)
            continue
        index += 1
        rejected = refused.get(index)
        if rejected is None:
            judged.tally.accept(row.rows)
        else:
            _count_rejected(row, rejected, judged)


def _count_skipped(row: PreparedRow, judged: Judged) -> None:
    reason = row.reason.value if row.reason is not None else ""
    judged.errors.append(ImportRowError(judged.tally.steps, row.line, "skipped", reason, row.detail, row.raw[:SHOWN_BYTES]))
    judged.tally.skip(reason, row.rows)


def _count_rejected(row: PreparedRow, rejected: Rejected, judged: Judged) -> None:
    reason = rejected.reason.value
    judged.errors.append(ImportRowError(judged.tally.steps, row.line, "rejected", reason, rejected.detail, row.raw[:SHOWN_BYTES]))
    judged.tally.reject(reason, row.rows)


class Pace:
    """How an import gives way to live traffic: while the log is quick it runs; when an acknowledgement takes long, it rests as
    long again, so that at most half of a slow log's time is its; and while the log is away it waits, longer each time.
    """

    quick_s: Final = 0.1
    longest_s: Final = 5.0

    def __init__(self) -> None:
        self._failures = 0

    def after_publish(self, took_s: float) -> float:
        """How long to rest."""
        self._failures = 0
        return min(took_s, self.longest_s) if took_s > self.quick_s else 0.0

    def after_failure(self) -> float:
        """How long to wait before the same batch is tried again."""
        self._failures += 1
        return min(self.longest_s, self.quick_s * 2.0 ** min(self._failures, 10))
