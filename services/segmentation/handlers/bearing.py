"""Which touchpoints bear on a part of the view, or on a rule, as far as can be told from the touchpoint itself."""

from typing import Final

from libs.events.touchpoints import EMPTY_OBJECT, TouchpointRecorded
from services.segmentation.domain.segments import Segment

_STATED_BY_OTHERS: Final = frozenset(("loyalty", "scores", "computed"))


def bears_on(body: TouchpointRecorded, segment: Segment) -> bool:
    """Whether it is of the kind that the segment's rule looks at."""
    return body.name in segment.inputs.names or any(bears_on_part(body, part) for part in segment.inputs.parts)


def bears_on_part(body: TouchpointRecorded, part: str) -> bool:
    if part in ("traits", "identifiers"):
        return body.kind in ("identify", "alias") or body.traits != EMPTY_OBJECT
    if part == "consent":
        return bool(body.consent)
    if part == "orders":
        return body.order is not None
    return part not in _STATED_BY_OTHERS
