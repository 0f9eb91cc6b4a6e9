"""Readiness: named checks of what a process needs, each bounded in time."""

import asyncio
from collections.abc import Awaitable, Callable

from libs.kit.logging import get_logger

Check = Callable[[], Awaitable[object]]

_log = get_logger(__name__)
CHECK_TIMEOUT_S = 2.0


class Health:
    """A check passes by returning and fails by raising or by taking longer than 2 s."""

    def __init__(self, *, timeout_s: float = CHECK_TIMEOUT_S) -> None:
        self._checks: dict[str, Check] = {}
        self._timeout_s = timeout_s

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    async def run(self) -> dict[str, str]:
        """Name -> `ok` or what kind of failure it was (never its text)."""
        return dict(zip(self._checks, await asyncio.gather(*map(self._run_one, self._checks)), strict=True))

    async def _run_one(self, name: str) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - part of the HTTP edge: whatever a check raises means "not ready"
            _log.debug("check_failed", check=name, reason=type(error).__name__)
            return type(error).__name__
        return "ok"
