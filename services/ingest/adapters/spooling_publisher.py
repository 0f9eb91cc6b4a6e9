"""A publisher that doesn't give up: what the log doesn't take in time goes to the spool, and from there to the log, in order.

While anything is spooled everything joins it, so that no record overtakes an earlier one of its key. It decides when to go which
way; it knows neither files nor Kafka.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Self

from libs.events.envelope import Outgoing
from libs.kit.clock import Clock
from libs.kit.logging import get_logger
from libs.kit.metrics import counter, gauge
from libs.kit.times import to_micros
from libs.messaging.errors import PublishFailed, RecordRefused
from libs.messaging.ports import Publisher
from services.ingest.ports import Spool

_PAGE_RECORDS: Final = 1_000
_PAGE_BYTES: Final = 1024 * 1024
_RETRY_S: Final = 0.2
_DIRECT_AGAIN_S: Final = 2.0
_LOOK_FOR_ORPHANS_S: Final = 1.0
_LAST_WAIT_S: Final = 5.0

_RECORDS = gauge("ingest_spool_records", "Records on this process's disk that the log hasn't taken yet.")
_BYTES = gauge("ingest_spool_bytes", "Bytes of them.")
_AGE = gauge("ingest_spool_oldest_seconds", "Age of the oldest of them; 0 where there is none.", of_several="livemax")
_AWAY = gauge("ingest_broker_away", "1 while nothing is given to the log before it lies in the spool.", of_several="livemax")
_SPOOLED = counter("ingest_spooled_total", "Records that went to the spool.")
_DRAINED = counter("ingest_spool_drained_total", "Records that the log took from the spool.")
_SET_ASIDE = counter("ingest_spool_refused_total", "Spooled records that the log will never take; kept in the file `refused`.")
_log = get_logger(__name__)


class SpoolingPublisher:
    """See libs.messaging.ports.Publisher; as an async context manager it drains while it is open.

    `hasty` is a publisher with the deadline of a request, `patient` one for draining, which may take as long as a broker that
    has just come back needs.
    """

    def __init__(self, hasty: Publisher, patient: Publisher, spool: Spool, clock: Clock) -> None:
        self._hasty = hasty
        self._patient = patient
        self._spool = spool
        self._clock = clock
        self._is_direct = spool.usage.records == 0
        # Little is left: callers wait for it to be drained instead of adding to it, or the end would never come under load.
        self._is_finishing = False
        self._has_answered = False
        self._direct_again_s = 0.0
        self._settled = asyncio.Event()
        self._wake = asyncio.Event()
        self._oldest_ms: int | None = None
        self._draining: asyncio.Task[None] | None = None
        _RECORDS.set_function(lambda: spool.usage.records)
        _BYTES.set_function(lambda: spool.usage.size_bytes)
        _AGE.set_function(self._compute_age_s)
        _AWAY.set_function(lambda: not self._is_direct)

    async def __aenter__(self) -> Self:
        self._draining = asyncio.create_task(self._drain())
        return self

    async def __aexit__(self, *_: object) -> None:
        """What is left is given a moment; after that it is the next process's."""
        if self._draining is None:
            return
        self._draining.cancel()
        await asyncio.wait({self._draining})
        with contextlib.suppress(TimeoutError, PublishFailed, OSError):
            async with asyncio.timeout(_LAST_WAIT_S):
                while not self._is_direct:
                    await self._drain_page()
        self._leave_finishing()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """See the port. Returns also when the records are spooled; raises PublishFailed where neither took them."""
        while self._is_finishing:
            await self._settled.wait()
        if self._is_direct:
            try:
                await self._hasty.publish(messages)
            except PublishFailed as error:
                if not error.retryable:
                    raise
            else:
                return
        await self._append(messages)

    async def check_ready(self) -> None:
        """For /readyz: raises while neither the log nor the spool takes anything."""
        if not self._is_direct and not self._spool.is_taking:
            raise PublishFailed("no broker answers and the spool is full")

    async def _append(self, messages: Sequence[Outgoing]) -> None:
        if self._is_direct:
            self._is_direct = self._has_answered = False
            self._oldest_ms = to_micros(self._clock.now()) // 1000
            _log.warning("broker_away", hint="touchpoints go to the spool")
        self._wake.set()
        await self._spool.append(messages)
        _SPOOLED.inc(len(messages))

    async def _drain(self) -> None:
        """For ever: page after page while there is anything, and a look at what others left now and then."""
        while True:
            try:
                if self._is_direct and not await self._is_woken(_LOOK_FOR_ORPHANS_S):
                    await self._look_around()
                if not self._is_direct:
                    await self._drain_page()
            except PublishFailed:
                self._leave_finishing()
                await asyncio.sleep(_RETRY_S)
                with contextlib.suppress(OSError):
                    await self._spool.adopt()
            except OSError as error:
                _log.error("spool_not_read", reason=type(error).__name__, number=error.errno)
                self._leave_finishing()
                await asyncio.sleep(_RETRY_S)

    async def _look_around(self) -> None:
        await self._spool.rest()
        await self._spool.adopt()
        if self._spool.usage.records:
            self._is_direct = False

    async def _drain_page(self) -> None:
        """One page to the log. The last one goes the way of requests: once that works, they may take it again."""
        usage, may_go_direct = self._spool.usage, asyncio.get_running_loop().time() >= self._direct_again_s
        is_little = usage.records <= _PAGE_RECORDS and usage.size_bytes <= _PAGE_BYTES
        if may_go_direct and self._has_answered and is_little:
            self._is_finishing = True
            self._settled.clear()
        page = await self._spool.read(max_records=_PAGE_RECORDS, max_bytes=_PAGE_BYTES)
        if page:
            self._oldest_ms = page[0].timestamp_ms
            await self._deliver_somehow(page)
            await self._spool.confirm()
            _DRAINED.inc(len(page))
        if self._spool.usage.records:
            return
        if may_go_direct and (self._is_finishing or not page):
            self._is_direct = True
            self._wake.clear()
            self._leave_finishing()
            _log.info("broker_back", hint="the spool is empty")
        else:
            await asyncio.sleep(_RETRY_S)

    async def _deliver_somehow(self, page: Sequence[Outgoing]) -> None:
        if self._is_finishing:
            try:
                await self._deliver(page, self._hasty)
            except PublishFailed:
                # The log may take it, but not yet in the time a request has.
                self._leave_finishing()
                self._direct_again_s = asyncio.get_running_loop().time() + _DIRECT_AGAIN_S
            else:
                return
        self._has_answered = False
        await self._deliver(page, self._patient)
        self._has_answered = True

    async def _deliver(self, page: Sequence[Outgoing], publisher: Publisher) -> None:
        """All of it, less what the log refuses for what is in it: that is set aside. Raises PublishFailed for all else."""
        try:
            await publisher.publish(page)
        except RecordRefused:
            if len(page) == 1:
                await self._spool.set_aside(page[0])
                _SET_ASIDE.inc()
                _log.error("spooled_record_refused", topic=page[0].topic)
                return
            middle = len(page) // 2
            await self._deliver(page[:middle], publisher)
            await self._deliver(page[middle:], publisher)

    def _leave_finishing(self) -> None:
        self._is_finishing = False
        self._settled.set()

    async def _is_woken(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _compute_age_s(self) -> float:
        if self._oldest_ms is None or self._spool.usage.records == 0:
            return 0.0
        return max(0.0, to_micros(self._clock.now()) / 1e6 - self._oldest_ms / 1e3)
