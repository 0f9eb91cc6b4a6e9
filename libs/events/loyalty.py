"""Points: the balance after each change of a member's account."""

from typing import ClassVar, Literal

from msgspec import Struct

from libs.events.fields import Instant
from libs.kit.ids import Id


class LoyaltyBalanceChanged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The member's points after a change (or unchanged, as the answer to a probe).

    `version` grows by one with each record about the profile; the greatest is the level. Points are integers and may be
    negative. `lifetime` is the sum of all points ever earned, net of taken-back ones.
    """

    TYPE: ClassVar[str] = "rapport.loyalty.balance_changed.v1"

    profile_id: Id
    profile_version: int
    version: int
    program: str
    balance: int
    pending: int = 0
    lifetime: int = 0
    tier: str | None = None
    delta: int = 0
    cause: Literal["order", "refund", "merge", "split", "redemption", "adjustment", "probe"]
    at: Instant
