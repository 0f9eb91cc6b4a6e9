"""The loop that sends what is queued. It owns its claims by a lock that dies with it, so that nobody sends a message twice."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from libs.kit.db import Database, Tx, is_retryable
from libs.kit.logging import get_logger
from libs.kit.metrics import counter
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox
from services.engagement.domain.links import build_token
from services.engagement.handlers import Engagement, record_delivery
from services.engagement.ports import Claimed, Delivered, Delivery, Mailer, NotYet, Refused, Uncertain

log = get_logger(__name__)
MESSAGES = counter("engagement_messages", "What became of messages that were tried", ["outcome"])
LABELS: dict[type[Delivery], str] = {Delivered: "sent", Refused: "failed", NotYet: "put_off", Uncertain: "uncertain"}
AWAY_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Sender:
    """Each session takes a number of its own (`new_owner`); its advisory lock says that the session lives."""

    database: Database
    outbox: Outbox
    engagement: Engagement
    mailer: Mailer
    public_url: str
    new_owner: Callable[[], int]
    pause_s: float

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop. While PostgreSQL is away it waits and then takes its lock again."""
        while not stop.is_set():
            try:
                async with self.database.connection() as connection:
                    await self._run_owned(connection, stop)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                if not is_retryable(error):
                    raise
                log.warning("sender_waits", reason=type(error).__name__)
                await _pause(stop, AWAY_PAUSE_S)

    async def _run_owned(self, owning: Tx, stop: asyncio.Event) -> None:
        owner = self.new_owner()
        # 1. The lock says that this session lives: while it does nobody calls its claims orphaned.
        await owning.fetchval("select pg_advisory_lock($1)", owner)
        try:
            while not stop.is_set():
                # 2. Claims of the dead become uncertain: a process that was killed, or a session that was cut off.
                async with self.database.transaction() as tx:
                    orphans = await self.engagement.outreach.abandon_orphans(tx, owner, self.engagement.clock.now())
                if orphans:
                    MESSAGES.labels("uncertain").inc(len(orphans))
                    log.warning("messages_uncertain", count=len(orphans))
                # 3. Ask for the lock's connection before each claim; 4. once the claim is committed nobody else tries it.
                await owning.fetchval("select 1")
                async with self.database.transaction() as tx:
                    message = await self.engagement.outreach.claim_due(tx, owner, self.engagement.clock.now())
                if message is None:
                    await _pause(stop, self.pause_s)
                else:
                    await self._send_one(message)
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                await owning.fetchval("select pg_advisory_unlock($1)", owner)

    async def _send_one(self, message: Claimed) -> None:
        link = f"{self.public_url}/u/{build_token(message.id, self.engagement.identity_key)}"
        delivery = await self.mailer.send(message, unsubscribe_url=link)
        MESSAGES.labels(LABELS[type(delivery)]).inc()
        async with self.database.transaction() as tx:
            outgoing = await record_delivery(tx, message, delivery, self.engagement)
            staged = await self.outbox.stage(tx, outgoing)
        if staged is not None:
            with suppress(PublishFailed):  # the sweep tells it later
                await self.outbox.publish(staged, outgoing)


async def _pause(stop: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), timeout_s)
