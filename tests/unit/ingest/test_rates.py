"""The token bucket, against what it promises: in any time t no more than burst + rate * t."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.rates import MICROS, Bucket, Rate, admit

rates = st.builds(Rate, st.integers(1, 100_000), st.integers(1, 1_000))
gaps_us = st.one_of(st.integers(0, 2_000), st.integers(0, 5 * MICROS))


@given(rates, st.lists(st.tuples(gaps_us, st.integers(1, 1_000)), max_size=60))
def test_no_window_lets_more_through_than_the_burst_and_what_the_time_allows(rate: Rate, arrivals: list[tuple[int, int]]) -> None:
    bucket, now_us, passed = None, 0, []
    for gap_us, events in arrivals:
        now_us += gap_us
        asked = min(events, rate.burst)
        bucket, wait_s = admit(rate, bucket, now_us, asked)
        if wait_s == 0:
            passed.append((now_us, asked))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            events = sum(count for _, count in passed[first : last + 1])
            elapsed_us = passed[last][0] - passed[first][0]
            assert events * MICROS <= rate.burst * MICROS + rate.per_s * elapsed_us


@given(rates, st.lists(st.tuples(gaps_us, st.integers(1, 5_000)), min_size=1, max_size=40))
def test_requests_larger_than_the_burst_go_one_at_a_time_and_are_paid_for(rate: Rate, arrivals: list[tuple[int, int]]) -> None:
    bucket, now_us, passed = None, 0, []
    for gap_us, events in arrivals:
        now_us += gap_us
        bucket, wait_s = admit(rate, bucket, now_us, events)
        if wait_s == 0:
            passed.append((now_us, events))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            before_last = sum(count for _, count in passed[first:last])
            elapsed_us = passed[last][0] - passed[first][0]
            assert before_last * MICROS + min(passed[last][1], rate.burst) * MICROS <= (
                rate.burst * MICROS + rate.per_s * elapsed_us
            )


@given(rates, st.integers(-(10**9), 10**9), st.integers(1, 5_000))
def test_who_waits_as_long_as_told_gets_through_and_refusing_takes_nothing(rate: Rate, level: int, events: int) -> None:
    bucket = Bucket(min(level, rate.burst * MICROS), 0)
    after, wait_s = admit(rate, bucket, 0, events)
    if wait_s:
        assert after == bucket
        assert admit(rate, after, wait_s * MICROS, events)[1] == 0
        assert admit(rate, after, (wait_s - 1) * MICROS, events)[1] > 0


def test_a_new_bucket_is_full_and_a_clock_that_runs_back_fills_nothing() -> None:
    rate = Rate(10, 5)
    bucket, wait_s = admit(rate, None, 1_000, 5)
    assert (bucket, wait_s) == (Bucket(0, 1_000), 0)
    assert admit(rate, bucket, 0, 1) == (Bucket(0, 1_000), 1)
