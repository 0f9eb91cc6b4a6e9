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
