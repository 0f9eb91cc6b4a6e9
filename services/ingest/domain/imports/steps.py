"""What a reader makes of a file: touchpoints to take, in file order, and rows it leaves out with a counted reason."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

IMPORT_CHANNEL: Final = "import"


class SkipReason(StrEnum):
    """Why a row never became a touchpoint. Public, as `Reason` is: it stands in reports and in the list of errors."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NUMBER_NOT_FINITE = "number_not_finite"
    TOO_DEEP = "too_deep"
    ROW_TOO_LONG = "row_too_long"
    """Longer than any touchpoint may be: a quote that isn't closed, most likely."""
    ROW_UNREADABLE = "row_unreadable"
    TOO_MANY_CELLS = "too_many_cells"
    """More cells than the header has names: a separator inside a cell that isn't quoted."""
    CELL_UNREADABLE = "unreadable_cell"
    """A cell isn't the time or number that the mapping says."""
    NO_NAME = "no_name"
    NOT_FOUR_COLUMNS = "not_four_columns"
    NOT_A_PURCHASE = "not_a_purchase"
    ADJUSTMENT = "adjustment"
    REFUND_WITHOUT_AMOUNT = "refund_without_amount"
    SUM_NOT_POSITIVE = "sum_not_positive"


@dataclass(frozen=True, slots=True)
class Planned:
    """A touchpoint in the shape of `POST /v1/touchpoints`. `line` is the first row it comes from, `rows` how many; `raw` is
    that row as the file has it, for whoever has to mend it.
    """

    line: int
    rows: int
    touchpoint: dict[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    line: int
    rows: int
    reason: SkipReason
    detail: str
    raw: bytes


Step = Planned | Skipped


def compute_message_id(file_format: str, line: int, row: bytes) -> str:
    """Format, line and SHA-256 of the row: exact duplicates in a file stay apart, a second run of the file is recognised."""
    return name_message(file_format, line, hashlib.sha256(row).hexdigest())


def name_message(file_format: str, line: int, digest: str) -> str:
    return f"{file_format}:{line}:{digest}"
