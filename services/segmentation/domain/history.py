"""What a rule is judged by: the view, touchpoints as far as the rule asks for them, and the segments it names."""

from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.segmentation.domain.findings import point
from services.segmentation.domain.nodes import All, Computed, Did, Need, Not, Rule, Sequence, Since, Some, Timed, Trait, View
from services.segmentation.domain.values import Json, decode_sent


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
            self._properties = decode_sent(self.raw_properties)
        return self._properties


@dataclass(frozen=True, slots=True)
class EarlierView:
    """How the view was before an instant, and which of its parts changed at it."""

    until_us: int
    view: Mapping[str, Json]
    parts: frozenset[str]


@dataclass(slots=True)
class Facts:
    """All that is known of one profile for a judgement. `history` has every need, in order; `members` is the level by segment,
    `lists` the manual lists it is on. `earlier`: views that changed since the last judgement, in the order of time.
    """

    profile_id: UUID
    view: Mapping[str, Json]
    history: Mapping[Need, abc.Sequence[Behaviour]]
    members: dict[str, bool]
    lists: frozenset[str] = frozenset()
    earlier: tuple[EarlierView, ...] = ()
    matched: dict[int, list[Behaviour]] = field(default_factory=dict)

    def view_at(self, at_us: int) -> Mapping[str, Json]:
        return next((one.view for one in self.earlier if at_us < one.until_us), self.view) if self.earlier else self.view


def find_needs(rule: Rule) -> Iterator[Need]:
    for node in find_timed(rule):
        if isinstance(node, Did):
            yield node.need
            if isinstance(node.span, Since):
                yield node.span.need
        elif isinstance(node, Sequence):
            yield from (touch.need for touch in node.touches)


def find_timed(rule: Rule) -> Iterator[Timed]:
    """All that can change as time goes on: conditions on touchpoints, and dates relative to now."""
    for node in walk(rule):
        if isinstance(node, (Did, Sequence)) or (isinstance(node, (Trait, View, Computed)) and node.test.is_relative):
            yield node


def walk(rule: Rule) -> Iterator[Rule]:
    """Every node of the tree, parents first."""
    return (node for _, node in walk_places(rule))


def walk_places(rule: Rule, pointer: str = "") -> Iterator[tuple[str, Rule]]:
    """Every node with its JSON Pointer in the rule as written, parents first."""
    yield pointer, rule
    if isinstance(rule, (All, Some)):
        word = "all" if isinstance(rule, All) else "any"
        for number, child in enumerate(rule.rules):
            yield from walk_places(child, point(pointer, word, number))
    elif isinstance(rule, Not):
        yield from walk_places(rule.rule, point(pointer, "not"))
