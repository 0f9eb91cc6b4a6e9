"""When a rule's answer can change: the instants between two judgements, and the next one after."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from services.segmentation.domain.conditions import read_values
from services.segmentation.domain.evaluation import evaluate, find_candidates, read_value
from services.segmentation.domain.history import Behaviour, Facts, find_timed, walk
from services.segmentation.domain.nodes import Comparison, Did, Need, Rule, Sequence, Since, Timed, Touch, Within
from services.segmentation.domain.relative_dates import find_horizon, find_turns
from services.segmentation.domain.values import Json

_MOST_TRIES: Final = 64
_MOST_LOOKS: Final = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """Instants at which an answer may become another: those up to now, and those to come.

    `horizon`: beyond it there are more; None: these are all.
    """

    passed: frozenset[int]
    ahead: tuple[int, ...]
    horizon: int | None = None


def find_schedule(timed: Iterable[Timed], facts: Facts, from_us: int, now_us: int) -> Schedule:
    """Every instant after `from` at which an answer may become another: a touchpoint's t, when it leaves a window, when a date
    comes near.

    `timed`: the rule's conditions that time changes (`history.find_timed`).
    """
    finder = _Finder(facts, from_us, now_us)
    instants = {instant for node in timed for instant in finder.find(node)}
    ahead = sorted(instant for instant in instants if instant > now_us)
    horizon = min(finder.horizons, default=None)
    if horizon is not None:
        ahead = [instant for instant in ahead if instant < horizon]
    return Schedule(frozenset(instant for instant in instants if instant <= now_us), tuple(ahead), horizon)


def find_next_change(rule: Rule, facts: Facts, now_us: int, schedule: Schedule) -> int | None:
    """When the answer changes if nothing but time goes on; None: never.

    After many instants that change nothing the next one is given all the same, and so is the horizon: whoever judges then will
    look further.
    """
    if not schedule.ahead:
        return schedule.horizon
    is_true = evaluate(rule, facts, now_us)
    for tries, instant in enumerate(schedule.ahead):
        if tries == _MOST_TRIES or evaluate(rule, facts, instant) != is_true:
            return instant
    return schedule.horizon


@dataclass(slots=True)
class Effort:
    """How many evaluations of single conditions may still be spent on looking ahead, whoever shares it."""

    left: int


def find_true_change(rule: Rule, facts: Facts, now_us: int, effort: Effort | None = None) -> int | None:
    """The next instant at which the answer does become another; None also where that isn't found in many years, or with the
    `effort`, of which each look costs at most what it may take.
    """
    is_true, timed, from_us = evaluate(rule, facts, now_us), tuple(find_timed(rule)), now_us
    size = sum(1 for _ in walk(rule))
    for _ in range(_MOST_LOOKS):
        schedule = find_schedule(timed, facts, from_us, from_us)
        if effort is not None:
            effort.left -= size * (min(len(schedule.ahead), _MOST_TRIES) + 1)
            if effort.left < 0:
                return None
        due_us = find_next_change(rule, facts, from_us, schedule)
        if due_us is None or evaluate(rule, facts, due_us) != is_true:
            return due_us
        from_us = due_us
    return None


class _Finder:
    """Finds instants, and notes up to when they are all."""

    def __init__(self, facts: Facts, from_us: int, now_us: int) -> None:
        self._facts = facts
        self._from_us = from_us
        self._now_us = now_us
        self.horizons: list[int] = []

    def find(self, node: Timed) -> Iterator[int]:
        if isinstance(node, Did):
            yield from self._find_of_did(node)
        elif isinstance(node, Sequence):
            for touch in node.touches:
                yield from self._find_of_touch(touch, touch.need)
        else:
            for view in (self._facts.view, *(one.view for one in self._facts.earlier)):
                yield from self._find_turns(node.test, read_value(node, view))

    def _find_of_did(self, node: Did) -> Iterator[int]:
        yield from self._find_of_touch(node.touch, node.need)
        span = node.span
        if isinstance(span, Within):
            hits = find_candidates(node.touch, node.need, self._facts)
            yield from (at_us + span.window_us for at_us in _later(hits, self._from_us - span.window_us))
        elif isinstance(span, Since):
            yield from self._find_of_touch(span.touch, span.need)

    def _find_of_touch(self, touch: Touch, need: Need) -> Iterator[int]:
        hits = find_candidates(touch, need, self._facts)
        yield from _later(hits, self._from_us)
        for condition in touch.dated:
            for hit in hits:
                for value in read_values(condition, hit.properties):
                    yield from self._find_turns(condition.test, value)

    def _find_turns(self, test: Comparison, value: Json) -> Iterator[int]:
        horizon = find_horizon(test.op, value, self._now_us)
        if horizon is not None:
            self.horizons.append(horizon)
        return find_turns(test.op, value, test.value, self._from_us, self._now_us)


def _later(hits: list[Behaviour], after_us: int) -> Iterator[int]:
    for hit in reversed(hits):
        if hit.at_us <= after_us:
            return
        yield hit.at_us
