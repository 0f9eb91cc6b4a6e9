"""Keep how values of the view were at every instant, so that rules can be asked about the past (docs/decisions/0012)."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
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


class NewValue(NamedTuple):
    """A part as the view has it now, since when, and since when where nothing is kept of it yet."""

    profile_id: UUID
    part: str
    at_us: int
    first_us: int
    value: bytes


class EarlierValue(NamedTuple):
    """A part as it was before an instant; `value` None: it wasn't yet."""

    part: str
    until_us: int
    value: bytes | None


def make_values(
    affected: Affected, changed: Changed, touchpoints: Sequence[TouchpointRecorded], registry: Registry
) -> list[NewValue]:
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
        values.append(NewValue(affected.profile_id, part, at_us, SINCE_EVER_US if is_older else at_us, raw))
    return values


def make_first_values(profiles: Mapping[UUID, StoredProfile], segment: Segment, now_us: int) -> list[NewValue]:
    """A rule is new: what the parts it looks at are now is as old as anybody knows, unless they were kept before."""
    parts = segment.inputs.parts - WORDS - _NO_PART
    return [
        NewValue(profile_id, part, now_us, SINCE_EVER_US, raw)
        for profile_id, profile in profiles.items()
        if parts and profile.snapshot is not None
        for part, raw in cut_view(profile.snapshot, parts).items()
    ]


async def keep_values(tx: Tx, values: Sequence[NewValue], seg: Segmentation) -> dict[UUID, list[EarlierValue]]:
    """Save those that are new; by profile how they were before. The profiles' locks are held."""
    last = await seg.view_history.load_last(tx, [(value.profile_id, value.part) for value in values])
    kept: list[KeptValue] = []
    earlier: dict[UUID, list[EarlierValue]] = {}
    for value in values:
        known = last.get((value.profile_id, value.part))
        if known is not None and known.value == value.value:
            continue
        # Never before the last one: what the view says now is the last word, and the past before it stays as it was told.
        at_us = value.first_us if known is None else max(value.at_us, known.at_us)
        kept.append(KeptValue(value.profile_id, value.part, at_us, value.value))
        was = known.value if known is not None else None
        earlier.setdefault(value.profile_id, []).append(EarlierValue(value.part, at_us, was))
    await seg.view_history.save(tx, kept)
    return earlier


def _select_parts(changed: Changed, registry: Registry) -> frozenset[str]:
    kept = WORDS | registry.parts
    if changed.everything:
        return kept - _NO_PART
    parts = changed.parts | {"traits"} if "identifiers" in changed.parts else changed.parts
    return (kept & parts) - _NO_PART
