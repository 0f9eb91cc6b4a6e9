"""Every topic, declared once: used to create them, to document them, and to guard that wiring matches."""

from dataclasses import dataclass
from typing import Literal

from libs.events.envelope import Event
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.events.privacy import PrivacyRequested
from libs.events.profiles import ProfileChanged, TouchpointDismissed
from libs.events.segments import SegmentMembershipChanged, SegmentsJudged
from libs.events.touchpoints import TouchpointRecorded, TouchpointRejected

Service = Literal["ingest", "profile", "segmentation", "engagement", "loyalty"]
DAY_MS = 86_400_000
DEFAULT_PARTITIONS = 6


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's contract. Without producers: its owner will publish it, and who follows it is ready.

    `retention_ms` None means for ever; `compact` adds the compaction settings of DESIGN section 3.
    """

    name: str
    owner: Service
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...]
    key: str
    events: tuple[type[Event], ...]
    retention_ms: int | None = 7 * DAY_MS
    partitions: int = DEFAULT_PARTITIONS
    compact: bool = False


TOUCHPOINTS = Topic(
    name="touchpoints",
    owner="ingest",
    producers=("ingest", "profile", "engagement"),
    consumers=("profile",),
    key="fragment id (epoch 0) of the strongest identifier",
    events=(TouchpointRecorded,),
)
TOUCHPOINT_REJECTIONS = Topic(
    name="touchpoint-rejections",
    owner="ingest",
    producers=("ingest",),
    consumers=("ingest",),
    key="source id",
    events=(TouchpointRejected,),
)
PROFILE_CHANGES = Topic(
    name="profile-changes",
    owner="profile",
    producers=("profile",),
    consumers=("segmentation", "engagement", "loyalty"),
    key="profile id",
    events=(ProfileChanged, TouchpointDismissed),
    retention_ms=None,
    compact=True,
)
SEGMENT_CHANGES = Topic(
    name="segment-changes",
    owner="segmentation",
    producers=("segmentation",),
    consumers=("engagement", "profile"),
    key="profile id",
    events=(SegmentMembershipChanged, SegmentsJudged),
)
LOYALTY_EVENTS = Topic(
    name="loyalty-events",
    owner="loyalty",
    producers=("loyalty",),
    consumers=("profile",),
    key="profile id",
    events=(LoyaltyBalanceChanged,),
)
PRIVACY_REQUESTS = Topic(
    name="privacy-requests",
    owner="profile",
    producers=(),
    consumers=("ingest",),
    key="fragment id (epoch 0)",
    events=(PrivacyRequested,),
    retention_ms=30 * DAY_MS,
)
TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (TOUCHPOINTS, TOUCHPOINT_REJECTIONS, PROFILE_CHANGES, SEGMENT_CHANGES, LOYALTY_EVENTS, PRIVACY_REQUESTS)
}


def dead_letter_topic(consumer: str, topic: str) -> str:
    """Where `consumer` puts records of `topic` it cannot handle: 30 days, one partition, original key."""
    return f"{consumer}-{topic}-dlq"
