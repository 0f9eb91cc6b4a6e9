"""Idempotency keys: the same key and input get the same answer, however often and at once they are sent.

The key is claimed in the command's own transaction: its effects and the remembered answer are there together or not at all.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem
from starlette.responses import Response

from libs.kit.errors import FieldError, Invalid

if TYPE_CHECKING:
    from alembic.operations import Operations

    from libs.kit.db import Tx

TABLE: Final = "idempotency_keys"
HEADER_POINTER: Final = "#/header/idempotency-key"
KEY_MAX_LENGTH: Final = 255
KEPT_FOR: Final = timedelta(hours=48)
"""Twice what is promised (24 h), so that no retry falls into the gap of a purge."""
REPLAYED: Final = ("Idempotent-Replayed", "true")
"""The header of an answer given again."""


class StoredAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What the first call answered; `headers` only those that say something of the result (Location, ETag)."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def to_response(self) -> Response:
        return Response(self.body, self.status, dict(self.headers), "application/json")


class IdempotencyKeyReused(Invalid):
    code = "idempotency_key_reused"
    title = "The Idempotency-Key was used with another input"


def idempotency_tables(metadata: sa.MetaData) -> sa.Table:
    """Declare the table on a service's own metadata."""
    return sa.Table(TABLE, metadata, *_columns(), _created_index())


def create_idempotency(op: "Operations") -> None:
    """The same table from a service's migration."""
    op.create_table(TABLE, *_columns())
    op.create_index(_INDEX_NAME, TABLE, ["created_at"])


def drop_idempotency(op: "Operations") -> None:
    op.drop_table(TABLE)


_INDEX_NAME = "ix_idempotency_keys_created_at"


def _columns() -> tuple[SchemaItem, ...]:
    return (
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("input_hash", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_idempotency_keys"),
    )


def _created_index() -> sa.Index:
    return sa.Index(_INDEX_NAME, "created_at")


async def claim(tx: "Tx", key: str, scope: str, input_hash: bytes, now: datetime) -> StoredAnswer | None:
    """The answer to give again, or None: the caller does the work and stores its answer in the same transaction.

    `scope` keeps different commands (and callers) with equal keys apart. A second call at the same time waits for the first
    one's transaction. Raises IdempotencyKeyReused for another input, Invalid for a key that is empty or too long.
    """
    _check_key(key)
    # 1. The insert waits while another transaction holds the same key, and fails to insert once that one has committed.
    inserted = await tx.fetchval(
        """
        INSERT INTO idempotency_keys (scope, key, input_hash, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (scope, key) DO NOTHING RETURNING 1
        """,
        scope,
        key,
        input_hash,
        now,
    )
    if inserted is not None:
        return None
    # 2. A statement of its own, which sees what the wait was for.
    row = await tx.fetchrow(
        "SELECT input_hash, answer FROM idempotency_keys WHERE scope = $1 AND key = $2 FOR UPDATE", scope, key
    )
    if row is None:  # purged between the two statements
        return await claim(tx, key, scope, input_hash, now)
    return _compare_claim(row["input_hash"], row["answer"], input_hash)


async def store_answer(tx: "Tx", key: str, scope: str, answer: StoredAnswer) -> None:
    """Remember the answer of a key claimed in this transaction."""
    await tx.execute(
        "UPDATE idempotency_keys SET answer = $3 WHERE scope = $1 AND key = $2", scope, key, msgspec.msgpack.encode(answer)
    )


async def answer_once(
    tx: "Tx", key: str | None, scope: str, given: bytes, now: datetime, run: Callable[[], Awaitable[StoredAnswer]]
) -> StoredAnswer:
    """What `run` answers, or what it answered when the key came with the same input before, marked as replayed.

    `given` is the whole input, the route included. Without a key `run` simply runs. Raises what `claim` raises.
    """
    if key is None:
        return await run()
    stored = await claim(tx, key, scope, hashlib.sha256(given).digest(), now)
    if stored is not None:
        return msgspec.structs.replace(stored, headers=(*stored.headers, REPLAYED))
    answer = await run()
    await store_answer(tx, key, scope, answer)
    return answer


async def purge_idempotency_keys(tx: "Tx", now: datetime) -> int:
    """Forget keys older than 48 h, some thousand a call; how many."""
    status = await tx.execute(
        """
        DELETE FROM idempotency_keys WHERE (scope, key) IN (
          SELECT scope, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT 5000 FOR UPDATE SKIP LOCKED)
        """,
        now - KEPT_FOR,
    )
    return int(status.rpartition(" ")[2])


def _check_key(key: str) -> None:
    if not 0 < len(key) <= KEY_MAX_LENGTH or "\0" in key:
        detail = f"must have 1 to {KEY_MAX_LENGTH} characters"
        raise Invalid(f"The Idempotency-Key {detail}.", errors=[FieldError(HEADER_POINTER, detail)])


def _compare_claim(stored_hash: bytes, stored_answer: bytes | None, input_hash: bytes) -> StoredAnswer | None:
    """The remembered answer. None where a command claimed the key and left nothing to remember: it is done again."""
    if stored_hash != input_hash:
        detail = "was used with another input"
        raise IdempotencyKeyReused(f"This Idempotency-Key {detail}.", errors=[FieldError(HEADER_POINTER, detail)])
    return msgspec.msgpack.decode(stored_answer, type=StoredAnswer) if stored_answer is not None else None
