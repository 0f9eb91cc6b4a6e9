"""Use cases of loyalty: keep orders as facts, re-derive the points they are worth, burn points on request.

Every function runs in the caller's transaction, under the locks of the fragments and profiles it names.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.events import codec, topics
from libs.events.envelope import Outgoing
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.kit.ids import IdFactory
from libs.kit.metrics import counter
from libs.kit.times import to_micros
from libs.orders.parts import OrderPart, RefundPart, fold_order, fold_refund, merge_orders, merge_refunds, refund_key
from libs.orders.settle import settle
from libs.subscriber.changes import Affected, FactTouchpoint
from services.loyalty.domain.ledger import (
    InsufficientPoints,
    Transaction,
    TransactionKind,
    Transfer,
    compute_burn,
    compute_transfer,
)
from services.loyalty.domain.points import compute_points
from services.loyalty.domain.programs import Program
from services.loyalty.ports import Ledger, MemberState, OrderFacts, OrderKey

EARNING: dict[bool, TransactionKind] = {True: "earn", False: "take_back"}
EARNED = counter("loyalty_points", "Points earned: the rises of balances, told in loyalty-events.")
NOBODY = MemberState(version=0, balance=0, lifetime=0)


@dataclass(frozen=True, slots=True)
class Loyalty:
    """What the handlers work with."""

    program: Program
    ledger: Ledger
    clock: Clock
    new_id: IdFactory


def states_order(touchpoint: FactTouchpoint) -> bool:
    """Nothing else earns points or takes them back."""
    return touchpoint.body.order is not None


async def save_order_facts(tx: Tx, touchpoints: Sequence[FactTouchpoint], loyalty: Loyalty) -> set[str]:
    """Fold what new touchpoints say of orders into the rows of their fragments.

    Returns the orders that a refund named until now and no longer does: their points change, too.
    """
    stated = [entry for entry in touchpoints if states_order(entry)]
    if not stated:
        return set()
    order_keys = [_order_key(entry) for entry in stated if not _is_refund(entry)]
    refund_keys = [_refund_key(entry) for entry in stated if _is_refund(entry)]
    orders: dict[OrderKey, OrderPart] = await loyalty.ledger.load_order_parts(tx, order_keys) if order_keys else {}
    refunds: dict[OrderKey, RefundPart] = await loyalty.ledger.load_refund_parts(tx, refund_keys) if refund_keys else {}
    before = {key: part.order_id for key, part in refunds.items()}
    for entry in stated:
        statement, at_us, touchpoint_id = entry.body.order, to_micros(entry.body.occurred_at), entry.body.id
        assert statement is not None  # noqa: S101 - `stated` holds no other
        if _is_refund(entry):
            key = _refund_key(entry)
            refunds[key] = fold_refund(refunds.get(key), statement, at_us, touchpoint_id)
        else:
            key = _order_key(entry)
            orders[key] = fold_order(orders.get(key), statement, at_us, touchpoint_id)
    await loyalty.ledger.save_parts(tx, orders, refunds)
    return {order_id for key, order_id in before.items() if order_id is not None and order_id != refunds[key].order_id}


def _is_refund(entry: FactTouchpoint) -> bool:
    return entry.body.order is not None and entry.body.order.step == "refunded"


def _order_key(entry: FactTouchpoint) -> OrderKey:
    order = entry.body.order
    return entry.fragment, (order.order_id if order is not None else None) or str(entry.body.id)


def _refund_key(entry: FactTouchpoint) -> OrderKey:
    order = entry.body.order
    assert order is not None  # noqa: S101 - asked for refunds only
    return entry.fragment, refund_key(order, entry.body.id)


async def judge_profiles(
    tx: Tx, affected: Sequence[Affected], loyalty: Loyalty, *, unnamed: AbstractSet[str] = frozenset()
) -> list[Outgoing]:
    """Post what each profile's orders are now worth, and tell whose balance moved.

    Points are re-derived for the orders that new touchpoints name, and after a merge or split for those that more than
    one of the regrouped fragments knows: the correcting entries name the merge. `unnamed` is what `save_order_facts` gave.
    """
    named: dict[UUID, dict[str, datetime]] = {entry.profile_id: _orders_named(entry) for entry in affected}
    regrouped = [entry for entry in affected if entry.membership_changed]
    spanning: set[str] = set(unnamed)
    if len({fragment for entry in regrouped for fragment in entry.fragments}) > 1:
        spanning |= await loyalty.ledger.find_spanning_orders(tx, sorted({f for entry in regrouped for f in entry.fragments}))
    order_ids = spanning.union(*(orders.keys() for orders in named.values())) if affected else spanning
    fragments = sorted({fragment for entry in affected for fragment in entry.fragments})
    now = loyalty.clock.now()
    if order_ids and fragments:
        facts = await loyalty.ledger.load_facts(tx, fragments, order_ids)
        transactions: list[Transaction] = []
        points: dict[OrderKey, int] = {}
        grouped = _by_fragment(facts)
        for entry in affected:
            transactions += _rederive(entry, grouped, named[entry.profile_id], now, loyalty, points)
        await loyalty.ledger.post(tx, transactions, now)
        await loyalty.ledger.save_order_points(tx, points)
    told = [entry for entry in affected if order_ids or entry.membership_changed or entry.probe]
    return await tell_balances(tx, told, loyalty) if told else []


def _orders_named(entry: Affected) -> dict[str, datetime]:
    """Orders that the new touchpoints of this profile name, with the time of the touchpoint (the latest one wins)."""
    named: dict[str, datetime] = {}
    for change in entry.changes:
        for fact in change.touchpoints:
            statement = fact.body.order
            if statement is None or fact.fragment not in entry.fragments:
                continue
            order_id = statement.order_id or (None if statement.step == "refunded" else str(fact.body.id))
            if order_id is not None:
                named[order_id] = fact.body.occurred_at
    return named


@dataclass(slots=True)
class _FragmentFacts:
    orders: dict[str, OrderPart]
    refunds: dict[str, RefundPart]
    points: dict[str, int]


def _by_fragment(facts: OrderFacts) -> dict[UUID, _FragmentFacts]:
    grouped: dict[UUID, _FragmentFacts] = defaultdict(lambda: _FragmentFacts({}, {}, {}))
    for (fragment, order_id), order in facts.orders.items():
        grouped[fragment].orders[order_id] = order
    for (fragment, key), refund in facts.refunds.items():
        grouped[fragment].refunds[key] = refund
    for (fragment, order_id), held in facts.points.items():
        grouped[fragment].points[order_id] = held
    return grouped


def _rederive(
    entry: Affected,
    grouped: Mapping[UUID, _FragmentFacts],
    named: Mapping[str, datetime],
    now: datetime,
    loyalty: Loyalty,
    points: dict[OrderKey, int],
) -> Iterable[Transaction]:
    """Transactions that bring what one profile holds for each order to what the order is worth."""
    own = {fragment: grouped[fragment] for fragment in entry.fragments if fragment in grouped}
    winners: dict[str, RefundPart] = {}
    for known in own.values():
        for key, refund in known.refunds.items():
            winners[key] = merge_refunds(winners[key], refund) if key in winners else refund
    by_order: dict[str, list[RefundPart]] = defaultdict(list)
    for refund in winners.values():
        if refund.order_id is not None:
            by_order[refund.order_id].append(refund)
    for order_id in sorted({name for known in own.values() for name in (*known.orders, *known.points)}):
        parts = {fragment: known.orders[order_id] for fragment, known in own.items() if order_id in known.orders}
        held = {fragment: known.points[order_id] for fragment, known in own.items() if order_id in known.points}
        order = _merge_all(parts.values())
        worth = compute_points(settle(order, by_order.get(order_id, [])), loyalty.program)
        delta = worth - sum(held.values())
        if delta == 0:
            continue
        account = min(parts or held)
        points[(account, order_id)] = points.get((account, order_id), 0) + delta
        yield Transaction(
            id=loyalty.new_id(),
            kind="correction" if order_id not in named else EARNING[delta > 0],
            profile_id=entry.profile_id,
            at=named.get(order_id, now),
            transfers=(compute_transfer(account, delta),),
            order_id=order_id,
            reason=None if order_id in named else "profiles merged or split",
        )


def _merge_all(parts: Iterable[OrderPart]) -> OrderPart | None:
    merged: OrderPart | None = None
    for part in parts:
        merged = part if merged is None else merge_orders(merged, part)
    return merged


async def tell_balances(tx: Tx, affected: Sequence[Affected], loyalty: Loyalty, *, cause: str | None = None) -> list[Outgoing]:
    """One `LoyaltyBalanceChanged` for each profile whose sums differ from what was last told, and for each probe."""
    now = loyalty.clock.now()
    balances = await loyalty.ledger.load_balances(tx, sorted({f for entry in affected for f in entry.fragments}))
    members = await loyalty.ledger.load_members(tx, sorted(entry.profile_id for entry in affected))
    changed: dict[UUID, MemberState] = {}
    outgoing: list[Outgoing] = []
    for entry in affected:
        accounts = [balances[fragment] for fragment in entry.fragments if fragment in balances]
        before = members.get(entry.profile_id, NOBODY)
        after = MemberState(before.version + 1, sum(a.balance for a, _ in accounts), sum(life for _, life in accounts))
        moved = replace(after, version=before.version) != before
        if not moved and not entry.probe:
            continue
        changed[entry.profile_id] = after
        reason = cause or ("probe" if not moved else "merge" if entry.membership_changed else "order")
        outgoing.append(_balance_changed(entry, before, after, reason, now, loyalty.program))
        EARNED.inc(max(0, after.balance - before.balance))
    if changed:
        await loyalty.ledger.save_members(tx, changed)
    return outgoing


def _balance_changed(
    entry: Affected, before: MemberState, after: MemberState, cause: str, now: datetime, program: Program
) -> Outgoing:
    event = LoyaltyBalanceChanged(
        profile_id=entry.profile_id,
        profile_version=entry.version,
        version=after.version,
        program=program.id,
        balance=after.balance,
        lifetime=after.lifetime,
        delta=after.balance - before.balance,
        cause=cause,  # type: ignore[arg-type]
        at=now,
    )
    return codec.encode(
        event,
        topic=topics.LOYALTY_EVENTS,
        key=entry.profile_id,
        event_id=f"{entry.profile_id}:{after.version}",
        source="loyalty",
        time=now,
        received_ms=int(now.timestamp() * 1000),
    )


@dataclass(frozen=True, slots=True)
class Redeemed:
    transaction_id: UUID
    balance: int


async def redeem_points(
    tx: Tx, member: Affected, points: int, reason: str | None, loyalty: Loyalty
) -> tuple[Redeemed | InsufficientPoints, list[Outgoing]]:
    """Burn `points` from the fragments of the profile (oldest account first). The caller holds its locks."""
    balances = await loyalty.ledger.load_balances(tx, list(member.fragments))
    transfers = compute_burn([balance for balance, _ in balances.values()], points)
    if isinstance(transfers, InsufficientPoints):
        return transfers, []
    return await _command(tx, member, "redemption", transfers, reason, loyalty)


async def adjust_points(tx: Tx, member: Affected, points: int, reason: str, loyalty: Loyalty) -> tuple[Redeemed, list[Outgoing]]:
    """Give (or take, when negative) points by hand; the balance may go below zero."""
    transfer = compute_transfer(min(member.fragments), points)
    return await _command(tx, member, "adjustment", (transfer,), reason, loyalty)


async def _command(
    tx: Tx, member: Affected, kind: TransactionKind, transfers: tuple[Transfer, ...], reason: str | None, loyalty: Loyalty
) -> tuple[Redeemed, list[Outgoing]]:
    now = loyalty.clock.now()
    transaction = Transaction(loyalty.new_id(), kind, member.profile_id, now, transfers, reason=reason)
    await loyalty.ledger.post(tx, [transaction], now)
    outgoing = await tell_balances(tx, [member], loyalty, cause=kind)
    state = (await loyalty.ledger.load_members(tx, [member.profile_id]))[member.profile_id]
    return Redeemed(transaction.id, state.balance), outgoing
