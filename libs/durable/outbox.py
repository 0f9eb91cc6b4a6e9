"""The transactional outbox: records leave with the transaction that made them, and the log's last record of a key is its newest.

Compaction keeps the last *offset* of a key, not the highest version, so (DESIGN 4.3, reference/modelcheck m1d and m1e):

1. one row a transaction holds all its records; its publisher keeps the row locked, everybody else skips it;
2. what is published first is the stored record itself, with its own version: never an old number on new content;
3. after the acknowledgement, while a key has a higher version than was published, the current record is published again;
4. only then the row goes. A crash anywhere before leaves the row for `sweep`, which does the same.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast
from uuid import UUID, uuid4

import cramjam
import msgspec
import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem

from libs.events.codec import VERSION_HEADER
from libs.events.envelope import Outgoing
from libs.kit.logging import get_logger
from libs.kit.metrics import counter
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Publisher, StagedId

if TYPE_CHECKING:
    from alembic.operations import Operations

    from libs.kit.db import Database, Tx

_log = get_logger(__name__)
_SWEPT = counter("outbox_swept_total", "Outbox rows that a crash or a failed publish left behind, published by a sweep.")
_REPUBLISHED = counter(
    "outbox_republished_total", "Records published again because a higher version had been committed meanwhile."
)

OUTBOX: Final = "outbox"
# Losing the deletion of a row in a power cut only publishes it once more: no reason to wait for the disk.
_LAZY_COMMIT: Final = "set_config('synchronous_commit', 'off', true)"
_Stored = tuple[str, bytes, bytes | None, tuple[tuple[str, bytes], ...], int | None]
_decode = msgspec.msgpack.Decoder(list[_Stored]).decode


class CurrentRecords(Protocol):
    """The owner's answer to "is this still the newest?"."""

    async def __call__(self, tx: "Tx", published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
        """Of these (record key, version published): the present record of each key that has a higher version now.

        Each carries its version in the header `rapport_version`. Empty: all agree.
        """
        ...


def outbox_tables(metadata: sa.MetaData) -> sa.Table:
    """Declare the table on a service's own metadata."""
    return sa.Table(OUTBOX, metadata, *_columns())


def create_outbox(op: "Operations") -> None:
    """The same table from a service's migration."""
    op.create_table(OUTBOX, *_columns())
    # The records are compressed already; PostgreSQL's own slow compression would only cost.
    op.execute("ALTER TABLE outbox ALTER COLUMN records SET STORAGE EXTERNAL")
    # A queue: rows live milliseconds, and dead ones must not pile up in the pages that a sweep reads.
    op.execute("ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)")


def drop_outbox(op: "Operations") -> None:
    op.drop_table(OUTBOX)


def _columns() -> tuple[SchemaItem, ...]:
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("staged_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("records", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )


class PostgresOutbox:
    """The outbox in the service's own schema. `current` is needed where records with a version go to a compacted topic."""

    def __init__(
        self,
        database: "Database",
        publisher: Publisher,
        *,
        current: CurrentRecords | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._current = current
        self._new_id = new_id

    async def stage(self, tx: "Tx", messages: Sequence[Outgoing]) -> StagedId | None:
        """One row for all of them, or None for none."""
        if not messages:
            return None
        staged = self._new_id()
        await tx.execute("INSERT INTO outbox (id, records) VALUES ($1, $2)", staged, encode_records(messages))
        return staged

    async def publish(self, staged: StagedId, messages: Sequence[Outgoing]) -> None:
        """After the commit, with the same messages. A row that is gone or held by another publisher is that one's business.

        Raises PublishFailed; the row stays and may be published again.
        """
        async with self._database.transaction() as tx:
            if await tx.fetchval(f"SELECT {_LAZY_COMMIT} FROM outbox WHERE id = $1 FOR UPDATE SKIP LOCKED", staged) is None:  # noqa: S608
                return
            await self._publish_until_current(tx, messages)
            await tx.execute("DELETE FROM outbox WHERE id = $1", staged)

    async def sweep(self) -> int:
        """Publish every row staged before now that nobody holds; how many.

        Raises PublishFailed when one couldn't be, after trying the others: a row whose records can
        never be published doesn't keep the rest back.
        """
        swept, failed = 0, list[UUID]()
        failure: PublishFailed | None = None
        async with self._database.connection() as connection:
            began = await connection.fetchval("SELECT clock_timestamp()")
        while True:
            async with self._database.transaction() as tx:
                row = await tx.fetchrow(
                    f"""
                    SELECT id, records, {_LAZY_COMMIT} FROM outbox WHERE staged_at < $1 AND id <> ALL($2::uuid[])
                    ORDER BY staged_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
                    """,  # noqa: S608 - a constant of ours
                    began,
                    failed,
                )
                if row is None:
                    break
                try:
                    await self._publish_until_current(tx, decode_records(row["records"]))
                except PublishFailed as error:
                    if error.retryable:
                        raise
                    _log.error("outbox_row_stuck", row=str(row["id"]), reason=str(error))
                    failed.append(row["id"])
                    failure = error
                    continue
                await tx.execute("DELETE FROM outbox WHERE id = $1", row["id"])
            swept += 1
        if swept:
            _SWEPT.inc(swept)
            _log.info("outbox_swept", rows=swept)
        if failure is not None:
            raise failure
        return swept

    async def _publish_until_current(self, tx: "Tx", messages: Sequence[Outgoing]) -> None:
        while messages:
            await self._publisher.publish(messages)
            published = highest_versions(messages)
            if self._current is None or not published:
                return
            # Each statement sees what is committed by now. A version committed after it has a publisher of its own, whose
            # record gets a later offset than ours.
            messages = await self._current(tx, sorted(published.items()))
            _REPUBLISHED.inc(len(messages))


def highest_versions(messages: Sequence[Outgoing]) -> dict[bytes, int]:
    """Record key -> the highest version among its records. Those without a version aren't compared."""
    highest: dict[bytes, int] = {}
    for message in messages:
        for name, value in reversed(message.headers):  # it is among the last
            if name == VERSION_HEADER:
                highest[message.key] = max(int(value), highest.get(message.key, 0))
                break
    return highest


def encode_records(messages: Sequence[Outgoing]) -> bytes:
    """Compact: 2,000 change records take some 6 ms and a tenth of their size."""
    stored = [(one.topic, one.key, one.value, one.headers, one.timestamp_ms) for one in messages]
    return bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(stored)))


def decode_records(stored: bytes) -> list[Outgoing]:
    return [Outgoing(*record) for record in _decode(bytes(cramjam.lz4.decompress_block(stored)))]


class FakeOutbox:
    """The same promises in memory, for unit tests of handlers and consumers. Rows stay when the transaction is rolled back."""

    def __init__(self, publisher: Publisher, *, current: CurrentRecords | None = None) -> None:
        self.rows: dict[UUID, list[Outgoing]] = {}
        self._publisher = publisher
        self._current = current
        self._held: set[UUID] = set()

    async def stage(self, tx: "Tx", messages: Sequence[Outgoing]) -> StagedId | None:  # noqa: ARG002 - the port's signature
        if not messages:
            return None
        staged = uuid4()
        self.rows[staged] = list(messages)
        return staged

    async def publish(self, staged: StagedId, messages: Sequence[Outgoing]) -> None:
        if not isinstance(staged, UUID) or staged not in self.rows or staged in self._held:
            return
        self._held.add(staged)
        try:
            while messages:
                await self._publisher.publish(messages)
                published = highest_versions(messages)
                messages = await self._ask_current(published)
            del self.rows[staged]
        finally:
            self._held.discard(staged)

    async def sweep(self) -> int:
        swept, failure = 0, None
        for staged in [row for row in self.rows if row not in self._held]:
            try:
                await self.publish(staged, self.rows[staged])
            except PublishFailed as error:
                if error.retryable:
                    raise
                failure = error
            else:
                swept += 1
        if failure is not None:
            raise failure
        return swept

    async def _ask_current(self, published: dict[bytes, int]) -> Sequence[Outgoing]:
        if self._current is None or not published:
            return ()
        return await self._current(cast("Tx", _NoTransaction()), sorted(published.items()))


class _NoTransaction:
    """Stands where a fake has no transaction; whoever uses it asks for a real database."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a fake outbox has no database to {name}")
