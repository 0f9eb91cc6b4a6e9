"""Our evaluator, which sees only as much history as it asked for, says what brute force over everything says."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.kit.times import parse_utc, to_micros
from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.explaining import explain
from services.segmentation.domain.history import EarlierView
from services.segmentation.domain.judging import Membership, judge
from services.segmentation.domain.segments import sort_by_dependency
from services.segmentation.domain.timeline import Effort, find_next_change, find_schedule
from services.segmentation.domain.values import make_exact

from . import reference, strategies
from .conftest import SECOND, make_facts, make_segment
from .strategies import LATEST, spell_times

END = LATEST + 12
PARTS = frozenset(("traits", "orders"))


def sorted_by_time(pairs: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return sorted(pairs, key=lambda pair: pair[0])


@given(strategies.rules, strategies.histories, strategies.views, st.integers(0, LATEST))
def test_every_rule_is_what_it_says(body: Any, history: list[Any], view: Any, judged: int) -> None:
    segment = make_segment(spell_times(body))
    facts = make_facts([segment], history, judged=judged, view=view)
    for second in range(judged, END):
        said = evaluate(segment.rule, facts, second * SECOND)
        assert said == reference.rule(body, history, second, view, lambda _: False), second


@given(
    st.lists(strategies.rules, min_size=2, max_size=3),
    strategies.histories,
    strategies.views,
    st.integers(0, LATEST),
    st.integers(1, 15),
    st.lists(st.tuples(st.integers(1, 15), strategies.views), max_size=2, unique_by=lambda pair: pair[0]).map(sorted_by_time),
)
def test_every_change_between_two_judgements_is_told_at_its_instant(
    bodies: list[Any], history: list[Any], view: Any, judged: int, later: int, before: list[tuple[int, Any]]
) -> None:
    """Each segment after the first also builds on the one before it. `before`: how the view was until so long after."""
    untils = [(judged + after, earlier) for after, earlier in before if after <= later]
    bodies = [body if number == 0 else {"any": [body, {"segment": str(number - 1)}]} for number, body in enumerate(bodies)]
    levels: dict[str, bool] = {}

    def move_to(second: int) -> list[tuple[str, bool, int]]:
        changed = []
        for number, body in enumerate(bodies):
            then = next((earlier for until, earlier in untils if second < until), view)
            is_true = reference.rule(body, history, second, then, levels.__getitem__)
            if is_true != levels.get(str(number)):
                levels[str(number)] = is_true
                changed.append((str(number), is_true, second))
        return changed

    move_to(judged)
    segments = sort_by_dependency(make_segment(spell_times(body), str(number)) for number, body in enumerate(bodies))
    facts = make_facts(segments, history, judged=judged, view=view, members=levels)
    facts.earlier = tuple(EarlierView(until * SECOND, make_exact(earlier), PARTS) for until, earlier in untils)
    told = {id_: Membership(level, 1 if level else 2, 0) for id_, level in levels.items()}
    found = judge(segments, facts, told, from_us=judged * SECOND, now_us=(judged + later) * SECOND)
    expected = [change for second in range(judged + 1, judged + later + 1) for change in move_to(second)]
    assert [(edge.segment.id, edge.entered, edge.at_us // SECOND) for edge in found.edges] == expected
    assert facts.members == levels
    for id_, membership in found.memberships.items():
        edges = [edge for edge in found.edges if edge.segment.id == id_]
        assert [edge.seq for edge in edges] == list(range(told[id_].seq + 1, membership.seq + 1))
        assert all(edge.entered != before.entered for before, edge in itertools.pairwise(edges))


@given(strategies.rules, strategies.histories, strategies.views, st.integers(0, LATEST))
def test_the_next_change_is_when_the_answer_changes(body: Any, history: list[Any], view: Any, now: int) -> None:
    segment = make_segment(spell_times(body))
    facts = make_facts([segment], history, judged=now, view=view)
    answers = {second: reference.rule(body, history, second, view, lambda _: False) for second in range(now, END + 10)}
    expected = next((second for second, answer in answers.items() if answer != answers[now]), None)
    due = find_next_change(segment.rule, facts, now * SECOND, find_schedule(segment.timed, facts, now * SECOND, now * SECOND))
    if expected is not None:
        assert due == expected * SECOND
    else:
        assert due is None or due >= (END + 10) * SECOND


@given(strategies.rules, strategies.histories, strategies.views, st.integers(0, LATEST))
def test_every_node_is_explained_as_what_it_is_and_until_when(body: Any, history: list[Any], view: Any, now: int) -> None:
    segment = make_segment(spell_times(body))
    facts = make_facts([segment], history, judged=-1, view=view)

    def check(body: Any, told: Any) -> None:
        answers = {second: reference.rule(body, history, second, view, lambda _: False) for second in range(now, END + 10)}
        assert told["result"] == answers[now]
        changes = to_micros(parse_utc(told["changes_at"])) // SECOND if told["changes_at"] else None
        expected = next((second for second, answer in answers.items() if answer != answers[now]), None)
        assert changes == expected or (expected is None and changes >= END + 10)
        if "not" in body:
            check(body["not"], told["not"])
        for word in ("all", "any"):
            for inner, part in zip(body.get(word, ()), told.get(word, ()), strict=True):
                check(inner, part)

    check(body, explain(spell_times(body), segment.rule, facts, now * SECOND, Effort(1_000_000)))
