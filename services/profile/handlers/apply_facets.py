"""The consumers of `segment-changes` and `loyalty-events`, and the versions that their news make.

A facet is stored under the profile id it names, never redirected; the view shows the root's own. What doesn't change the view
makes no version; what does goes with the profile's next change, or is told by `flush_facets` a moment later.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from libs.events import codec
from libs.events.envelope import Incoming, Outgoing
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.events.segments import SegmentMembershipChanged, SegmentsJudged
from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.kit.times import format_utc
from libs.messaging.outcomes import HANDLED, Ignored, Outcome, Reject
from libs.messaging.ports import BatchResult
from services.profile.domain.views import LOYALTY, SEGMENTS, ShownPoints, ShownSegment, compare_facets, render_facets
from services.profile.handlers.metrics import VERSIONS
from services.profile.handlers.tell_profiles import make_moment, tell_version
from services.profile.ports import FacetStore, GraphStore, ProfileRow

FLUSH_LIMIT = 2000
UNKNOWN_TYPE = Ignored("unknown_type")
_encode = msgspec.json.Encoder().encode


class _News:
    """What a poll says: of each key the highest seq, of each facet the highest version judged."""

    def __init__(self) -> None:
        self.rows: dict[tuple[UUID, str, str], tuple[int, bytes]] = {}
        self.judged: dict[tuple[UUID, str], int] = {}

    def take(self, event: object) -> bool:
        """False for an event that isn't a facet's."""
        match event:
            case SegmentMembershipChanged():
                shown = ShownSegment(event.segment_id, event.segment_name, format_utc(event.at))
                self._keep(
                    (event.profile_id, SEGMENTS, event.segment_id),
                    event.seq,
                    _encode(shown) if event.action == "entered" else b"",
                )
            case SegmentsJudged():
                self._judge(event.profile_id, SEGMENTS, event.profile_version)
            case LoyaltyBalanceChanged():
                shown_points = ShownPoints(event.program, event.balance, event.pending, event.lifetime, event.tier)
                self._keep((event.profile_id, LOYALTY, event.program), event.version, _encode(shown_points))
                self._judge(event.profile_id, LOYALTY, event.profile_version)
            case _:
                return False
        return True

    def profile_ids(self) -> set[UUID]:
        return {key[0] for key in self.rows} | {key[0] for key in self.judged}

    def _keep(self, key: tuple[UUID, str, str], seq: int, body: bytes) -> None:
        if key not in self.rows or self.rows[key][0] < seq:
            self.rows[key] = (seq, body)

    def _judge(self, profile_id: UUID, facet: str, version: int) -> None:
        self.judged[profile_id, facet] = max(version, self.judged.get((profile_id, facet), 0))


async def apply_facets(tx: Tx, messages: Sequence[Incoming], graph: GraphStore, facets: FacetStore) -> BatchResult:
    """A BatchHandler: keep what is newer, under the profiles' locks."""
    outcomes: list[Outcome] = []
    news = _News()
    for message in messages:
        try:
            outcomes.append(HANDLED if news.take(codec.decode(message)) else UNKNOWN_TYPE)
        except codec.EventMalformed:
            outcomes.append(Reject("malformed", "decode"))
    profile_ids = sorted(news.profile_ids())
    if profile_ids:
        await graph.lock_profiles(tx, profile_ids)
    if news.rows:
        changed = await facets.save_facets(tx, news.rows)
        if changed:
            await facets.mark_pending(tx, changed)
    if news.judged:
        again = await facets.save_judged(tx, news.judged)
        if again:
            await facets.mark_pending(tx, again)
    return BatchResult(outcomes)


async def flush_facets(
    tx: Tx, graph: GraphStore, facets: FacetStore, clock: Clock, generation: int, profile_ids: Collection[UUID] | None = None
) -> list[Outgoing]:
    """Make versions of waiting facets, of these profiles or of any; what is to be published."""
    asked = sorted(profile_ids) if profile_ids is not None else sorted(await facets.find_pending(tx, FLUSH_LIMIT))
    if not asked:
        return []
    await graph.lock_profiles(tx, asked)
    pending = await facets.take_pending(tx, asked)
    if not pending:
        return []
    rows = await facets.load_facets(tx, pending)
    moment = make_moment(clock.now(), generation)
    written, outgoing = [], []
    for group in await graph.load_groups(tx, pending):
        rendered = render_facets(rows.get(group.id, ()))
        group.parts = compare_facets(group.facets, rendered)
        # An absorbed profile tells nothing: the split that brings it back reads its facets anew.
        if not group.parts or not group.nodes or not group.is_born:
            continue
        group.facets = rendered
        identifiers, records = tell_version(group, moment, ("facet",))
        written.append(ProfileRow(group, ("facet",), identifiers=identifiers))
        outgoing += records
    if written:
        await graph.save_profiles(tx, written, moment.now)
        VERSIONS.labels("facet").inc(len(written))
    return outgoing
