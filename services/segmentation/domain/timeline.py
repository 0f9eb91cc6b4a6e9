"""When a rule's answer can change: the instants between two judgements, and the next one after."""

from collections.abc import Iterator
from typing import Final

from services.segmentation.domain import nodes
from services.segmentation.domain.evaluation import evaluate, find_hits
from services.segmentation.domain.history import (
    Facts,
    need_of_did,
    need_of_since,
    need_of_touch,
    touches_of_sequence,
    walk,
)
from services.segmentation.domain.nodes import Did, Rule

_MOST_TRIES: Final = 64


def find_instants(rule: Rule, facts: Facts) -> Iterator[int]:
    """Every instant, in microseconds, at which the answer may become another: a touchpoint's t, and when it leaves a window."""
    for node in walk(rule):
        if isinstance(node, Did):
            hits = find_hits(node.touch, need_of_did(node), facts)
            yield from (hit.at_us for hit in hits)
            if isinstance(node.span, nodes.Within):
                yield from (hit.at_us + node.span.window_us for hit in hits)
            elif isinstance(node.span, nodes.Since):
                yield from (hit.at_us for hit in find_hits(node.span.touch, need_of_since(node.span), facts))
        elif isinstance(node, nodes.Sequence):
            for touch in touches_of_sequence(node):
                yield from (hit.at_us for hit in find_hits(touch, need_of_touch(touch), facts))


def find_next_change(rule: Rule, facts: Facts, now_us: int) -> int | None:
    """When the answer changes if nothing but time goes on; None: never.

    After many instants that change nothing the next one is given all the same: whoever judges then will look further.
    """
    ahead = sorted({instant for instant in find_instants(rule, facts) if instant > now_us})
    if not ahead:
        return None
    is_true = evaluate(rule, facts, now_us)
    for tries, instant in enumerate(ahead):
        if tries == _MOST_TRIES or evaluate(rule, facts, instant) != is_true:
            return instant
    return None
