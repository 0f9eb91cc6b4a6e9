"""Keep how values of the view were at every instant, so that rules can be asked about the past (docs/decisions/0010)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx
from libs.kit.times import to_micros
from libs.subscriber import Affected
from libs.subscriber.store import StoredProfile
from services.segmentation.domain.parts import SINCE_EVER_US, WORDS, cut_view, is_empty
from services.segmentation.domain.segments import Changed, Registry, Segment
from services.segmentation.handlers.bearing import bears_on_part
from services.segmentation.handlers.context import Segmentation
from services.segmentation.ports import KeptValue

_REGROUPINGS: Final = frozenset(("merge", "split"))
_NO_PART: Final = frozenset(("identifiers",))
"""Rules look at identifiers as traits."""


def make_values(
    affected: Affected, changed: Changed, touchpoints: Sequence[TouchpointRecorded], registry: Registry
) -> list[KeptValue]:
    """What a poll made of the parts that are kept: each since the t of the latest touchpoint that bears on it, else since now.

    The first of a part was so for as long as anybody knows where the profile came from a merge or split, or where the part is
    kept only since a rule looks at it.
    """
    if affected.snapshot is None or not affected.fragments or affected.version == affected.previous_version:
        return []
    parts = _select_parts(changed, registry)
    is_new = affected.previous_version is None
    is_regrouped = is_new and any(not _REGROUPINGS.isdisjoint(change.record.causes) for change in affected.changes)
    now_us = to_micros(affected.instant) if affected.instant is not None else 0
    values = []
    for part, raw in cut_view(affected.snapshot, parts).items() if parts else ():
        if is_new and is_empty(raw):
            continue
        bearing = (to_micros(body.occurred_at) for body in touchpoints if bears_on_part(body, part))
        at_us = min(max(bearing, default=now_us), now_us)
        is_older = is_regrouped or (not is_new and part not in WORDS)
        values.append(KeptValue(affected.profile_id, part, at_us, SINCE_EVER_US if is_older else at_us, raw))
    return values


def make_first_values(profiles: Mapping[UUID, StoredProfile], segment: Segment, now_us: int) -> list[KeptValue]:
    """A rule is new: what the parts it looks at are now is as old as anybody knows, unless they were kept before."""
    parts = segment.inputs.parts - WORDS - _NO_PART
    return [
        KeptValue(profile_id, part, now_us, SINCE_EVER_US, raw)
        for profile_id, profile in profiles.items()
        if parts and profile.snapshot is not None
        for part, raw in cut_view(profile.snapshot, parts).items()
    ]


async def keep_values(tx: Tx, values: Iterable[KeptValue], seg: Segmentation) -> None:
    """Save them. The profiles' locks are held."""
    await seg.view_history.save(tx, list(values))


def _select_parts(changed: Changed, registry: Registry) -> frozenset[str]:
    kept = WORDS | registry.parts
    if changed.everything:
        return kept - _NO_PART
    parts = changed.parts | {"traits"} if "identifiers" in changed.parts else changed.parts
    return (kept & parts) - _NO_PART
