"""What a process knows by heart of the database, read again and again. It outlives an absent database: what was known holds."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from libs.kit.db import DATABASE_ERRORS, is_retryable
from libs.kit.errors import ConfigurationRefused
from libs.kit.logging import get_logger

_log = get_logger(__name__)


class KeptFresh:
    """Calls `refresh` every so many seconds, from `start` or `go_on` to `close`. `what` names it in the log."""

    def __init__(self, refresh: Callable[[], Awaitable[None]], *, every_s: float, what: str) -> None:
        self._refresh = refresh
        self._every_s = every_s
        self._what = what
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The first time now. With PostgreSQL away nothing is known until it is back; every other error is raised."""
        try:
            await self._refresh()
        except DATABASE_ERRORS as error:
            if not is_retryable(error):
                raise
            _log.warning("nothing_known_yet", what=self._what, reason=type(error).__name__)
        self.go_on()

    def go_on(self) -> None:
        """Where the first time was somebody else's."""
        self._task = asyncio.create_task(self._keep(), name=f"{self._what}-refresh")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        is_away = False
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._refresh()
            except ConfigurationRefused as error:
                _log.error("not_refreshed", what=self._what, reason=str(error))
            except DATABASE_ERRORS as error:
                if not is_retryable(error):
                    _log.error("not_refreshed", what=self._what, reason=type(error).__name__)
                elif not is_away:
                    _log.warning("stale", what=self._what, reason=type(error).__name__)
                is_away = True
            else:
                is_away = False
