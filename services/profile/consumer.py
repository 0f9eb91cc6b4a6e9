"""Which records profile follows, and with what. Wiring only."""

from collections.abc import Mapping, Sequence

from libs.events import topics
from libs.events.envelope import Incoming
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.events.segments import SegmentMembershipChanged, SegmentsJudged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx
from libs.messaging.ports import BatchHandler, BatchResult
from libs.subscriber import Arrivals
from services.profile.handlers.apply_facets import apply_facets
from services.profile.handlers.apply_touchpoints import Applying, apply_touchpoints

GROUP = "profile"
ROUTES: Mapping[str, tuple[str, ...]] = {
    topics.TOUCHPOINTS.name: (TouchpointRecorded.TYPE,),
    topics.SEGMENT_CHANGES.name: (SegmentMembershipChanged.TYPE, SegmentsJudged.TYPE),
    topics.LOYALTY_EVENTS.name: (LoyaltyBalanceChanged.TYPE,),
}
EMITS: tuple[str, ...] = (topics.PROFILE_CHANGES.name, topics.TOUCHPOINTS.name)


def build_handlers(applying: Applying, arrivals: Arrivals) -> Mapping[str, BatchHandler]:
    """Topic -> what handles a poll of it."""

    async def follow_touchpoints(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        result = await apply_touchpoints(tx, messages, applying)
        arrivals.announce()
        return result

    async def follow_facets(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        return await apply_facets(tx, messages, applying.graph, applying.facets)

    return {
        topics.TOUCHPOINTS.name: follow_touchpoints,
        topics.SEGMENT_CHANGES.name: follow_facets,
        topics.LOYALTY_EVENTS.name: follow_facets,
    }
