"""Reading your own write: wait until a touchpoint's effects are in this service."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from libs.kit.clock import Clock
from libs.kit.db import Database, Tx
from libs.kit.errors import NotYetVisible

AppliedOutcome = Literal["applied", "ignored", "dead_lettered"]
OUTCOME_NUMBERS: Final[Mapping[AppliedOutcome, int]] = MappingProxyType({"applied": 0, "ignored": 1, "dead_lettered": 2})
OUTCOMES: Final[Mapping[int, AppliedOutcome]] = MappingProxyType({number: name for name, number in OUTCOME_NUMBERS.items()})
OUTCOME_HEADER: Final = "Rapport-Outcome"
MAX_WAIT_MS: Final = 10_000
DEFAULT_WAIT_MS: Final = 2_000
FindOutcomes: TypeAlias = Callable[[Tx, list[UUID]], Awaitable[dict[UUID, AppliedOutcome]]]
_FIRST_PAUSE_S: Final = 0.004
_LONGEST_PAUSE_S: Final = 0.025


async def find_outcomes(tx: Tx, touchpoint_ids: list[UUID]) -> dict[UUID, AppliedOutcome]:
    """What became of those touchpoints whose effects are in."""
    rows = await tx.fetch("SELECT id, outcome FROM sub_touchpoints WHERE id = ANY($1::uuid[])", touchpoint_ids)
    return {row[0]: OUTCOMES[row[1]] for row in rows}


async def wait_for(database: Database, touchpoint_id: UUID, wait_ms: int, clock: Clock) -> AppliedOutcome:
    """What became of the touchpoint, once it is in. For a service with many waiting readers `Arrivals` asks for all at once."""
    arrivals = Arrivals(database, clock)
    try:
        return await arrivals.wait_for(touchpoint_id, wait_ms)
    finally:
        await arrivals.close()


class Arrivals:
    """Answers those who wait, with one statement for all of them at a time, and none while nobody waits.

    A worker in the same process calls `announce` when it has applied records, which brings the next look forward; what
    is applied elsewhere is found by looking again, soon at first, then every 25 ms. `find` is another look-up where the
    service isn't a subscriber (profile keeps its own list).
    """

    def __init__(self, database: Database, clock: Clock, *, find: FindOutcomes = find_outcomes) -> None:
        self._database = database
        self._clock = clock
        self._find = find
        self._waiting: dict[UUID, set[asyncio.Future[AppliedOutcome]]] = {}
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def announce(self) -> None:
        """Records were applied in this process; their commit came, or comes within milliseconds."""
        self._news.set()

    async def wait_for(self, touchpoint_id: UUID, wait_ms: int = DEFAULT_WAIT_MS) -> AppliedOutcome:
        """What became of the touchpoint: at once where it is in, else as soon as it is.

        Raises NotYetVisible after `wait_ms` (at most 10 s; 0 still looks once), and what the database raises.
        """
        future: asyncio.Future[AppliedOutcome] = asyncio.get_running_loop().create_future()
        deadline = self._clock.monotonic() + min(max(wait_ms, 0), MAX_WAIT_MS) / 1000
        async with self._database.connection() as connection:
            found = await self._find(connection, [touchpoint_id])
        if touchpoint_id in found:
            return found[touchpoint_id]
        self._waiting.setdefault(touchpoint_id, set()).add(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_until_answered())
        looking = self._looking
        try:
            left_s = max(deadline - self._clock.monotonic(), 0)
            futures: set[asyncio.Future[Any]] = {future, looking}
            await asyncio.wait(futures, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._forget(touchpoint_id, future)
        if future.done():
            return future.result()
        if looking.done():
            looking.result()
        raise NotYetVisible(f"The effects of touchpoint {touchpoint_id} aren't in after {wait_ms} ms.")

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def _forget(self, touchpoint_id: UUID, future: asyncio.Future[AppliedOutcome]) -> None:
        futures = self._waiting.get(touchpoint_id, set())
        futures.discard(future)
        if not futures:
            self._waiting.pop(touchpoint_id, None)

    async def _look_until_answered(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._waiting:
            self._news.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
                pause_s = _FIRST_PAUSE_S
                # The announcement may come a moment before the commit it is about.
                await asyncio.sleep(_FIRST_PAUSE_S / 4)
            except TimeoutError:
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            async with self._database.connection() as connection:
                found = await self._find(connection, list(self._waiting))
            for touchpoint_id, outcome in found.items():
                for future in self._waiting.pop(touchpoint_id, ()):
                    if not future.done():
                        future.set_result(outcome)
