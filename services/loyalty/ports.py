"""What the loyalty handlers need from storage. All methods run in the caller's transaction and decide nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from libs.kit.db import Tx
from libs.orders.parts import OrderPart, RefundPart
from services.loyalty.domain.ledger import FragmentBalance, Transaction

OrderKey = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class MemberState:
    """What was last told about a profile: `version` of that record, and the sums it named."""

    version: int
    balance: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """Everything known of some orders in some fragments: parts, refunds (closed over refund ids), points held."""

    orders: Mapping[OrderKey, OrderPart]
    refunds: Mapping[OrderKey, RefundPart]
    points: Mapping[OrderKey, int]


@dataclass(frozen=True, slots=True)
class StatementLine:
    id: UUID
    line: int
    kind: str
    points: int
    order_id: str | None
    reason: str | None
    at: datetime
    posted_at: datetime


class Ledger(Protocol):
    """Facts by fragment and the accounts over them. Callers hold the locks of the fragments and profiles they name."""

    async def load_order_parts(self, tx: Tx, keys: Sequence[OrderKey]) -> dict[OrderKey, OrderPart]: ...

    async def load_refund_parts(self, tx: Tx, keys: Sequence[OrderKey]) -> dict[OrderKey, RefundPart]: ...

    async def save_parts(self, tx: Tx, orders: Mapping[OrderKey, OrderPart], refunds: Mapping[OrderKey, RefundPart]) -> None: ...

    async def find_spanning_orders(self, tx: Tx, fragments: Sequence[UUID]) -> set[str]:
        """Orders of which more than one of these fragments knows something (an order, a refund or points), or that a
        refund id known in more than one of them names: those that a merge or split of the fragments can change.
        """

    async def load_facts(self, tx: Tx, fragments: Sequence[UUID], order_ids: Iterable[str]) -> OrderFacts:
        """All that these fragments know of these orders and of every order their refund ids touch."""

    async def post(self, tx: Tx, transactions: Sequence[Transaction], posted_at: datetime) -> None:
        """Append transfers and change balances. `lifetime` moves with everything but redemptions."""

    async def save_order_points(self, tx: Tx, changes: Mapping[OrderKey, int]) -> None:
        """Add to the points an account holds for an order."""

    async def load_balances(self, tx: Tx, fragments: Sequence[UUID]) -> dict[UUID, tuple[FragmentBalance, int]]:
        """Balance and lifetime by fragment; fragments without an account are missing."""

    async def load_members(self, tx: Tx, profile_ids: Sequence[UUID]) -> dict[UUID, MemberState]: ...

    async def save_members(self, tx: Tx, members: Mapping[UUID, MemberState]) -> None: ...

    async def load_statement(
        self, tx: Tx, fragments: Sequence[UUID], *, limit: int, before: tuple[datetime, UUID, int] | None
    ) -> list[StatementLine]:
        """Lines newest first; `before` is the position of the last one already shown."""

    async def load_totals(self, tx: Tx) -> list[tuple[str, int, int]]:
        """(kind, transfers, points) over everything ever posted."""
