"""What a rule must know of a profile: the view, its touchpoints as far as the rule asks, and its segments.

Decides how much history is enough for an exact answer, so that one more touchpoint costs the same at the 100,000th.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.segmentation.domain import nodes
from services.segmentation.domain.nodes import Between, Did, Rule, Test, Touch, Within
from services.segmentation.domain.values import Json, decode_json

AT_LEAST_ONCE: Final = Test("gte", 1)


@dataclass(slots=True)
class Behaviour:
    """A touchpoint as rules see it. `order` = (t in microseconds, touchpoint id): strictly increasing means later."""

    order: tuple[int, int]
    currency: str | None = None
    raw_properties: bytes | None = None
    _properties: Json = None

    @property
    def at_us(self) -> int:
        return self.order[0]

    @property
    def properties(self) -> Json:
        """Decoded once, when a rule asks."""
        if self._properties is None:
            self._properties = decode_json(self.raw_properties) if self.raw_properties else {}
        return self._properties


@dataclass(frozen=True, slots=True)
class Need:
    """Touchpoints a rule asks for.

    Those later than the last judgement are always needed; of the earlier ones the latest `limit` (None: all), with t in
    [from_us, to_us) and, where a window slides, no older than `window_us` before the last judgement.
    """

    name: str
    channel: str | None = None
    limit: int | None = None
    from_us: int | None = None
    to_us: int | None = None
    window_us: int | None = None
    with_properties: bool = False


@dataclass(slots=True)
class Facts:
    """All that is known of one profile for a judgement. `history` has every need, in order; `members` is the level by segment."""

    profile_id: UUID
    view: Mapping[str, Json]
    history: Mapping[Need, Sequence[Behaviour]]
    members: dict[str, bool]
    matched: dict[int, list[Behaviour]] = field(default_factory=dict)


def need_of_did(did: Did) -> Need:
    """A count only matters up to the greatest number it is compared with: more than that many of the latest change nothing."""
    touch, span = did.touch, did.span
    is_counted = touch.where is None and did.figure is None
    return Need(
        touch.name,
        touch.channel,
        limit=_saturation(did.times or AT_LEAST_ONCE) if is_counted else None,
        from_us=span.from_us if isinstance(span, Between) else None,
        to_us=span.to_us if isinstance(span, Between) else None,
        window_us=span.window_us if isinstance(span, Within) else None,
        with_properties=not is_counted,
    )


def need_of_touch(touch: Touch, *, limit: int | None = None) -> Need:
    """Of conditions on properties nobody knows how many of the latest meet them: all are needed."""
    return Need(touch.name, touch.channel, None if touch.where else limit, with_properties=touch.where is not None)


def need_of_since(span: nodes.Since) -> Need:
    return need_of_touch(span.touch, limit=1)


def find_needs(rule: Rule) -> Iterator[Need]:
    for node in walk(rule):
        if isinstance(node, Did):
            yield need_of_did(node)
            if isinstance(node.span, nodes.Since):
                yield need_of_since(node.span)
        elif isinstance(node, nodes.Sequence):
            yield from (need_of_touch(touch) for touch in touches_of_sequence(node))


def touches_of_sequence(sequence: nodes.Sequence) -> Iterator[Touch]:
    yield from (step.touch for step in sequence.steps)
    if sequence.without is not None:
        yield sequence.without


def walk(rule: Rule) -> Iterator[Rule]:
    """Every node of the tree, parents first."""
    yield rule
    if isinstance(rule, (nodes.All, nodes.Some)):
        for child in rule.rules:
            yield from walk(child)
    elif isinstance(rule, nodes.Not):
        yield from walk(rule.rule)


def _saturation(times: Test) -> int:
    values = times.value if isinstance(times.value, list) else [times.value]
    return int(max(values)) + 1
