"""What one touchpoint says of an order, as ingest read it: the contract between ingest and all who count money."""

from typing import Literal

from msgspec import Struct


class OrderStatement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one touchpoint says of an order, as ingest read it.

    `amount` is the exact decimal sent (plain notation), rounded only when settled, because the currency that fixes the
    minor unit may come from another touchpoint. None: nothing was stated (an update that leaves amounts, or a refund of
    what is left). `currency` is None where the touchpoint names none (a refund then takes its order's);
    `default_currency` is the source's. `refund_id` is None where the refund stands for itself (one per touchpoint).
    """

    step: Literal["completed", "updated", "cancelled", "refunded"]
    order_id: str | None = None
    refund_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    default_currency: str = "EUR"


class Money(Struct, frozen=True):
    """Whole minor units of an ISO 4217 currency: 19.99 EUR is 1999, 1999 JPY is 1999."""

    amount_minor: int
    currency: str


class OrderLine(Struct, frozen=True, omit_defaults=True):
    """One line of an order, in short. `quantity` is the exact decimal sent.

    `amount_minor` is price x quantity less the line's discount, rounded once, half to even, in the currency of the order's money;
    None where the line names no price or the currency isn't known. Rounded line by line, so the sum may differ from the order's.
    """

    product_id: str | None = None
    sku: str | None = None
    name: str | None = None
    category: str | None = None
    quantity: str = "1"
    amount_minor: int | None = None
    brand: str | None = None
