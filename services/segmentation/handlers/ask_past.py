"""What was true of somebody at a past instant, by all that is known now."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from libs.subscriber import store as subscribed
from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.history import Facts
from services.segmentation.domain.parts import cut_view, join_view
from services.segmentation.domain.segments import Registry, Segment
from services.segmentation.handlers.context import Segmentation
from services.segmentation.ports import HistoryRequest, KnownEdge

_MOST_CHANGES: Final = 500


@dataclass(frozen=True, slots=True)
class PastMembership:
    """`since_us`: when it was told to have entered; None where nobody knew at the time."""

    segment: Segment
    since_us: int | None


@dataclass(frozen=True, slots=True)
class Past:
    """Segments somebody was in at the instant, and what was told after it (the first few hundred changes)."""

    memberships: list[PastMembership]
    changes: list[KnownEdge]


async def ask_past(tx: Tx, profile_id: UUID, at_us: int, seg: Segmentation) -> Past:
    """By the rules in force: touchpoints of all fragments it has now, values of its view as kept, manual lists as they are."""
    registry = (await seg.registries.hold(tx)).registry
    facts = await _load_facts(tx, profile_id, at_us, registry, seg)
    told = await seg.memberships.load_told(tx, profile_id, registry.by_id, at_us)
    changes = await seg.memberships.load_edges_after(tx, profile_id, registry.by_id, at_us, limit=_MOST_CHANGES)
    members = _find_members(registry, facts, at_us) if facts is not None else []
    return Past([PastMembership(segment, told.get(segment.id)) for segment in members], changes)


def _find_members(registry: Registry, facts: Facts, at_us: int) -> list[Segment]:
    """By id. Segments that others build on stand before those."""
    for segment in registry.segments:
        facts.members[segment.id] = evaluate(segment.rule, facts, at_us)
    return [registry.by_id[segment_id] for segment_id in sorted(facts.members) if facts.members[segment_id]]


async def _load_facts(tx: Tx, profile_id: UUID, at_us: int, registry: Registry, seg: Segmentation) -> Facts | None:
    """None for somebody who isn't anybody any more."""
    stored = (await subscribed.load_profiles(tx, [profile_id])).get(profile_id)
    fragments = (await subscribed.load_members(tx, [profile_id]))[profile_id]
    if stored is None or stored.snapshot is None or not fragments:
        return None
    parts = registry.parts - {"identifiers"}
    present = cut_view(stored.snapshot, parts)
    kept = await seg.view_history.load(tx, profile_id, parts, at_us)
    needs = dict.fromkeys(need for segment in registry.segments for need in segment.needs)
    request = HistoryRequest(tuple(fragments), tuple(needs), at_us)
    [history] = await seg.behaviours.load(tx, [request], until_us=at_us)
    named = {list_id for segment in registry.segments for list_id in segment.inputs.lists}
    lists = await seg.lists.load(tx, [profile_id], named)
    return Facts(profile_id, join_view({**present, **kept}), history, {}, lists[profile_id])
