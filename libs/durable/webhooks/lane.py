"""The lane of a worker that sends what is queued: an endpoint at a time each for itself, so that a slow one delays no other."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from libs.durable.webhooks.client import DeliveryFailed, WebhookClient
from libs.durable.webhooks.model import Endpoint, sign
from libs.durable.webhooks.store import Claimed, PostgresWebhooks
from libs.kit.db import DATABASE_ERRORS, is_retryable
from libs.kit.logging import get_logger
from libs.kit.metrics import counter

if TYPE_CHECKING:
    from libs.kit.clock import Clock
    from libs.kit.db import Database

_log = get_logger(__name__)
_TRIES = counter("webhook_tries_total", "Deliveries of outgoing webhooks that were tried.", ("outcome",))
_AT_ONCE: Final = 8
_LEASE: Final = timedelta(minutes=2)
"""Longer than a try may take: only a delivery whose sender died is claimed again."""
_UNEXPECTED_REST: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class WebhookLane:
    """Any number of workers may run one. `disable_after`: of failing without a single success. `keep`: deliveries are
    forgotten after so long.
    """

    database: "Database"
    clock: "Clock"
    webhooks: PostgresWebhooks
    client: WebhookClient
    poll_s: float = 1.0
    disable_after: timedelta = timedelta(days=5)
    keep: timedelta = timedelta(days=30)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is in the air then is sent again by the next process. A database that is away is waited for."""
        busy: dict[UUID, asyncio.Task[int]] = {}
        try:
            while not stop.is_set():
                try:
                    for endpoint_id in await self._find_due():
                        if endpoint_id not in busy:
                            busy[endpoint_id] = asyncio.create_task(self.serve(endpoint_id))
                    for endpoint_id in [one for one, task in busy.items() if task.done()]:
                        if (error := busy.pop(endpoint_id).exception()) is not None:
                            await self._set_aside(endpoint_id, error)
                except DATABASE_ERRORS as error:
                    if not is_retryable(error):
                        raise
                    _log.warning("webhooks_paused", cause=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self.poll_s)
        finally:
            for task in busy.values():
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)

    async def serve_due(self) -> int:
        """Once for all endpoints with something due; how many deliveries were tried."""
        return sum([await self.serve(endpoint_id) for endpoint_id in await self._find_due()])

    async def serve(self, endpoint_id: UUID) -> int:
        """All that is due of one endpoint, until a try fails. One that has been failing is tried with a single delivery."""
        tried = 0
        while True:
            now = self.clock.now()
            async with self.database.transaction() as tx:
                endpoint = await self.webhooks.find(tx, endpoint_id)
                if endpoint is None or endpoint.state != "active":
                    return tried
                limit = 1 if endpoint.failing_since is not None else _AT_ONCE
                claimed = await self.webhooks.claim(tx, endpoint_id, now, limit=limit, lease=_LEASE)
            went_well = await asyncio.gather(*(self._send(endpoint, one) for one in claimed))
            tried += len(claimed)
            if not claimed or not all(went_well):
                return tried

    async def purge(self) -> None:
        """Forget what is too old; for `upkeep.repeat`."""
        before, forgotten = self.clock.now() - self.keep, 1
        while forgotten:
            async with self.database.transaction() as tx:
                forgotten = await self.webhooks.purge(tx, before)

    async def _set_aside(self, endpoint_id: UUID, error: BaseException) -> None:
        """What nobody expected is one endpoint's trouble, not everybody's: it rests a while. The text of the error may quote
        what was sent, so that only its type is told. A database that is away is everybody's.
        """
        if is_retryable(error):
            raise error
        _log.error("webhook_set_aside", webhook=str(endpoint_id), cause=type(error).__name__)
        async with self.database.transaction() as tx:
            await self.webhooks.rest(tx, endpoint_id, self.clock.now() + _UNEXPECTED_REST)

    async def _find_due(self) -> list[UUID]:
        async with self.database.connection() as connection:
            return await self.webhooks.find_due(connection, self.clock.now())

    async def _send(self, endpoint: Endpoint, one: Claimed) -> bool:
        now = self.clock.now()
        try:
            headers = sign(endpoint.secrets_at(now), one.message_id, one.body, now)
            status = await self.client.post(endpoint.url, one.body, headers)
        except DeliveryFailed as failed:
            _TRIES.labels(failed.failure.error).inc()
            async with self.database.transaction() as tx:
                is_disabled = await self.webhooks.mark_failed(
                    tx, endpoint.id, one, failed.failure, self.clock.now(), disable_after=self.disable_after
                )
            if is_disabled:
                _log.warning("webhook_disabled", webhook=str(endpoint.id), cause=failed.failure.error)
            return False
        _TRIES.labels("delivered").inc()
        async with self.database.transaction() as tx:
            await self.webhooks.mark_delivered(tx, endpoint.id, one, status, self.clock.now())
        return True
