"""Dates relative to now over years: what brute force says of every instant, and no turn that isn't announced."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from libs.kit.times import from_micros, to_micros
from services.segmentation.domain.relative_dates import find_horizon, find_turns, is_near
from services.segmentation.domain.timeline import find_next_change, find_schedule, find_true_change

from . import reference
from .conftest import SECOND, make_facts, make_segment

OPS = st.sampled_from(["within_last", "within_next", "anniversary_within"])
DAY = 86_400
windows = st.one_of(st.integers(1, 3 * DAY), st.integers(1, 500).map(lambda days: days * DAY))


def moments(first: int, last: int, *special: date) -> st.SearchStrategy[datetime]:
    """Whole seconds of these years, and some midnights that matter."""
    days = st.one_of(st.dates(date(first, 1, 1), date(last, 12, 31)), st.sampled_from(special))
    return st.builds(
        lambda day, second: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second),
        days,
        st.one_of(st.just(0), st.integers(0, DAY - 1)),
    )


dates = moments(1996, 2032, date(1996, 2, 29), date(2003, 2, 28), date(2004, 2, 29), date(2024, 2, 29))
instants = moments(2020, 2032, date(2027, 2, 28), date(2028, 2, 28), date(2027, 3, 1), date(2028, 3, 1))


@given(OPS, dates, windows, instants)
def test_near_is_what_brute_force_says(op: str, said: datetime, window: int, at: datetime) -> None:
    expected = reference.near(op, said.isoformat(), f"PT{window}S", int(at.timestamp()))
    assert is_near(op, said.isoformat(), window * SECOND, to_micros(at)) == expected


@given(OPS, dates, windows, instants, st.integers(0, 500))
def test_the_answer_changes_only_at_a_turn(op: str, said: datetime, window: int, after: datetime, days: int) -> None:
    """Between two turns that follow each other it is at every hour what it is at the first."""
    value, window_us, after_us = said.isoformat(), window * SECOND, to_micros(after)
    now_us = after_us + days * DAY * SECOND
    until_us = find_horizon(op, value, now_us) or now_us + 800 * DAY * SECOND
    turns = sorted({after_us, until_us, *(one for one in find_turns(op, value, window_us, after_us, now_us) if one < until_us)})
    for start_us, end_us in pairwise(turns):
        is_true = is_near(op, value, window_us, start_us)
        step_us = max((end_us - start_us) // 20, 1)
        assert all(is_near(op, value, window_us, one) == is_true for one in (*range(start_us, end_us, step_us), end_us - 1)), (
            from_micros(start_us),
            timedelta(microseconds=end_us - start_us),
        )


def test_a_change_behind_the_horizon_is_found_and_none_before_it_is_missed() -> None:
    rule = {
        "any": [
            {"all": [{"trait": "birthday", "anniversary_within": "P7D"}, {"trait": "joins", "within_last": "P3650D"}]},
            {"trait": "party", "within_last": "P1D"},
        ]
    }
    segment = make_segment(rule)
    facts = make_facts([segment], view={"traits": {"birthday": "1990-05-10", "joins": "2031-01-01", "party": "2031-08-01"}})
    now_us = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
    due_us = find_next_change(segment.rule, facts, now_us, find_schedule(segment.timed, facts, now_us, now_us))
    assert due_us is not None
    assert from_micros(due_us).year == 2028  # looked at again then
    assert find_true_change(segment.rule, facts, now_us) == to_micros(datetime(2031, 5, 3, tzinfo=UTC))


def test_what_never_comes_is_looked_for_in_vain() -> None:
    rule = {"all": [{"trait": "birthday", "anniversary_within": "P7D"}, {"trait": "vip", "eq": True}]}
    segment = make_segment(rule)
    facts = make_facts([segment], view={"traits": {"birthday": "1990-05-10"}})
    assert find_true_change(segment.rule, facts, 0) is None
