"""Facts of a profile, loaded as the store loads them: only as much history as each need names."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.segmentation.domain.history import Behaviour, Facts
from services.segmentation.domain.nodes import Need, Rule
from services.segmentation.domain.parsing import parse_rule
from services.segmentation.domain.segments import Segment
from services.segmentation.domain.values import make_exact

PROFILE = UUID(int=7)
SECOND = 1_000_000


def make_rule(body: Any) -> Rule:
    rule, findings = parse_rule(make_exact(body))
    assert rule is not None, findings
    return rule


def make_segment(body: Any, id_: str = "s") -> Segment:
    return Segment(id_, id_, 1, make_rule(body))


def load(need: Need, history: Sequence[Mapping[str, Any]], judged_us: int) -> list[Behaviour]:
    """What the port promises: all that is later than the last judgement, and of the earlier the latest `limit`."""
    chosen = [
        one
        for one in history
        if one["name"] == need.name
        and need.channel in (None, one["channel"])
        and (need.from_us is None or one["t"] * SECOND >= need.from_us)
        and (need.to_us is None or one["t"] * SECOND < need.to_us)
        and (need.window_us is None or one["t"] * SECOND > judged_us - need.window_us)
    ]
    chosen.sort(key=lambda one: (one["t"], one["id"]))
    earlier = [one for one in chosen if one["t"] * SECOND <= judged_us]
    later = [one for one in chosen if one["t"] * SECOND > judged_us]
    kept = earlier[-need.limit :] if need.limit is not None else earlier
    return [
        Behaviour(
            (one["t"] * SECOND, one["id"]),
            one["properties"].get("currency", "EUR"),
            msgspec.json.encode(one["properties"]) if need.with_properties else None,
        )
        for one in (*kept, *later)
    ]


def make_facts(
    segments: Sequence[Segment],
    history: Sequence[Mapping[str, Any]] = (),
    *,
    judged: int = 0,
    view: Mapping[str, Any] | None = None,
    members: Mapping[str, bool] | None = None,
) -> Facts:
    needs = {need for segment in segments for need in segment.needs}
    return Facts(
        PROFILE,
        make_exact(dict(view or {})),
        {need: load(need, history, judged * SECOND) for need in needs},
        dict(members or {}),
    )
