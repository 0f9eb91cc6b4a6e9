"""Which records engagement follows, and with what. Wiring only."""

from collections.abc import Mapping, Sequence

from libs.events import codec, topics
from libs.events.codec import EventMalformed
from libs.events.envelope import Incoming
from libs.events.profiles import ProfileChanged, TouchpointDismissed
from libs.events.segments import SegmentMembershipChanged
from libs.kit.db import Tx
from libs.messaging.outcomes import HANDLED, Ignored, Outcome, Reject, Retry
from libs.messaging.ports import BatchHandler, BatchResult
from libs.subscriber import Arrivals, apply_changes
from libs.subscriber.roots import find_standing, lock_roots
from services.engagement.handlers import Engagement, answer_entries

GROUP = "engagement"
PROFILE_BEHIND_S = 0.05
IGNORED = Ignored("unknown_type")
UNKNOWN_PROFILE = Ignored("profile_gone")


def build_handlers(engagement: Engagement, arrivals: Arrivals) -> Mapping[str, BatchHandler]:
    """Topic -> what handles a poll of it."""

    async def follow_profiles(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        # Engagement keeps no behaviour and judges nothing on its own: what it needs stands in the view.
        result = await apply_changes(tx, messages, facts=None, judge=None, keep_snapshots=True)
        arrivals.announce()
        return result

    async def follow_segments(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        outcomes, edges = _read(messages)
        standings = await find_standing(tx, [edge.profile_id for edge in edges.values()])
        ready: list[SegmentMembershipChanged] = []
        for place, edge in edges.items():
            version, root, is_dead = standings[edge.profile_id]
            if is_dead:
                outcomes[place] = UNKNOWN_PROFILE
            elif version is None or version < edge.profile_version or root is None:
                # The profile itself is on its way, in another topic: what to write depends on it.
                outcomes[place] = Retry("profile_behind", after_s=PROFILE_BEHIND_S)
            else:
                outcomes[place] = HANDLED
                ready.append(edge)
        entered = [edge for edge in ready if edge.action == "entered"]
        if entered:
            members = await lock_roots(tx, [edge.profile_id for edge in entered])
            await answer_entries(tx, entered, members, engagement)
        return BatchResult(outcomes=[outcomes[place] for place in range(len(messages))])

    return {topics.PROFILE_CHANGES.name: follow_profiles, topics.SEGMENT_CHANGES.name: follow_segments}


def _read(messages: Sequence[Incoming]) -> tuple[dict[int, Outcome], dict[int, SegmentMembershipChanged]]:
    outcomes: dict[int, Outcome] = {}
    edges: dict[int, SegmentMembershipChanged] = {}
    for place, message in enumerate(messages):
        if message.event_type != SegmentMembershipChanged.TYPE:
            outcomes[place] = IGNORED
            continue
        try:
            edge = codec.decode(message)
        except EventMalformed:
            outcomes[place] = Reject("malformed", "decode")
            continue
        if isinstance(edge, SegmentMembershipChanged):
            edges[place] = edge
    return outcomes, edges


ROUTES: Mapping[str, tuple[str, ...]] = {
    topics.PROFILE_CHANGES.name: (ProfileChanged.TYPE, TouchpointDismissed.TYPE),
    topics.SEGMENT_CHANGES.name: (SegmentMembershipChanged.TYPE,),
}
EMITS: tuple[str, ...] = (topics.TOUCHPOINTS.name,)
