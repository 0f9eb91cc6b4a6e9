"""Accounts in PostgreSQL: what all group calls said of them, and whose they are.

Membership is kept by fragment, so that merges and splits move nothing: the members are the profiles that have the fragments now.
"""

from typing import Any, Final
from uuid import UUID

from libs.kit.db import Tx
from services.profile.domain.accounts import Grouped, compute_account_key, merge_stored

# In the order of keys, as the locks are: who waits here holds no account's lock yet, only new rows before that one.
_INSERT: Final = """
INSERT INTO accounts (key, id, state) SELECT *, ''::bytea FROM unnest($1::uuid[], $2::text[]) ON CONFLICT DO NOTHING
"""
_LOCK: Final = "SELECT key, state FROM accounts WHERE key = ANY($1::uuid[]) ORDER BY key FOR UPDATE"
_UPDATE: Final = """
UPDATE accounts AS a SET state = n.state FROM unnest($1::uuid[], $2::bytea[]) AS n (key, state) WHERE a.key = n.key
"""
_SAVE_MEMBERS: Final = """
INSERT INTO account_members (account, fragment, since_us) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
    ON CONFLICT (account, fragment) DO UPDATE SET since_us = excluded.since_us
 WHERE excluded.since_us < account_members.since_us
"""
_MEMBERS: Final = """
SELECT f.profile_id, min(m.since_us)
  FROM account_members m JOIN fragments f ON f.id = m.fragment
 WHERE m.account = $1 AND f.profile_id > $2
 GROUP BY f.profile_id ORDER BY f.profile_id LIMIT $3
"""


class PostgresAccounts:
    """AccountStore over the service's own schema."""

    async def save_grouped(self, tx: Tx, grouped: Grouped) -> None:
        by_key = {compute_account_key(account_id): account_id for account_id in grouped.accounts}
        keys = sorted(by_key)
        await tx.execute(_INSERT, keys, [by_key[key] for key in keys])
        stored = {row[0]: row[1] for row in await tx.fetch(_LOCK, keys)}
        states = {key: merge_stored(stored[key], grouped.accounts[by_key[key]]) for key in keys}
        changed = [key for key in keys if states[key] != stored[key]]
        await tx.execute(_UPDATE, changed, [states[key] for key in changed])
        members = sorted((compute_account_key(account_id), fragment) for account_id, fragment in grouped.members)
        since = {(compute_account_key(one), fragment): since_us for (one, fragment), since_us in grouped.members.items()}
        columns = [one[0] for one in members], [one[1] for one in members], [since[one] for one in members]
        await tx.execute(_SAVE_MEMBERS, *columns)


async def load_account(tx: Tx, account_id: str) -> bytes | None:
    """What is stored of it; None where no group call has named it."""
    state: bytes | None = await tx.fetchval("SELECT state FROM accounts WHERE key = $1", compute_account_key(account_id))
    return state


async def load_members(tx: Tx, account_id: str, after: UUID, limit: int) -> list[Any]:
    """(profile id, since in microseconds) of the profiles that belong to it now, by id."""
    rows: list[Any] = await tx.fetch(_MEMBERS, compute_account_key(account_id), after, limit)
    return rows
