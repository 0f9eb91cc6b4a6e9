"""UCI Online Retail: invoice lines. An invoice is one order in GBP; a `C...` invoice is a refund with an id of its own.

Prices are the shortest decimal of the stored double, so that sums are exact. An invoice's first date and customer win.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from services.ingest.domain.imports.cells import format_time
from services.ingest.domain.imports.steps import IMPORT_CHANNEL, Planned, Skipped, SkipReason, Step, name_message

FORMAT: Final = "online-retail"
KIND: Final = "online_retail"
COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
INVOICE_COLUMN: Final = COLUMNS[0]
MAX_PRODUCT_LINES: Final = 150
"""An event holds 32 KB: larger invoices keep their total and say how many lines they had."""

_DETAILS: Final = {
    SkipReason.ADJUSTMENT: "an adjustment of the books, not a sale",
    SkipReason.REFUND_WITHOUT_AMOUNT: "a refund whose sum isn't negative",
    SkipReason.SUM_NOT_POSITIVE: "an invoice whose sum isn't positive",
}


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
    digest: Any = field(default_factory=hashlib.sha256)


def plan_invoices(numbers: Iterable[object], rows: Iterable[Mapping[str, Any]]) -> Iterator[Step]:
    """Steps in the order in which invoices are complete. Their rows needn't stand together: `numbers`, the column InvoiceNo
    read beforehand, tells when one is, so that only those still open are held.
    """
    left = Counter(str(number) for number in numbers)
    invoices: dict[str, _Invoice] = {}
    for line, row in enumerate(rows, start=1):
        number = str(row[INVOICE_COLUMN])
        _add_row(invoices, line, number, row)
        left[number] -= 1
        if not left[number]:
            yield _to_step(invoices.pop(number))


def _add_row(invoices: dict[str, _Invoice], line: int, number: str, row: Mapping[str, Any]) -> None:
    invoice = invoices.get(number)
    if invoice is None:
        invoice = _Invoice(line, number, row["InvoiceDate"], _customer(row["CustomerID"]), row["Country"])
        invoices[number] = invoice
    elif invoice.customer is None:
        invoice.customer = _customer(row["CustomerID"])
    price = Decimal(repr(float(row["UnitPrice"])))
    invoice.digest.update((b"\n" if invoice.rows else b"") + repr([row[name] for name in COLUMNS]).encode())
    invoice.rows += 1
    invoice.total += price * row["Quantity"]
    if len(invoice.products) <= MAX_PRODUCT_LINES and row["Quantity"] > 0 and price >= 0:
        # What is taken off an invoice stands in its total; a product list says what was bought.
        product = {"product_id": row["StockCode"], "name": row["Description"], "price": price, "quantity": row["Quantity"]}
        invoice.products.append(product)


def _customer(value: float | None) -> str | None:
    return None if value is None else str(int(value))


def _to_step(invoice: _Invoice) -> Step:
    if invoice.number.startswith("A"):
        return _skip(invoice, SkipReason.ADJUSTMENT)
    if invoice.number.startswith("C"):
        if invoice.total >= 0:
            return _skip(invoice, SkipReason.REFUND_WITHOUT_AMOUNT)
        return _plan(invoice, "Order Refunded", {"refund_id": invoice.number, "total": -invoice.total})
    if invoice.total <= 0:
        return _skip(invoice, SkipReason.SUM_NOT_POSITIVE)
    properties: dict[str, Any] = {"order_id": invoice.number, "revenue": invoice.total}
    if len(invoice.products) <= MAX_PRODUCT_LINES:
        properties["products"] = invoice.products
    return _plan(invoice, "Order Completed", properties)


def _skip(invoice: _Invoice, reason: SkipReason) -> Skipped:
    return Skipped(invoice.line, invoice.rows, reason, _DETAILS[reason], _show(invoice))


def _plan(invoice: _Invoice, name: str, properties: dict[str, Any]) -> Planned:
    identifiers = {} if invoice.customer is None else {KIND: invoice.customer}
    traits = {} if invoice.country is None or invoice.customer is None else {"country": invoice.country}
    touchpoint = {
        "id": name_message(FORMAT, invoice.line, invoice.digest.hexdigest()),
        "name": name,
        "occurred_at": format_time(invoice.at),
        "identifiers": identifiers,
        "properties": {**properties, "currency": "GBP", "product_lines": invoice.rows},
        "channel": IMPORT_CHANNEL,
    }
    if traits:
        touchpoint["context"] = {"traits": traits}
    return Planned(invoice.line, invoice.rows, touchpoint, _show(invoice))


def _show(invoice: _Invoice) -> bytes:
    return f"invoice {invoice.number}: {invoice.rows} rows".encode()
