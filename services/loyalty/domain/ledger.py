"""The double-entry ledger: every movement is a transfer between two accounts, so that all balances always sum to zero.

Member accounts are fragments and never move; a member's balance is the sum over the fragments of the profile. System
accounts carry the other side: `ISSUED` pays out what is earned, `REDEEMED` takes in what is spent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

ISSUED = UUID("00000000-0000-8000-8000-000000000001")
REDEEMED = UUID("00000000-0000-8000-8000-000000000002")

TransactionKind = Literal["earn", "take_back", "correction", "redemption", "adjustment"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """`points` (> 0) move from account `debit` to account `credit`: one line of a transaction."""

    debit: UUID
    credit: UUID
    points: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A named group of transfers, posted at once. `at` is the business time (of the touchpoint or the command)."""

    id: UUID
    kind: TransactionKind
    profile_id: UUID
    at: datetime
    transfers: tuple[Transfer, ...]
    order_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FragmentBalance:
    """What one fragment's account holds. `since` is the time of its first credit: burns take the oldest first."""

    fragment: UUID
    balance: int
    since: datetime


@dataclass(frozen=True, slots=True)
class InsufficientPoints:
    """A burn refused: the profile's balance doesn't cover it."""

    balance: int
    asked: int


def compute_transfer(account: UUID, points: int) -> Transfer:
    """The transfer that changes a member account by `points` (not 0): issued when positive, taken back when negative."""
    return Transfer(debit=ISSUED, credit=account, points=points) if points > 0 else Transfer(account, ISSUED, -points)


def compute_burn(balances: Sequence[FragmentBalance], points: int) -> tuple[Transfer, ...] | InsufficientPoints:
    """Which accounts pay `points` (> 0): positive ones, oldest first, ties by fragment id.

    The sum over all fragments must cover the burn: a negative account of the same profile is a debt the others owe.
    """
    total = sum(entry.balance for entry in balances)
    if total < points:
        return InsufficientPoints(balance=total, asked=points)
    transfers: list[Transfer] = []
    left = points
    for entry in sorted(balances, key=lambda entry: (entry.since, entry.fragment)):
        paid = min(left, entry.balance)
        if paid > 0:
            transfers.append(Transfer(debit=entry.fragment, credit=REDEEMED, points=paid))
            left -= paid
    return tuple(transfers)


def compute_balance_changes(transactions: Sequence[Transaction]) -> Mapping[UUID, int]:
    """Net change by account; the values sum to zero (system accounts included)."""
    changes: dict[UUID, int] = {}
    for transaction in transactions:
        for transfer in transaction.transfers:
            changes[transfer.debit] = changes.get(transfer.debit, 0) - transfer.points
            changes[transfer.credit] = changes.get(transfer.credit, 0) + transfer.points
    return changes
