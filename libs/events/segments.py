"""Segment memberships as edges (entered, exited) and as the level profile shows."""

from typing import ClassVar, Literal

from msgspec import Struct

from libs.events.fields import Instant
from libs.kit.ids import Id

EdgeCause = Literal["touchpoint", "time", "edit", "merge", "split", "erase", "backfill", "facet"]


class SegmentMembershipChanged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A profile entered or exited a segment at its true instant `at`.

    Edges of one (segment, profile) alternate and carry `seq` from 1; the greatest seq equals the level.
    `profile_version` is the version of the profile that was judged. `touchpoint_id` is set where one touchpoint caused it.
    """

    TYPE: ClassVar[str] = "rapport.segment.membership_changed.v1"

    segment_id: str
    segment_name: str
    segment_version: int
    profile_id: Id
    profile_version: int
    action: Literal["entered", "exited"]
    seq: int
    at: Instant
    cause: EdgeCause
    touchpoint_id: Id | None = None
    previous_s: float | None = None


class SegmentsJudged(Struct, frozen=True, kw_only=True):
    """All segments of a profile were judged at `profile_version`: answers a probe, so that a reader knows nothing more comes."""

    TYPE: ClassVar[str] = "rapport.segment.judged.v1"

    profile_id: Id
    profile_version: int
