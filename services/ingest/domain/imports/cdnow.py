"""CDNOW (Fader and Hardie): customer, date, number of CDs, dollars, whitespace between. One order a line, in USD."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from services.ingest.domain.imports.cells import format_time
from services.ingest.domain.imports.steps import IMPORT_CHANNEL, Planned, Skipped, SkipReason, Step, compute_message_id

FORMAT: Final = "cdnow"
_FIELDS: Final = 4


def plan_line(line: int, row: bytes) -> Step:
    """One line of the master file: `customer_id date(YYYYMMDD) number_of_cds dollar_value`."""
    fields = row.decode("utf-8", "replace").split()
    if len(fields) != _FIELDS:
        return Skipped(line, 1, SkipReason.NOT_FOUR_COLUMNS, "the line doesn't have four columns", row)
    customer, date, discs, dollars = fields
    try:
        at = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        count, revenue = int(discs), Decimal(dollars)
    except (ValueError, InvalidOperation):
        return Skipped(line, 1, SkipReason.NOT_A_PURCHASE, "the columns are no date, count and amount", row)
    return Planned(
        line,
        1,
        {
            "id": compute_message_id(FORMAT, line, row),
            "name": "Order Completed",
            "occurred_at": format_time(at),
            "identifiers": {FORMAT: customer},
            "properties": {"order_id": f"{FORMAT}-{line}", "revenue": revenue, "currency": "USD", "number_of_cds": count},
            "channel": IMPORT_CHANNEL,
        },
        row,
    )
