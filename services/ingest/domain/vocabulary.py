"""Names of touchpoints: which standard name a call has, and which names carry an order.

Segment Ecommerce V2 is the standard; its V1 names map to it. Names that a business makes up stay as they are.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeGuard

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]
Channel = Literal["web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import"]
OrderStep = Literal["completed", "updated", "cancelled", "refunded"]

_KINDS: Final = frozenset({"track", "identify", "page", "screen", "group", "alias"})
_CHANNELS: Final = frozenset({"web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import"})

CONSENT_CHANGED: Final = "Consent Changed"
CONSENT_NAMES: Final = frozenset({CONSENT_CHANGED, "Segment Consent Preference Updated"})

KIND_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "page": "Page Viewed",
        "screen": "Screen Viewed",
        "identify": "Identified",
        "group": "Grouped",
        "alias": "Aliased",
    }
)

V1_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Viewed Product Category": "Product List Viewed",
        "Viewed Promotion": "Promotion Viewed",
        "Clicked Promotion": "Promotion Clicked",
        "Viewed Product": "Product Viewed",
        "Clicked Product": "Product Clicked",
        "Added Product": "Product Added",
        "Removed Product": "Product Removed",
        "Started Order": "Checkout Started",
        "Viewed Checkout Step": "Checkout Step Viewed",
        "Completed Checkout Step": "Checkout Step Completed",
        "Updated Order": "Order Updated",
        "Completed Order": "Order Completed",
    }
)

ORDER_STEPS: Final[Mapping[str, OrderStep]] = MappingProxyType(
    {
        "Order Completed": "completed",
        "Order Updated": "updated",
        "Order Cancelled": "cancelled",
        "Order Refunded": "refunded",
    }
)

# Where a product list or an order id may stand under the names that Go's typed helpers give them.
_WITH_PRODUCTS: Final = frozenset(
    {
        *ORDER_STEPS,
        "Product List Viewed",
        "Product List Filtered",
        "Cart Viewed",
        "Cart Shared",
        "Checkout Started",
        "Payment Info Entered",
        "Coupon Entered",
        "Coupon Applied",
        "Coupon Denied",
        "Coupon Removed",
    }
)


def is_kind(text: str | None) -> TypeGuard[Kind]:
    return text in _KINDS


def is_channel(text: str | None) -> TypeGuard[Channel]:
    return text in _CHANNELS


def has_products(name: str) -> bool:
    """Whether Ecommerce V2 gives the name an order id or a list of products."""
    return name in _WITH_PRODUCTS


def name_call(kind: Kind, event: str | None) -> str | None:
    """The touchpoint's name; None where a track call says none."""
    if kind == "track":
        return V1_NAMES.get(event, event) if event else None
    return KIND_NAMES[kind]


def choose_channel(stated: str | None, default: str | None, kind: Kind) -> Channel:
    """The sender's word where it is a channel of ours, else the source's, else web for a page, mobile for a screen, server."""
    if is_channel(stated):
        return stated
    if is_channel(default):
        return default
    return "web" if kind == "page" else "mobile" if kind == "screen" else "server"
