"""When a profile would have been in a segment, by all that is known now. For rules on touchpoints alone."""

from collections.abc import Sequence

from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.history import Facts
from services.segmentation.domain.segments import Registry, Segment
from services.segmentation.domain.timeline import find_schedule


def find_foundation(registry: Registry, segment_id: str) -> tuple[Segment, ...]:
    """The segment and all that it builds on, in the order of judgement: it stands last of those it needs."""
    wanted, waiting = set[str](), [segment_id]
    while waiting:
        id_ = waiting.pop()
        if id_ not in wanted and id_ in registry.by_id:
            wanted.add(id_)
            waiting += registry.by_id[id_].inputs.segments
    return tuple(segment for segment in registry.segments if segment.id in wanted)


def find_alternations(
    foundation: Sequence[Segment], segment_id: str, facts: Facts, first_us: int, now_us: int
) -> list[tuple[int, bool]]:
    """(instant, whether it entered), from when the profile was first seen to now. `facts` hold whole histories and no members."""
    instants = {first_us}
    for segment in foundation:
        instants |= find_schedule(segment.timed, facts, first_us, now_us).passed
    found: list[tuple[int, bool]] = []
    is_in = False
    for instant in sorted(instants):
        for segment in foundation:
            facts.members[segment.id] = evaluate(segment.rule, facts, instant)
        if facts.members[segment_id] != is_in:
            is_in = not is_in
            found.append((instant, is_in))
    return found
