"""Jobs in the service's own schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem

from libs.durable.jobs.model import OPEN_STATES, Job, JobCancelled, JobError, JobLost, JobState, Lease

if TYPE_CHECKING:
    import asyncpg
    from alembic.operations import Operations

    from libs.kit.db import Tx

TABLE: Final = "jobs"
_INDEX_NAME: Final = "ix_jobs_open"
_OPEN: Final = sa.text("state IN ('queued', 'running')")
_STATES: Final = "state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')"
_COLUMNS: Final = """id, kind, state, done, total, input, result, error, checkpoint, attempts, cancel_requested,
    created_at, started_at, finished_at"""


def jobs_tables(metadata: sa.MetaData) -> sa.Table:
    """Declare the table on a service's own metadata."""
    return sa.Table(TABLE, metadata, *_columns(), sa.Index(_INDEX_NAME, "created_at", postgresql_where=_OPEN))


def create_jobs(op: "Operations") -> None:
    """The same table from a service's migration."""
    op.create_table(TABLE, *_columns())
    op.create_index(_INDEX_NAME, TABLE, ["created_at"], postgresql_where=_OPEN)


def drop_jobs(op: "Operations") -> None:
    op.drop_table(TABLE)


def _columns() -> tuple[SchemaItem, ...]:
    instant = sa.DateTime(timezone=True)
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("total", sa.BigInteger),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("error", sa.LargeBinary),
        sa.Column("checkpoint", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("lease_token", sa.Uuid),
        # While running: until when. While queued: not before.
        sa.Column("lease_until", instant),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("started_at", instant),
        sa.Column("finished_at", instant),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint(_STATES, name=sa.schema.conv("ck_jobs_state")),
    )


class PostgresJobs:
    """See the port `Jobs`."""

    async def create(self, tx: "Tx", *, job_id: UUID, kind: str, input: Any, now: datetime, total: int | None = None) -> Job:  # noqa: A002
        row = await tx.fetchrow(
            f"""
            INSERT INTO jobs (id, kind, state, total, input, created_at) VALUES ($1, $2, 'queued', $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET id = jobs.id RETURNING {_COLUMNS}
            """,  # noqa: S608 - a list of our own columns
            job_id,
            kind,
            total,
            msgspec.json.encode(input),
            now,
        )
        return _to_job(_existing(row))

    async def get(self, tx: "Tx", job_id: UUID) -> Job | None:
        row = await tx.fetchrow(f"SELECT {_COLUMNS} FROM jobs WHERE id = $1", job_id)  # noqa: S608
        return _to_job(row) if row is not None else None

    async def cancel(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:
        row = await tx.fetchrow(
            f"""
            UPDATE jobs SET cancel_requested = cancel_requested OR state IN ('queued', 'running'),
                finished_at = CASE WHEN state IN ('queued', 'paused') THEN $2 ELSE finished_at END,
                state = CASE WHEN state IN ('queued', 'paused') THEN 'cancelled' ELSE state END
            WHERE id = $1 RETURNING {_COLUMNS}
            """,  # noqa: S608
            job_id,
            now,
        )
        return _to_job(row) if row is not None else None

    async def pause(self, tx: "Tx", job_id: UUID, *, now: datetime) -> Job | None:
        await tx.execute("UPDATE jobs SET state = 'paused', finished_at = $2 WHERE id = $1 AND state = 'queued'", job_id, now)
        return await self.get(tx, job_id)

    async def requeue(self, tx: "Tx", job_id: UUID) -> Job | None:
        await tx.execute(
            """
            UPDATE jobs SET state = 'queued', attempts = 0, cancel_requested = false, result = NULL, error = NULL,
                finished_at = NULL, lease_token = NULL, lease_until = NULL
            WHERE id = $1 AND state NOT IN ('queued', 'running')
            """,
            job_id,
        )
        return await self.get(tx, job_id)

    async def delete(self, tx: "Tx", job_id: UUID) -> None:
        await tx.execute("DELETE FROM jobs WHERE id = $1 AND state NOT IN ('queued', 'running')", job_id)

    async def claim(self, tx: "Tx", kinds: Sequence[str], *, token: UUID, lease_s: float, now: datetime) -> Job | None:
        row = await tx.fetchrow(
            f"""
            UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = coalesce(started_at, $4),
                lease_token = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
            WHERE id = (
                SELECT id FROM jobs
                WHERE state IN ('queued', 'running') AND kind = ANY($1) AND coalesce(lease_until < clock_timestamp(), true)
                ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING {_COLUMNS}
            """,  # noqa: S608
            list(kinds),
            token,
            lease_s,
            now,
        )
        return _to_job(row) if row is not None else None

    async def renew(self, tx: "Tx", lease: Lease, *, lease_s: float) -> None:
        row = await tx.fetchrow(
            """
            UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => $3)
            WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING cancel_requested
            """,
            lease.job_id,
            lease.token,
            lease_s,
        )
        _check_held(row)

    async def save_progress(
        self, tx: "Tx", lease: Lease, *, done: int, total: int | None = None, checkpoint: bytes | None = None
    ) -> None:
        row = await tx.fetchrow(
            """
            UPDATE jobs SET done = $3, total = coalesce($4, total), checkpoint = coalesce($5, checkpoint),
                attempts = CASE WHEN $3 > done THEN 1 ELSE attempts END
            WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING cancel_requested
            """,
            lease.job_id,
            lease.token,
            done,
            total,
            checkpoint,
        )
        _check_held(row)

    async def finish(
        self, tx: "Tx", lease: Lease, *, state: JobState, now: datetime, result: Any = None, error: JobError | None = None
    ) -> None:
        if state in OPEN_STATES:
            raise ValueError("a finished job isn't queued or running")
        row = await tx.fetchrow(
            """
            UPDATE jobs SET state = $3, finished_at = $4, result = $5, error = $6, lease_token = NULL, lease_until = NULL
            WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING id
            """,
            lease.job_id,
            lease.token,
            state,
            now,
            msgspec.json.encode(result),
            msgspec.json.encode(error) if error is not None else None,
        )
        if row is None:
            raise JobLost

    async def release(self, tx: "Tx", lease: Lease, *, after_s: float, count_attempt: bool) -> None:
        await tx.execute(
            """
            UPDATE jobs SET state = 'queued', lease_token = NULL, attempts = attempts - $4::int,
                lease_until = clock_timestamp() + make_interval(secs => $3)
            WHERE id = $1 AND lease_token = $2 AND state = 'running'
            """,
            lease.job_id,
            lease.token,
            after_s,
            0 if count_attempt else 1,
        )


def _existing(row: "asyncpg.Record | None") -> "asyncpg.Record":
    if row is None:
        raise LookupError("the statement returns its row")
    return row


def _check_held(row: "asyncpg.Record | None") -> None:
    if row is None:
        raise JobLost
    if row["cancel_requested"]:
        raise JobCancelled


def _to_job(row: "asyncpg.Record") -> Job:
    fields = dict(row)
    fields["input"] = msgspec.json.decode(fields["input"])
    fields["result"] = msgspec.json.decode(fields["result"]) if fields["result"] is not None else None
    fields["error"] = msgspec.json.decode(fields["error"], type=JobError) if fields["error"] is not None else None
    return Job(**fields)
