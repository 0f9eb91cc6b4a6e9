"""What if, and why: how many a rule would have, and why somebody is or isn't in a segment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from libs.kit.db import Database, Tx
from libs.kit.times import to_micros
from libs.subscriber import store as subscribed
from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.explaining import explain
from services.segmentation.domain.history import Behaviour, Facts
from services.segmentation.domain.nodes import Need, Rule
from services.segmentation.domain.segments import Segment
from services.segmentation.domain.timeline import Effort, find_true_change
from services.segmentation.domain.values import decode_json, decode_sent
from services.segmentation.handlers.context import Segmentation, compile_definition
from services.segmentation.ports import Definition, HistoryRequest, KnownProfile, PreviewSource

_CHUNK: int = 1_000
_SAMPLE: int = 10
_MOST_EVALUATIONS: int = 50_000
"""For one explanation: some tenths of a second."""


@dataclass(slots=True)
class Preview:
    """`count` of `of` profiles; an estimate where only a stable part of them was judged. `overlaps`: members by segment."""

    count: int = 0
    of: int = 0
    sample: list[UUID] = field(default_factory=list)
    overlaps: dict[str, int] = field(default_factory=dict)
    one_in: int = 1


async def preview_rule(database: Database, rule: Rule, seg: Segmentation, source: PreviewSource, *, max_profiles: int) -> Preview:
    """Judge everybody now, a chunk at a time and without locks; nothing is saved."""
    segment = Segment("preview", "preview", 0, rule)
    now_us = to_micros(seg.clock.now())
    async with database.connection() as connection:
        preview = Preview(of=await source.count_profiles(connection))
        preview.one_in = -(-preview.of // max_profiles) if preview.of > max_profiles else 1
        after: UUID | None = None
        while profiles := await source.load_profiles_after(connection, after, limit=_CHUNK, one_in=preview.one_in):
            after = profiles[-1].profile_id
            members = await _find_members(connection, profiles, segment, seg, now_us)
            preview.count += len(members)
            preview.sample += members[: _SAMPLE - len(preview.sample)]
            for segment_id, count in (await source.load_overlaps(connection, members)).items():
                preview.overlaps[segment_id] = preview.overlaps.get(segment_id, 0) + count
    if preview.one_in > 1:
        preview.count = min(preview.count * preview.one_in, preview.of)
        preview.overlaps = {segment_id: count * preview.one_in for segment_id, count in preview.overlaps.items()}
    return preview


async def explain_membership(tx: Tx, profile_id: UUID, definition: Definition, seg: Segmentation) -> dict[str, Any]:
    """Each condition true or false of this profile now, with what is known, and when the answer changes by itself."""
    segment = compile_definition(definition)
    stored = await subscribed.load_profiles(tx, [profile_id])
    members = (await subscribed.load_members(tx, [profile_id]))[profile_id]
    told = (await seg.memberships.load(tx, [profile_id], {segment.id, *segment.inputs.segments}))[profile_id]
    now_us = to_micros(seg.clock.now())
    request = HistoryRequest(tuple(members), segment.needs, now_us)
    [history] = await seg.behaviours.load(tx, [request], whole=True)
    view = stored[profile_id].snapshot if profile_id in stored else None
    lists = await seg.lists.load(tx, [profile_id], segment.inputs.lists)
    levels = {id_: membership.is_member for id_, membership in told.items()}
    facts = Facts(profile_id, decode_sent(view), history, levels, lists[profile_id])
    effort = Effort(_MOST_EVALUATIONS)
    due_us = find_true_change(segment.rule, facts, now_us, effort)
    return {
        "result": evaluate(segment.rule, facts, now_us),
        "at_us": now_us,
        "due_us": due_us,
        "told": told.get(segment.id),
        "tree": explain(decode_json(definition.rule.encode()), segment.rule, facts, now_us, effort),
    }


async def _find_members(tx: Tx, profiles: Sequence[KnownProfile], segment: Segment, seg: Segmentation, now_us: int) -> list[UUID]:
    requests = [HistoryRequest(profile.fragments, segment.needs, now_us) for profile in profiles]
    histories: Sequence[Mapping[Need, Sequence[Behaviour]]] = await seg.behaviours.load(tx, requests)
    named = segment.inputs.segments
    profile_ids = [profile.profile_id for profile in profiles]
    levels = await seg.memberships.load(tx, profile_ids, named)
    lists = await seg.lists.load(tx, profile_ids, segment.inputs.lists)
    members = []
    for profile, history in zip(profiles, histories, strict=True):
        told = {id_: membership.is_member for id_, membership in levels[profile.profile_id].items()}
        view = decode_sent(profile.view) if segment.inputs.parts else {}
        facts = Facts(profile.profile_id, view, history, told, lists[profile.profile_id])
        if evaluate(segment.rule, facts, now_us):
            members.append(profile.profile_id)
    return members
