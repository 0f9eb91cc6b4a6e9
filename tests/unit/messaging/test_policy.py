"""Back-off and the dead-letter budget."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from libs.messaging.policy import ConsumerPolicy, DeadLetterBudget, DeadLetterLimit, compute_backoff_s

POLICY = ConsumerPolicy(backoff_min_s=0.1, backoff_max_s=10)


@given(st.integers(1, 10_000), st.integers())
def test_back_off_doubles_within_its_bounds_and_jitter_takes_off_at_most_half(attempt: int, seed: int) -> None:
    full = min(10.0, 0.1 * 2.0 ** min(attempt - 1, 30))
    assert full / 2 <= compute_backoff_s(attempt, POLICY, Random(seed)) <= full


@given(st.integers(1, 100), st.floats(0, 100), st.integers())
def test_never_sooner_than_asked_for(attempt: int, at_least_s: float, seed: int) -> None:
    assert compute_backoff_s(attempt, POLICY, Random(seed), at_least_s=at_least_s) >= at_least_s


def make_budget(**limits: float) -> DeadLetterBudget:
    return DeadLetterBudget(DeadLetterLimit(**{"max_ratio": 0.1, "free": 3, "window_records": 100} | limits))  # type: ignore[arg-type]


def test_a_few_rejects_are_free_whatever_the_ratio() -> None:
    budget = make_budget()
    for _ in range(3):
        assert budget.allows(records=1, rejected=1)
        budget.spend(records=1, rejected=1)
    assert not budget.allows(records=1, rejected=1)
    assert budget.allows(records=1, rejected=0)


def test_beyond_them_the_ratio_counts_over_the_window() -> None:
    budget = make_budget()
    budget.spend(records=90, rejected=0)
    assert budget.allows(records=10, rejected=10)
    assert not budget.allows(records=10, rejected=11)


def test_what_left_the_window_is_forgotten() -> None:
    budget = make_budget()
    budget.spend(records=10, rejected=3)
    assert not budget.allows(records=5, rejected=2)
    budget.spend(records=100, rejected=0)
    assert budget.allows(records=5, rejected=3)
    assert budget.allows(records=100, rejected=20)
    assert not budget.allows(records=100, rejected=21)
