"""PostgreSQL behind the loyalty ports: one statement a table a batch, on the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from libs.kit.db import Tx
from libs.orders.parts import OrderPart, RefundPart
from services.loyalty.domain.ledger import ISSUED, REDEEMED, FragmentBalance, Transaction
from services.loyalty.ports import MemberState, OrderFacts, OrderKey, StatementLine

_encode = msgspec.msgpack.Encoder().encode
_decode_order = msgspec.msgpack.Decoder(OrderPart).decode
_decode_refund = msgspec.msgpack.Decoder(RefundPart).decode

SYSTEM_ACCOUNTS = (ISSUED, REDEEMED)

_LOAD_ORDERS = """
select p.fragment, p.order_id, p.part from order_parts p
join unnest($1::uuid[], $2::text[]) as k(fragment, order_id) on p.fragment = k.fragment and p.order_id = k.order_id
"""
_LOAD_REFUNDS = """
select p.fragment, p.refund_key, p.part from refund_parts p
join unnest($1::uuid[], $2::text[]) as k(fragment, refund_key) on p.fragment = k.fragment and p.refund_key = k.refund_key
"""
_SAVE_ORDERS = """
insert into order_parts (fragment, order_id, part) select * from unnest($1::uuid[], $2::text[], $3::bytea[])
on conflict (fragment, order_id) do update set part = excluded.part
"""
_SAVE_REFUNDS = """
insert into refund_parts (fragment, refund_key, order_id, part)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])
on conflict (fragment, refund_key) do update set part = excluded.part, order_id = excluded.order_id
"""
_SPANNING = """
with known as (
  select fragment, order_id from order_parts where fragment = any($1::uuid[])
  union select fragment, order_id from refund_parts where fragment = any($1::uuid[]) and order_id is not null
  union select fragment, order_id from order_points where fragment = any($1::uuid[])
), shared_refunds as (
  select refund_key from refund_parts where fragment = any($1::uuid[]) group by refund_key having count(*) > 1
)
select order_id from known group by order_id having count(*) > 1
union
select order_id from refund_parts
where fragment = any($1::uuid[]) and order_id is not null and refund_key in (select refund_key from shared_refunds)
"""
# A refund id may name one order here and another there; only the latest word counts, so both orders are affected and
# both need all their refunds. The recursion ends because each step adds orders of these fragments only.
_CLOSE_OVER_REFUNDS = """
with recursive named(order_id) as (
  select unnest($2::text[])
  union
  select other.order_id
  from named
  join refund_parts own on own.order_id = named.order_id and own.fragment = any($1::uuid[])
  join refund_parts other on other.refund_key = own.refund_key and other.fragment = any($1::uuid[])
  where other.order_id is not null
)
select order_id from named
"""
_FACT_ORDERS = "select fragment, order_id, part from order_parts where fragment = any($1::uuid[]) and order_id = any($2::text[])"
_FACT_REFUNDS = """
select fragment, refund_key, part from refund_parts
where fragment = any($1::uuid[]) and (order_id = any($2::text[]) or refund_key in (
  select refund_key from refund_parts where fragment = any($1::uuid[]) and order_id = any($2::text[])))
"""
_FACT_POINTS = (
    "select fragment, order_id, points from order_points where fragment = any($1::uuid[]) and order_id = any($2::text[])"
)
_ADD_POINTS = """
insert into order_points as held (fragment, order_id, points) select * from unnest($1::uuid[], $2::text[], $3::bigint[])
on conflict (fragment, order_id) do update set points = held.points + excluded.points
"""
_ADD_BALANCES = """
insert into balances as held (account, balance, lifetime, since)
select *, $4::timestamptz from unnest($1::uuid[], $2::bigint[], $3::bigint[])
on conflict (account) do update set balance = held.balance + excluded.balance, lifetime = held.lifetime + excluded.lifetime
"""
_SAVE_MEMBERS = """
insert into members (profile_id, version, balance, lifetime)
select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
on conflict (profile_id) do update
set version = excluded.version, balance = excluded.balance, lifetime = excluded.lifetime
"""
_STATEMENT = """
select transaction_id, line, kind, case when credit = any($1::uuid[]) then points else -points end as points,
       order_id, reason, at, posted_at
from transfers
where (debit = any($1::uuid[]) or credit = any($1::uuid[]))
  and ($2::timestamptz is null or (posted_at, transaction_id, line) < ($2, $3::uuid, $4::smallint))
