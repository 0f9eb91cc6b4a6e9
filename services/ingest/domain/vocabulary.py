"""Names of touchpoints: which standard name a call has, and which names carry an order.

The catalogue has the standard names and the old ones that map to them. Names that a business makes up stay as they are, however
near they come to a standard one.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, TypeGuard

from libs.vocabulary import CATALOGUE, find_same

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

ORDER_STEPS: Final[Mapping[str, OrderStep]] = MappingProxyType(
    {
        "Order Completed": "completed",
        "Order Updated": "updated",
        "Order Cancelled": "cancelled",
        "Order Refunded": "refunded",
    }
)

_REMEMBERED: Final = 4096


def is_kind(text: str | None) -> TypeGuard[Kind]:
    return text in _KINDS


def is_channel(text: str | None) -> TypeGuard[Channel]:
    return text in _CHANNELS


def name_call(kind: Kind, event: str | None) -> str | None:
    """The touchpoint's name; None where a track call says none."""
    if kind == "track":
        return CATALOGUE.aliases.get(event, event) if event else None
    return KIND_NAMES[kind]


@lru_cache(maxsize=_REMEMBERED)
def is_like_standard(name: str) -> bool:
    """Whether only letter case or separators part it from a standard name: most likely meant as that, and not counted as it."""
    return find_same(name) is not None


def choose_channel(stated: str | None, default: str | None, kind: Kind) -> Channel:
    """The sender's word where it is a channel of ours, else the source's, else web for a page, mobile for a screen, server."""
    if is_channel(stated):
        return stated
    if is_channel(default):
        return default
    return "web" if kind == "page" else "mobile" if kind == "screen" else "server"
