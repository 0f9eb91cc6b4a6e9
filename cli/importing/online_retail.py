"""UCI Online Retail: invoice lines. An invoice is one order in GBP; a `C...` invoice is a refund with an id of its own.

Prices are the shortest decimal of the stored double, so that sums are exact. An invoice's first date and customer win.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cli.importing.rows import MESSAGE_CHANNEL, Planned, Skipped, Step, compute_message_id, format_time

FORMAT = "online-retail"
KIND = "online_retail"
COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
MAX_PRODUCT_LINES = 150
"""An event holds 32 KB: larger invoices keep their total and say how many lines they had."""


@dataclass(slots=True)
class _Invoice:
    line: int
    number: str
    at: datetime
    customer: str | None
    country: str | None
    rows: int = 0
    total: Decimal = Decimal(0)
    products: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)


class OnlineRetailReader:
    """A Parquet file with the eight published columns."""

    def count_rows(self, path: Path) -> int:
        import pyarrow.parquet as pq

        count: int = pq.ParquetFile(path).metadata.num_rows
        return count

    def read(self, path: Path) -> Iterator[Step]:
        """Steps in order of each invoice's first row: an invoice's rows need not stand together."""
        invoices: dict[str, _Invoice] = {}
        for line, row in enumerate(_rows(path), start=1):
            _add_row(invoices, line, row)
        for invoice in invoices.values():
            yield _to_step(invoice)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=8192, columns=COLUMNS):
        yield from batch.to_pylist()


def _add_row(invoices: dict[str, _Invoice], line: int, row: dict[str, Any]) -> None:
    number = str(row["InvoiceNo"])
    invoice = invoices.get(number)
    if invoice is None:
        invoice = _Invoice(line, number, row["InvoiceDate"], _customer(row["CustomerID"]), row["Country"])
        invoices[number] = invoice
    elif invoice.customer is None:
        invoice.customer = _customer(row["CustomerID"])
    price = Decimal(repr(float(row["UnitPrice"])))
    invoice.rows += 1
    invoice.total += price * row["Quantity"]
    invoice.raw.append(repr([row[name] for name in COLUMNS]))
    product = {"product_id": row["StockCode"], "name": row["Description"], "price": price, "quantity": row["Quantity"]}
    invoice.products.append(product)


def _customer(value: float | None) -> str | None:
    return None if value is None else str(int(value))


def _to_step(invoice: _Invoice) -> Step:
    if invoice.number.startswith("A"):
        return Skipped(invoice.line, invoice.rows, "adjustment")
    if invoice.number.startswith("C"):
        if invoice.total >= 0:
            return Skipped(invoice.line, invoice.rows, "refund_without_amount")
        return _plan(invoice, "Order Refunded", {"refund_id": invoice.number, "total": -invoice.total})
    if invoice.total <= 0:
        return Skipped(invoice.line, invoice.rows, "sum_not_positive")
    properties: dict[str, Any] = {"order_id": invoice.number, "revenue": invoice.total}
    # What is taken off an invoice stands in its total; a product list says what was bought.
    bought = [product for product in invoice.products if product["quantity"] > 0 and product["price"] >= 0]
    if len(bought) <= MAX_PRODUCT_LINES:
        properties["products"] = bought
    return _plan(invoice, "Order Completed", properties)


def _plan(invoice: _Invoice, name: str, properties: dict[str, Any]) -> Planned:
    identifiers = {} if invoice.customer is None else {KIND: invoice.customer}
    traits = {} if invoice.country is None or invoice.customer is None else {"country": invoice.country}
    touchpoint = {
        "id": compute_message_id(FORMAT, invoice.line, "\n".join(invoice.raw).encode()),
        "name": name,
        "occurred_at": format_time(invoice.at),
        "identifiers": identifiers,
        "properties": {**properties, "currency": "GBP", "product_lines": invoice.rows},
        "channel": MESSAGE_CHANNEL,
    }
    return Planned(invoice.line, invoice.rows, touchpoint | ({"context": {"traits": traits}} if traits else {}))
