"""What a worker does now and then beside its work, until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from libs.durable.idempotency import purge_idempotency_keys
from libs.kit.clock import Clock
from libs.kit.db import DATABASE_ERRORS, Database, is_retryable
from libs.kit.logging import get_logger

_log = get_logger(__name__)
PURGE_EVERY_S: Final = 600.0


async def repeat(work: Callable[[], Awaitable[object]], interval_s: float, stop: asyncio.Event) -> None:
    """Do it, wait, do it again. A database that is away is asked again; whatever else goes wrong is raised."""
    while not stop.is_set():
        try:
            await work()
        except DATABASE_ERRORS as error:
            if not is_retryable(error):
                raise
            _log.warning("upkeep_put_off", cause=type(error).__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                await stop.wait()


async def purge_keys_regularly(database: Database, clock: Clock, stop: asyncio.Event) -> None:
    """Forget idempotency keys that are too old to be asked for."""

    async def purge() -> None:
        async with database.transaction() as tx:
            await purge_idempotency_keys(tx, clock.now())

    await repeat(purge, PURGE_EVERY_S, stop)
