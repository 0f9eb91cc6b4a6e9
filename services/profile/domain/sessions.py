"""Sessions: a session ends after more than 30 minutes without web or mobile activity, over all the profile's devices.

A fragment keeps its activity as intervals, maximal ones: two of them lie more than the gap apart. The latest stands in the
fragment's state, the earlier ones are rows. A profile's sessions are the components of the union of its fragments' intervals,
so they come out the same whatever the arrival, and a late touchpoint needs only the intervals within one gap of it: between
two points of one session no pause is longer than the gap, so what could join them lies inside that window.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

GAP_US: Final = 30 * 60 * 1_000_000

Interval: TypeAlias = tuple[int, int]
"""First and last activity, in microseconds, both included."""

_ACTIVE_CHANNELS: Final = frozenset({"web", "mobile"})
_ACTIVE_KINDS: Final = frozenset({"page", "screen", "track"})


def is_activity(kind: str, channel: str) -> bool:
    """Page, screen and track of web or mobile. A page of another channel is a page view outside any session."""
    return channel in _ACTIVE_CHANNELS and kind in _ACTIVE_KINDS


def join_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """The maximal intervals of the union, in order; pauses up to the gap are bridged."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start - joined[-1][1] <= GAP_US:
            if end > joined[-1][1]:
                joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def compute_windows(intervals: Iterable[Interval]) -> list[Interval]:
    """Where an interval must lie, at least in part, to be joined by one of these: each widened by the gap, overlaps united."""
    windows: list[Interval] = []
    for start, end in sorted(intervals):
        if windows and start - GAP_US <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end + GAP_US, windows[-1][1]))
        else:
            windows.append((start - GAP_US, end + GAP_US))
    return windows


def is_in_order(points: Sequence[int], latest: Interval | None) -> bool:
    """Whether activity can be joined knowing only the latest interval: nothing of it lies before that one's start."""
    return latest is None or min(points) >= latest[0]


def extend_latest(latest: Interval | None, points: Sequence[int]) -> tuple[list[Interval], Interval]:
    """`join_intervals` for points (at least one) that are in order: the intervals that are over now, and the new latest."""
    over: list[Interval] = []
    for point in sorted(points):
        if latest is None:
            latest = (point, point)
        elif point - latest[1] > GAP_US:
            over.append(latest)
            latest = (point, point)
        elif point > latest[1]:
            latest = (latest[0], point)
    if latest is None:
        raise ValueError("no points")
    return over, latest
