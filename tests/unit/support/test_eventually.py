import pytest

from tests.support.eventually import eventually, eventually_sync


async def test_the_first_right_answer_is_given() -> None:
    answers = iter([0, 0, 7])
    assert await eventually(lambda: next(answers), pause_s=0) == 7


async def test_a_probe_may_be_a_coroutine_and_say_not_yet_by_an_assertion() -> None:
    tries = 0

    async def probe() -> int:
        nonlocal tries
        tries += 1
        assert tries > 2
        return 0

    assert await eventually(probe, until=lambda answer: answer == 0, pause_s=0) == 0


async def test_the_last_answer_is_told_when_time_runs_out() -> None:
    with pytest.raises(AssertionError, match="last: 'almost'"):
        await eventually(lambda: "almost", until=lambda _: False, within_s=0.0)
    with pytest.raises(AssertionError, match="last: 0"):
        eventually_sync(lambda: 0, within_s=0.0)


async def test_an_error_is_an_error_at_once() -> None:
    def probe() -> int:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        await eventually(probe)
