"""When a rule's answer can change: the instants between two judgements, and the next one after."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from services.segmentation.domain.evaluation import evaluate, find_hits
from services.segmentation.domain.history import Behaviour, Facts
from services.segmentation.domain.nodes import Did, Rule, Sequence, Since, Within

_MOST_TRIES: Final = 64


def find_instants(timed: Iterable[Did | Sequence], facts: Facts, after_us: int) -> Iterator[int]:
    """Every instant after the given one at which an answer may become another: a touchpoint's t, and when it leaves a window.

    `timed`: the rule's conditions on touchpoints (`history.find_timed`).
    """
    for node in timed:
        if isinstance(node, Did):
            hits, span = find_hits(node.touch, node.need, facts), node.span
            yield from _later(hits, after_us)
            if isinstance(span, Within):
                yield from (at_us + span.window_us for at_us in _later(hits, after_us - span.window_us))
            elif isinstance(span, Since):
                yield from _later(find_hits(span.touch, span.need, facts), after_us)
        else:
            for touch in node.touches:
                yield from _later(find_hits(touch, touch.need, facts), after_us)


def find_next_change(rule: Rule, facts: Facts, now_us: int, instants: Collection[int]) -> int | None:
    """When the answer changes if nothing but time goes on; None: never. `instants`: all those after now.

    After many instants that change nothing the next one is given all the same: whoever judges then will look further.
    """
    if not instants:
        return None
    is_true = evaluate(rule, facts, now_us)
    for tries, instant in enumerate(sorted(instants)):
        if tries == _MOST_TRIES or evaluate(rule, facts, instant) != is_true:
            return instant
    return None


def _later(hits: list[Behaviour], after_us: int) -> Iterator[int]:
    for hit in reversed(hits):
        if hit.at_us <= after_us:
            return
        yield hit.at_us
