"""The clock's lane: looks for timers that are due and judges their profiles, a transaction a batch."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from libs.events.envelope import to_key
from libs.kit.db import DATABASE_ERRORS, Database, is_retryable
from libs.kit.logging import get_logger
from libs.kit.metrics import counter, gauge
from libs.kit.times import to_micros
from libs.messaging.errors import PublishFailed
from libs.messaging.partitions import partition_of
from libs.messaging.ports import Outbox
from services.segmentation.adapters.progress import ConsumedProgress
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.fire_timers import fire_timers

_log = get_logger(__name__)
_FIRED = counter("segment_timers_fired_total", "Profiles judged because time had passed.")
_BEHIND = gauge("segment_timers_behind_seconds", "How long the timer that is due longest has been due.")


@dataclass(frozen=True, slots=True)
class TimerLoop:
    """One a worker. It fires timers of the partitions that are its own, so workers don't meet."""

    database: Database
    outbox: Outbox
    seg: Segmentation
    progress: ConsumedProgress
    poll_s: float
    batch_profiles: int

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. A database that is away is waited for."""
        while not stop.is_set():
            try:
                fired = await self.fire_due()
            except DATABASE_ERRORS as error:
                if not is_retryable(error):
                    raise
                _log.warning("timers_paused", cause=type(error).__name__)
                fired = 0
            if fired < self.batch_profiles:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self.poll_s)

    async def fire_due(self) -> int:
        """One batch; how many profiles were judged."""
        now_us = to_micros(self.seg.clock.now())
        async with self.database.connection() as connection:
            first_us = await self.seg.memberships.find_first_due(connection)
        behind_us = max(now_us - first_us, 0) if first_us is not None else 0
        _BEHIND.set(behind_us / 1_000_000)
        if first_us is None or first_us > now_us:
            return 0
        consumed = await self.progress.consumed_until()
        until_us = {partition: min(us, now_us) for partition, us in consumed.items()}
        async with self.database.transaction() as tx:
            count = self.progress.partitions
            profile_ids = await self.seg.memberships.find_due(tx, until_us, count, limit=self.batch_profiles)
            if not profile_ids:
                return 0
            of_profile = {profile_id: until_us[partition_of(to_key(profile_id), count)] for profile_id in profile_ids}
            outgoing = await fire_timers(tx, profile_ids, self.seg, until_us=of_profile)
            staged = await self.outbox.stage(tx, outgoing)
        if staged is not None:
            with suppress(PublishFailed):  # committed; the worker's sweep tells it later
                await self.outbox.publish(staged, outgoing)
        _FIRED.inc(len(profile_ids))
        return len(profile_ids)
