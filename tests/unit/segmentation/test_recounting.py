"""A profile's whole past, against brute force that asks at every second."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.domain.recounting import find_alternations, find_foundation
from services.segmentation.domain.segments import Registry

from . import reference, strategies
from .conftest import SECOND, make_facts, make_segment
from .strategies import LATEST, spell_times

END = LATEST + 12


@given(
    st.lists(strategies.rules, min_size=1, max_size=3),
    strategies.histories,
    strategies.views,
    st.integers(-2, 5),
    st.integers(0, END),
)
def test_every_alternation_is_found_at_its_instant(
    bodies: list[Any], history: list[Any], view: Any, first: int, now: int
) -> None:
    """Each segment after the first also builds on the one before it."""
    bodies = [body if number == 0 else {"any": [body, {"segment": str(number - 1)}]} for number, body in enumerate(bodies)]
    expected, levels, is_in = [], dict[str, bool](), False
    for second in range(first, max(first, now) + 1):
        for number, body in enumerate(bodies):
            levels[str(number)] = reference.rule(body, history, second, view, levels.__getitem__)
        if levels[str(len(bodies) - 1)] != is_in:
            is_in = not is_in
            expected.append((second, is_in))
    segments = [make_segment(spell_times(body), str(number)) for number, body in enumerate(bodies)]
    facts = make_facts(segments, history, judged=-10, view=view)
    last = segments[-1].id
    found = find_alternations(find_foundation(Registry(segments), last), last, facts, first * SECOND, now * SECOND)
    assert [(instant // SECOND, entered) for instant, entered in found] == expected


def test_a_foundation_is_what_a_segment_needs_in_the_order_of_judgement() -> None:
    rules = {
        "c": {"all": [{"segment": "b"}, {"segment": "a"}]},
        "b": {"not": {"segment": "a"}},
        "a": {"did": "A"},
        "x": {"did": "X"},
    }
    registry = Registry([make_segment(rule, id_) for id_, rule in rules.items()])
    assert [segment.id for segment in find_foundation(registry, "c")] == ["a", "b", "c"]
    assert [segment.id for segment in find_foundation(registry, "a")] == ["a"]
