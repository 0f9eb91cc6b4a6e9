"""Which topic is handled by what, and the sweep that keeps parked rejections and old counts within their bounds."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from libs.durable.upkeep import repeat
from libs.events.privacy import PrivacyRequested
from libs.events.topics import PRIVACY_REQUESTS, TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.events.touchpoints import TouchpointRejected
from libs.kit.clock import Clock
from libs.kit.db import Database
from libs.kit.logging import get_logger
from libs.messaging.ports import BatchHandler
from services.ingest.handlers.parked import Parking
from services.ingest.handlers.suppressions import Suppressing
from services.ingest.ports import RejectionBounds, RejectionStore, SuppressionStore, TallyStore
from services.ingest.settings import Settings

GROUP = "ingest"
ROUTES: Mapping[str, tuple[str, ...]] = {
    TOUCHPOINT_REJECTIONS.name: (TouchpointRejected.TYPE,),
    PRIVACY_REQUESTS.name: (PrivacyRequested.TYPE,),
}
EMITS: tuple[str, ...] = (TOUCHPOINTS.name, TOUCHPOINT_REJECTIONS.name)

_log = get_logger(__name__)


def build_handlers(rejections: RejectionStore, suppressions: SuppressionStore) -> Mapping[str, BatchHandler]:
    return {TOUCHPOINT_REJECTIONS.name: Parking(rejections), PRIVACY_REQUESTS.name: Suppressing(suppressions)}


async def sweep_rejections(
    database: Database, store: RejectionStore, tallies: TallyStore, clock: Clock, settings: Settings, stop: asyncio.Event
) -> None:
    """Until stopped: every now and then throw away what is too old or too much. A database that is away is asked again."""

    async def sweep() -> None:
        kept_after = clock.now() - timedelta(days=settings.rejections_kept_days)
        counted_after = clock.now() - timedelta(days=settings.counts_kept_days)
        bounds = RejectionBounds(
            received_after=kept_after,
            max_per_source=settings.rejections_max_per_source,
            max_bytes_per_source=settings.rejections_max_bytes_per_source,
        )
        async with database.transaction() as tx:
            removed = await store.trim(tx, bounds)
            removed += await tallies.trim(tx, days_after=counted_after.date(), violations_after=kept_after)
        if removed:
            _log.info("rejections_swept", removed=removed)

    await repeat(sweep, settings.rejections_sweep_s, stop)
