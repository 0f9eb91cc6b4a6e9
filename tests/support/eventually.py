"""Waiting without sleeping blindly: ask again until the answer is right or the deadline has passed."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE_S = 0.05
WITHIN_S = 20.0


async def eventually(
    probe: Callable[[], T | Awaitable[T]],
    *,
    until: Callable[[T], object] = bool,
    within_s: float = WITHIN_S,
    pause_s: float = PAUSE_S,
) -> T:
    """The probe's first answer that satisfies `until`. An AssertionError in the probe means "not yet"; other errors are errors.

    When time runs out, fails with the last answer or the probe's last AssertionError.
    """
    deadline = time.monotonic() + within_s
    while True:
        said: object
        try:
            outcome = probe()
            answer: T = await outcome if inspect.isawaitable(outcome) else outcome
            if until(answer):
                return answer
            said = answer
        except AssertionError as error:
            said = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_s} s; last: {said!r}")
        await asyncio.sleep(pause_s)


def eventually_sync(
    probe: Callable[[], T], *, until: Callable[[T], object] = bool, within_s: float = WITHIN_S, pause_s: float = PAUSE_S
) -> T:
    """The same for plain functions."""
    deadline = time.monotonic() + within_s
    while True:
        said: object
        try:
            answer = probe()
            if until(answer):
                return answer
            said = answer
        except AssertionError as error:
            said = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within_s} s; last: {said!r}")
        time.sleep(pause_s)
