"""What a follower of profile-changes gets to see: new touchpoints by fragment, and the profiles that must be judged again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from libs.events.envelope import Outgoing
from libs.events.profiles import ProfileChanged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx


class FactTouchpoint(Struct, frozen=True):
    """A touchpoint this service sees for the first time, and the fragment it was folded in for ever."""

    fragment: UUID
    body: TouchpointRecorded


class Change(Struct, frozen=True):
    """One record of the poll.

    `touchpoints` are only those new to this service. `is_latest`: its snapshot is the stored one now (no record of the
    same poll or before had a higher version). `probe`: a reader waits for an answer about this profile.
    """

    record: ProfileChanged
    touchpoints: tuple[FactTouchpoint, ...]
    is_latest: bool
    probe: bool


class Affected(Struct, frozen=True):
    """A profile to judge, with its row locked.

    `fragments` are its members by this service's own map, sorted; none: it is exited everywhere. `version` is the highest
    seen, `snapshot` that version's view (None where none was kept). `changes` are the poll's records that touch it, by
    their key or by the fragment of a touchpoint, older versions than the latest included. `membership_changed`: a fragment
    came or left in this poll. `previous_version` was the highest before this poll (None: the profile is new here).

    Where the service judges by the clock: `judged_at` is the instant of the judgement before (None: never), `instant` that
    of this one, never before the receipt of what is judged, never before `judged_at`; it is stored as the next `judged_at`.
    """

    profile_id: UUID
    version: int
    fragments: tuple[UUID, ...]
    snapshot: bytes | None
    changes: tuple[Change, ...]
    membership_changed: bool
    probe: bool
    previous_version: int | None = None
    judged_at: datetime | None = None
    instant: datetime | None = None


SaveFacts: TypeAlias = Callable[[Tx, Sequence[FactTouchpoint]], Awaitable[None]]
"""Keeps new touchpoints by fragment. Their fragments are locked."""

Judge: TypeAlias = Callable[[Tx, Sequence[Affected]], Awaitable[Sequence[Outgoing]]]
"""Judges profiles by the facts of their fragments; what it returns is published after the commit. Their rows are locked."""