order by posted_at desc, transaction_id desc, line desc
limit $5
"""


def _columns(keys: Iterable[OrderKey]) -> tuple[list[UUID], list[str]]:
    pairs = sorted(keys)
    return [fragment for fragment, _ in pairs], [name for _, name in pairs]


class PostgresLedger:
    """services.loyalty.ports.Ledger on PostgreSQL."""

    async def load_order_parts(self, tx: Tx, keys: Sequence[OrderKey]) -> dict[OrderKey, OrderPart]:
        rows = await tx.fetch(_LOAD_ORDERS, *_columns(keys))
        return {(row[0], row[1]): _decode_order(row[2]) for row in rows}

    async def load_refund_parts(self, tx: Tx, keys: Sequence[OrderKey]) -> dict[OrderKey, RefundPart]:
        rows = await tx.fetch(_LOAD_REFUNDS, *_columns(keys))
        return {(row[0], row[1]): _decode_refund(row[2]) for row in rows}

    async def save_parts(self, tx: Tx, orders: Mapping[OrderKey, OrderPart], refunds: Mapping[OrderKey, RefundPart]) -> None:
        if orders:
            await tx.execute(_SAVE_ORDERS, *_columns(orders), [_encode(orders[key]) for key in sorted(orders)])
        if refunds:
            parts = [refunds[key] for key in sorted(refunds)]
            await tx.execute(_SAVE_REFUNDS, *_columns(refunds), [part.order_id for part in parts], [_encode(p) for p in parts])

    async def find_spanning_orders(self, tx: Tx, fragments: Sequence[UUID]) -> set[str]:
        return {row[0] for row in await tx.fetch(_SPANNING, list(fragments))}

    async def load_facts(self, tx: Tx, fragments: Sequence[UUID], order_ids: Iterable[str]) -> OrderFacts:
        owners = list(fragments)
        names = [row[0] for row in await tx.fetch(_CLOSE_OVER_REFUNDS, owners, sorted(order_ids))]
        orders = await tx.fetch(_FACT_ORDERS, owners, names)
        refunds = await tx.fetch(_FACT_REFUNDS, owners, names)
        points = await tx.fetch(_FACT_POINTS, owners, names)
        return OrderFacts(
            orders={(row[0], row[1]): _decode_order(row[2]) for row in orders},
            refunds={(row[0], row[1]): _decode_refund(row[2]) for row in refunds},
            points={(row[0], row[1]): row[2] for row in points},
        )

    async def post(self, tx: Tx, transactions: Sequence[Transaction], posted_at: datetime) -> None:
        lines = []
        balance: dict[UUID, int] = {}
        lifetime: dict[UUID, int] = {}
        for entry in transactions:
            for number, move in enumerate(entry.transfers):
                business = (entry.profile_id, entry.order_id, entry.reason, entry.at, posted_at)
                lines.append((entry.id, number, entry.kind, move.debit, move.credit, move.points, *business))
                for account, points in ((move.debit, -move.points), (move.credit, move.points)):
                    balance[account] = balance.get(account, 0) + points
                    lifetime[account] = lifetime.get(account, 0) + (0 if entry.kind == "redemption" else points)
        if not lines:
            return
        columns = ["transaction_id", "line", "kind", "debit", "credit", "points"]
        columns += ["profile_id", "order_id", "reason", "at", "posted_at"]
        await tx.copy_records_to_table("transfers", records=lines, columns=columns)
        # System accounts have no row: every worker would wait for it. Their balances are sums over the transfers.
        accounts = sorted(account for account in balance if account not in SYSTEM_ACCOUNTS)
        await tx.execute(_ADD_BALANCES, accounts, [balance[a] for a in accounts], [lifetime[a] for a in accounts], posted_at)

    async def save_order_points(self, tx: Tx, changes: Mapping[OrderKey, int]) -> None:
        if changes:
            await tx.execute(_ADD_POINTS, *_columns(changes), [changes[key] for key in sorted(changes)])

    async def load_balances(self, tx: Tx, fragments: Sequence[UUID]) -> dict[UUID, tuple[FragmentBalance, int]]:
        rows = await tx.fetch(
            "select account, balance, lifetime, since from balances where account = any($1::uuid[])", list(fragments)
        )
        return {row[0]: (FragmentBalance(row[0], row[1], row[3]), row[2]) for row in rows}

    async def load_members(self, tx: Tx, profile_ids: Sequence[UUID]) -> dict[UUID, MemberState]:
        rows = await tx.fetch(
            "select profile_id, version, balance, lifetime from members where profile_id = any($1::uuid[])", list(profile_ids)
        )
        return {row[0]: MemberState(row[1], row[2], row[3]) for row in rows}

    async def save_members(self, tx: Tx, members: Mapping[UUID, MemberState]) -> None:
        ids = sorted(members)
        states = [members[profile_id] for profile_id in ids]
        await tx.execute(
            _SAVE_MEMBERS, ids, [s.version for s in states], [s.balance for s in states], [s.lifetime for s in states]
        )

    async def load_statement(
        self, tx: Tx, fragments: Sequence[UUID], *, limit: int, before: tuple[datetime, UUID, int] | None
    ) -> list[StatementLine]:
        at, transaction_id, line = before or (None, None, None)
        rows = await tx.fetch(_STATEMENT, list(fragments), at, transaction_id, line, limit)
        return [StatementLine(*row) for row in rows]

    async def load_totals(self, tx: Tx) -> list[tuple[str, int, int]]:
        rows = await tx.fetch("select kind, count(*), sum(points)::bigint from transfers group by kind order by kind")
        return [(row[0], row[1], row[2]) for row in rows]
