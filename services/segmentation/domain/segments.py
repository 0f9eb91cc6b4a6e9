"""Segments as judged: rules with what they ask for, which changes concern them, and in which order they build on each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from services.segmentation.domain import nodes
from services.segmentation.domain.history import find_needs, find_timed, walk
from services.segmentation.domain.nodes import Need, Rule

_PARTS: Final[Mapping[type, tuple[str, ...]]] = MappingProxyType(
    {
        nodes.Trait: ("traits", "identifiers"),  # e-mail and phone are traits, too, whichever way they came
        nodes.Consent: ("consent",),
        nodes.Stage: ("lead",),
        nodes.Tier: ("loyalty",),
        nodes.Points: ("loyalty",),
        nodes.Score: ("scores",),
        nodes.Computed: ("computed",),
        nodes.OnList: ("identifiers",),
    }
)
"""Parts of the view that a condition looks at, as profile names them; of figures the path tells."""
_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a rule looks at: touchpoint names, parts of the view as profile names them, other segments, manual lists."""

    names: frozenset[str]
    parts: frozenset[str]
    segments: frozenset[str]
    lists: frozenset[str]


class SetTimer(NamedTuple):
    """A timer as it is set: when the answer changes by itself, by the rule that came into force with that version."""

    due_us: int
    rule_version: int


class Segment:
    """A definition ready to be judged. `rule_version`: the version that brought this rule; later ones only renamed it."""

    __slots__ = ("id", "inputs", "name", "needs", "rule", "rule_version", "timed", "version")

    def __init__(self, id_: str, name: str, version: int, rule: Rule, rule_version: int | None = None) -> None:
        self.id = id_
        self.name = name
        self.version = version
        self.rule = rule
        self.rule_version = version if rule_version is None else rule_version
        self.inputs = find_inputs(rule)
        self.needs: tuple[Need, ...] = tuple(dict.fromkeys(find_needs(rule)))
        self.timed = tuple(find_timed(rule))


def find_inputs(rule: Rule) -> Inputs:
    names = {need.name for need in find_needs(rule)}
    parts: set[str] = set()
    segments: set[str] = set()
    lists: set[str] = set()
    for node in walk(rule):
        parts.update(_PARTS.get(type(node), ()))
        match node:
            case nodes.View(path):
                parts.add(path[1] if path[0] == "aggregates" and len(path) > 1 else path[0])
            case nodes.InSegment(segment_id):
                segments.add(segment_id)
            case nodes.OnList(list_id):
                lists.add(list_id)
    return Inputs(frozenset(names), frozenset(parts), frozenset(segments), frozenset(lists))


def find_cycle(rules: Mapping[str, Iterable[str]], start: str) -> list[str] | None:
    """The path from a segment through those its rule names back to itself, or None. `rules`: id -> segments its rule names."""
    trail: list[str] = []
    finished: set[str] = set()

    def visit(segment_id: str) -> list[str] | None:
        trail.append(segment_id)
        for named in sorted(rules.get(segment_id, ())):
            if named == start:
                return [*trail, start]
            if named not in finished and named not in trail and (found := visit(named)):
                return found
        finished.add(trail.pop())
        return None

    return visit(start)


class Changed(NamedTuple):
    """What a poll changed of a profile. `everything`: its members changed, or versions in between are unknown."""

    names: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    everything: bool = False


EVERYTHING: Final = Changed(everything=True)


class Registry:
    """All segments in force at one revision, those first that others build on."""

    def __init__(self, segments: Iterable[Segment], revision: int = 0) -> None:
        self.revision = revision
        self.segments = sort_by_dependency(segments)
        self.by_id = {segment.id: segment for segment in self.segments}
        self._rank = {segment.id: rank for rank, segment in enumerate(self.segments)}
        self._by_name: dict[str, list[Segment]] = {}
        self._by_part: dict[str, list[Segment]] = {}
        self._dependents: dict[str, list[Segment]] = {}
        for segment in self.segments:
            for index, keys in (
                (self._by_name, segment.inputs.names),
                (self._by_part, segment.inputs.parts),
                (self._dependents, segment.inputs.segments),
            ):
                for key in keys:
                    index.setdefault(key, []).append(segment)
        self.parts = frozenset(self._by_part)
        self._remembered: dict[Changed, tuple[Segment, ...]] = {}

    def select(self, changed: Changed) -> tuple[Segment, ...]:
        """The segments whose answer the change can touch, directly or through others, in the order of judgement."""
        if changed.everything:
            return self.segments
        found = self._remembered.get(changed)
        if found is None:
            direct = [segment for name in changed.names for segment in self._by_name.get(name, ())]
            direct += [segment for part in changed.parts for segment in self._by_part.get(part, ())]
            found = self.with_dependents(direct)
            if len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[changed] = found
        return found

    def with_dependents(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        """These and all that build on them, in the order of judgement."""
        found: dict[str, Segment] = {}
        waiting = list(segments)
        while waiting:
            segment = waiting.pop()
            if segment.id not in found:
                found[segment.id] = segment
                waiting += self._dependents.get(segment.id, ())
        return tuple(sorted(found.values(), key=lambda segment: self._rank[segment.id]))

    def find_by_list(self, list_id: str) -> list[Segment]:
        """Segments whose rules name a manual list."""
        return [segment for segment in self.segments if list_id in segment.inputs.lists]

    def find_due(self, timers: Mapping[str, SetTimer], now_us: int) -> list[Segment]:
        """Segments whose timer is due. One that an earlier rule set says nothing: the present one's back-fill sets its own."""
        return [segment for id_, timer in timers.items() if timer.due_us <= now_us and (segment := self.find_setter(id_, timer))]

    def find_setter(self, segment_id: str, timer: SetTimer) -> Segment | None:
        """The segment in force whose present rule set the timer."""
        segment = self.by_id.get(segment_id)
        return segment if segment is not None and segment.rule_version == timer.rule_version else None


def sort_by_dependency(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Each after those its rule names; else by id. A cycle can't be saved; were there one, its members come last, by id."""
    waiting = sorted(segments, key=lambda segment: segment.id)
    known = {segment.id for segment in waiting}
    ordered: list[Segment] = []
    done: set[str] = set()
    while waiting:
        ready = [one for one in waiting if (one.inputs.segments & known) <= done]
        taken: Sequence[Segment] = ready or waiting
        ordered += taken
        done.update(segment.id for segment in taken)
        waiting = [segment for segment in waiting if segment.id not in done]
    return tuple(ordered)
