"""CDNOW (Fader and Hardie): customer, date, number of CDs, dollars, whitespace between. One order a line, in USD."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from cli.importing.rows import MESSAGE_CHANNEL, Planned, Skipped, Step, compute_message_id, format_time

FORMAT = "cdnow"
_FIELDS = 4


class CdnowReader:
    """The master file: one header line, then `customer_id date(YYYYMMDD) number_of_cds dollar_value`."""

    def count_rows(self, path: Path) -> int:
        with path.open("rb") as file:
            return max(0, sum(1 for line in file if line.strip()) - 1)

    def read(self, path: Path) -> Iterator[Step]:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                row = raw.strip()
                if row and number > 1:
                    yield _read_row(number, row)


def _read_row(line: int, row: bytes) -> Step:
    fields = row.decode("utf-8", "replace").split()
    if len(fields) != _FIELDS:
        return Skipped(line, 1, "not_four_columns")
    customer, date, discs, dollars = fields
    try:
        at = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        count, revenue = int(discs), Decimal(dollars)
    except (ValueError, InvalidOperation):
        return Skipped(line, 1, "not_a_purchase")
    return Planned(
        line,
        1,
        {
            "id": compute_message_id(FORMAT, line, row),
            "name": "Order Completed",
            "occurred_at": format_time(at),
            "identifiers": {FORMAT: customer},
            "properties": {"order_id": f"{FORMAT}-{line}", "revenue": revenue, "currency": "USD", "number_of_cds": count},
            "channel": MESSAGE_CHANNEL,
        },
    )
