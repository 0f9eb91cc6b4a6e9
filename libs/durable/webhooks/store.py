"""Endpoints and deliveries in PostgreSQL. Every method runs in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from libs.durable.webhooks.model import ROTATION, Delivery, DeliveryState, Endpoint, Failure, Message, find_next_try, find_rest

if TYPE_CHECKING:
    from libs.kit.db import Tx

_ENDPOINT: Final = """id, url, description, types, subjects, causes, secret, previous_secret, previous_until, state,
    disabled_reason, failing_since, resting_until, created_at"""
_DELIVERY: Final = "endpoint_id, message_id, type, state, attempts, due_at, last_status, last_error, created_at, finished_at"

_BATCH: Final = 10_000
"""Rows that one statement deletes: it ends well before it would be cut off."""


class Claimed(NamedTuple):
    """A delivery in hand. `attempts` counts this try, and tells it from those of others."""

    message_id: str
    body: bytes
    attempts: int


class PostgresWebhooks:
    """The queue and its endpoints. Instants are the service's own clock's."""

    async def create(self, tx: "Tx", endpoint: Endpoint) -> None:
        await tx.execute(
            f"INSERT INTO webhook_endpoints ({_ENDPOINT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",  # noqa: S608
            endpoint.id,
            endpoint.url,
            endpoint.description,
            list(endpoint.types),
            list(endpoint.subjects),
            list(endpoint.causes),
            endpoint.secret,
            endpoint.previous_secret,
            endpoint.previous_until,
            endpoint.state,
            endpoint.disabled_reason,
            endpoint.failing_since,
            endpoint.resting_until,
            endpoint.created_at,
        )

    async def load_all(self, tx: "Tx") -> list[Endpoint]:
        return [Endpoint(**dict(row)) for row in await tx.fetch(f"SELECT {_ENDPOINT} FROM webhook_endpoints ORDER BY id")]  # noqa: S608

    async def find(self, tx: "Tx", endpoint_id: UUID) -> Endpoint | None:
        row = await tx.fetchrow(f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = $1", endpoint_id)  # noqa: S608
        return Endpoint(**dict(row)) if row is not None else None

    async def begin_delete(self, tx: "Tx", endpoint_id: UUID) -> bool:
        """Disable it, so that nothing is queued or sent any more; False where there is none. Then `forget` until nothing is left,
        each in a transaction of its own, and `delete`: whoever tells edges waits for none of them long.
        """
        status = await tx.execute(
            "UPDATE webhook_endpoints SET state = 'disabled', disabled_reason = 'deleted' WHERE id = $1", endpoint_id
        )
        return status == "UPDATE 1"

    async def forget(self, tx: "Tx", endpoint_id: UUID) -> int:
        """Some thousand of its deliveries; how many."""
        status = await tx.execute(
            "DELETE FROM webhook_deliveries WHERE ctid = ANY(ARRAY("
            "SELECT ctid FROM webhook_deliveries WHERE endpoint_id = $1 LIMIT $2 FOR UPDATE))",
            endpoint_id,
            _BATCH,
        )
        return int(status.rpartition(" ")[2])

    async def delete(self, tx: "Tx", endpoint_id: UUID) -> None:
        """The endpoint with what is left of its deliveries."""
        await tx.execute("DELETE FROM webhook_endpoints WHERE id = $1", endpoint_id)

    async def rotate(self, tx: "Tx", endpoint_id: UUID, secret: str, now: datetime) -> None:
        """The new secret signs from now on, the one before it for a while, too."""
        await tx.execute(
            "UPDATE webhook_endpoints SET previous_secret = secret, previous_until = $3, secret = $2 WHERE id = $1",
            endpoint_id,
            secret,
            now + ROTATION,
        )

    async def resume(self, tx: "Tx", endpoint_id: UUID, now: datetime) -> None:
        """Send again: what waits is due at once, what was given up waits anew. What came while it was disabled isn't among it."""
        await tx.execute(
            "UPDATE webhook_endpoints SET state = 'active', disabled_reason = NULL, failing_since = NULL, resting_until = NULL"
            " WHERE id = $1",
            endpoint_id,
        )
        await tx.execute(
            "UPDATE webhook_deliveries SET state = 'pending', due_at = $2, finished_at = NULL,"
            " attempts = CASE WHEN state = 'failed' THEN 0 ELSE attempts END"
            " WHERE endpoint_id = $1 AND state IN ('pending', 'failed')",
            endpoint_id,
            now,
        )

    async def has_endpoints(self, tx: "Tx") -> bool:
        """Whether anybody may want a message: spares writing bodies for nobody."""
        found: bool = await tx.fetchval("SELECT EXISTS (SELECT FROM webhook_endpoints WHERE state = 'active')")
        return found

    async def enqueue(self, tx: "Tx", messages: Sequence[Message], now: datetime, *, only: UUID | None = None) -> int:
        """For each endpoint that wants it, or for `only` one whatever it wants; a message queued before isn't queued again.
        How many deliveries. Nothing is queued for a disabled endpoint unless it is meant alone: nobody knows whether it comes
        back, and what was told meanwhile would pile up without bound.
        """
        status = await tx.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, message_id, type, body, state, attempts, due_at, created_at)"
            " SELECT e.id, m.id, m.type, m.body, 'pending', 0, $6, $6"
            " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[]) AS m (id, type, subject, cause, body)"
            " JOIN webhook_endpoints e ON e.id = $7"
            " OR $7 IS NULL AND e.state = 'active' AND (e.types = '{}' OR m.type = ANY(e.types))"
            " AND (e.subjects = '{}' OR m.subject = ANY(e.subjects)) AND (e.causes = '{}' OR m.cause = ANY(e.causes))"
            # An endpoint that is being deleted is waited for, and then isn't there: without, its deliveries would name nobody.
            " FOR KEY SHARE OF e"
            " ON CONFLICT DO NOTHING",
            [message.id for message in messages],
            [message.type for message in messages],
            [message.subject for message in messages],
            [message.cause for message in messages],
            [message.body for message in messages],
            now,
            only,
        )
        return int(status.rpartition(" ")[2])

    async def rest(self, tx: "Tx", endpoint_id: UUID, until: datetime) -> None:
        """Nothing is due at it before."""
        await tx.execute("UPDATE webhook_endpoints SET resting_until = $2 WHERE id = $1", endpoint_id, until)

    async def find_due(self, tx: "Tx", now: datetime) -> list[UUID]:
        """Active endpoints with a delivery that is due."""
        rows = await tx.fetch(
            "SELECT id FROM webhook_endpoints e WHERE state = 'active' AND (resting_until IS NULL OR resting_until <= $1)"
            " AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= $1)"
            " ORDER BY id",
            now,
        )
        return [row[0] for row in rows]

    async def claim(self, tx: "Tx", endpoint_id: UUID, now: datetime, *, limit: int, lease: timedelta) -> list[Claimed]:
        """Deliveries that are due, the longest due first; nobody else gets them before the lease is over."""
        rows = await tx.fetch(
            "UPDATE webhook_deliveries d SET attempts = attempts + 1, due_at = $4 FROM (SELECT message_id FROM webhook_deliveries"
            " WHERE endpoint_id = $1 AND state = 'pending' AND due_at <= $2 ORDER BY due_at, created_at LIMIT $3"
            " FOR UPDATE SKIP LOCKED) AS c WHERE d.endpoint_id = $1 AND d.message_id = c.message_id"
            " RETURNING d.message_id, d.body, d.attempts",
            endpoint_id,
            now,
            limit,
            now + lease,
        )
        return [Claimed(*row) for row in rows]

    async def mark_delivered(self, tx: "Tx", endpoint_id: UUID, one: Claimed, status: int, now: datetime) -> None:
        await tx.execute(
            "UPDATE webhook_deliveries SET state = 'delivered', last_status = $3, last_error = NULL, due_at = NULL,"
            " finished_at = $4 WHERE endpoint_id = $1 AND message_id = $2",
            endpoint_id,
            one.message_id,
            status,
            now,
        )
        await tx.execute(
            "UPDATE webhook_endpoints SET failing_since = NULL, resting_until = NULL WHERE id = $1 AND failing_since IS NOT NULL",
            endpoint_id,
        )

    async def mark_failed(
        self, tx: "Tx", endpoint_id: UUID, one: Claimed, failure: Failure, now: datetime, *, disable_after: timedelta
    ) -> bool:
        """When it is tried next; whether its endpoint is disabled by it. Late word of a try that another took over is ignored."""
        next_at = find_next_try(one.message_id, one.attempts, now, failure)
        status = await tx.execute(
            "UPDATE webhook_deliveries SET state = $4, due_at = $5, last_status = $6, last_error = $7, finished_at = $8"
            " WHERE endpoint_id = $1 AND message_id = $2 AND attempts = $3 AND state = 'pending'",
            endpoint_id,
            one.message_id,
            one.attempts,
            "pending" if next_at is not None else "failed",
            next_at,
            failure.status,
            failure.error,
            None if next_at is not None else now,
        )
        if status == "UPDATE 0":
            return False
        since: datetime | None = await tx.fetchval(
            "UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, $2) WHERE id = $1 RETURNING failing_since",
            endpoint_id,
            now,
        )
        if since is None:
            return False
        reason = "gone" if failure.is_final else "failing" if now - since >= disable_after else None
        await tx.execute(
            "UPDATE webhook_endpoints SET resting_until = $2, disabled_reason = $3,"
            " state = CASE WHEN $3::text IS NULL THEN state ELSE 'disabled' END WHERE id = $1 AND state = 'active'",
            endpoint_id,
            find_rest(since, now, failure),
            reason,
        )
        return reason is not None

    async def load_deliveries(
        self, tx: "Tx", endpoint_id: UUID, state: DeliveryState | None, before: tuple[datetime, str] | None, limit: int
    ) -> list[Delivery]:
        """The newest first."""
        rows = await tx.fetch(
            f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE endpoint_id = $1 AND ($2::text IS NULL OR state = $2)"  # noqa: S608
            " AND ($3::timestamptz IS NULL OR (created_at, message_id) < ($3, $4))"
            " ORDER BY created_at DESC, message_id DESC LIMIT $5",
            endpoint_id,
            state,
            before[0] if before is not None else None,
            before[1] if before is not None else "",
            limit,
        )
        return [Delivery(**dict(row)) for row in rows]

    async def count_by_state(self, tx: "Tx", endpoint_id: UUID) -> dict[str, int]:
        rows = await tx.fetch("SELECT state, count(*) FROM webhook_deliveries WHERE endpoint_id = $1 GROUP BY 1", endpoint_id)
        return {"pending": 0, "delivered": 0, "failed": 0, **{row[0]: row[1] for row in rows}}

    async def purge(self, tx: "Tx", before: datetime) -> int:
        """Forget some thousand of the deliveries that were queued before, whatever became of them; how many."""
        status = await tx.execute(
            "DELETE FROM webhook_deliveries WHERE ctid = ANY(ARRAY("
            "SELECT ctid FROM webhook_deliveries WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
            before,
            _BATCH,
        )
        return int(status.rpartition(" ")[2])
