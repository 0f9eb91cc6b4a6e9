"""A profile's sessions in one batch: which stored intervals are needed, what becomes of them, how the count moves.

Arrival in order, the usual case, needs no row at all: the latest interval stands in the state, the latest session in the totals.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from services.profile.domain.sessions import Interval, compute_windows, is_in_order, join_intervals
from services.profile.domain.state import OpenState
from services.profile.domain.totals import Totals

Near = tuple[UUID, int, int]
"""(fragment, from, to): the fragment's stored intervals that reach into this window."""


class SessionChanges(NamedTuple):
    """Rows by (fragment, start): to be written with their ends, and to be deleted."""

    saved: list[tuple[UUID, int, int]]
    dropped: list[tuple[UUID, int]]


class ActivityBook:
    """Ask `want_near` once the rows of added fragments are in, add what it finds, then `settle`. No one else may move
    `states[...].session` meanwhile.
    """

    __slots__ = ("_added", "_base", "_points", "_rows", "_states", "_totals")

    def __init__(self, base: Collection[UUID], added: Collection[UUID], states: Mapping[UUID, OpenState], totals: Totals) -> None:
        self._base = base
        self._added = added
        self._states = states
        self._totals = totals
        self._points: dict[UUID, list[int]] = {}
        self._rows: dict[UUID, list[Interval]] = {}

    def fold(self, fragment: UUID, t_us: int) -> None:
        points = self._points.get(fragment)
        if points is None:
            self._points[fragment] = [t_us]
        else:
            points.append(t_us)

    def add_row(self, fragment: UUID, start_us: int, end_us: int) -> None:
        self._rows.setdefault(fragment, []).append((start_us, end_us))

    @property
    def is_empty(self) -> bool:
        return not self._points and not any(self._latest(fragment) for fragment in self._added)

    def want_near(self) -> Iterator[Near]:
        """Nothing where all is in order, both for the profile and for each fragment. Added fragments' rows are in already."""
        if self._added or not self._is_in_order():
            news = [*self._all_added(), *self._all_points()]
            near = [(fragment, window) for fragment in self._base for window in compute_windows(news)]
        else:
            late = ((fragment, points) for fragment, points in self._points.items() if fragment in self._base)
            near = [
                (fragment, window)
                for fragment, points in late
                if not is_in_order(points, self._latest(fragment))
                for window in compute_windows((point, point) for point in points)
            ]
        for fragment, (start, end) in near:
            yield fragment, start, end

    def settle(self) -> SessionChanges:
        """Move the totals and the states' latest intervals; gives the rows to be written and deleted."""
        self._count_sessions()
        changes = SessionChanges([], [])
        for fragment, points in self._points.items():
            self._settle_fragment(fragment, points, changes)
        return changes

    def _settle_fragment(self, fragment: UUID, points: list[int], changes: SessionChanges) -> None:
        stored = self._rows.get(fragment, [])
        latest = self._latest(fragment)
        *earlier, last = join_intervals([*stored, *([latest] if latest else ()), *((point, point) for point in points)])
        self._states[fragment].state.session = last
        if earlier or stored:
            kept = {start for start, _ in earlier}
            changes.dropped.extend((fragment, start) for start, _ in stored if start not in kept)
            changes.saved.extend((fragment, *interval) for interval in set(earlier).difference(stored))

    def _count_sessions(self) -> None:
        totals = self._totals
        points = self._all_points()
        if not self._added and self._is_in_order():
            before = [totals.session] if totals.session else []
            news = points
        else:
            # Intervals the windows don't reach can't be joined by the news, so leaving them out moves both counts alike.
            before = join_intervals(interval for fragment in self._base for interval in self._known(fragment))
            news = [*self._all_added(), *points]
        after = join_intervals([*before, *news])
        totals.sessions += len(after) - len(before)
        if after:
            totals.session = after[-1]

    def _is_in_order(self) -> bool:
        return is_in_order([start for start, _ in self._all_points()], self._totals.session)

    def _all_points(self) -> list[Interval]:
        return [(point, point) for points in self._points.values() for point in points]

    def _all_added(self) -> list[Interval]:
        return [interval for fragment in self._added for interval in self._known(fragment)]

    def _known(self, fragment: UUID) -> Iterator[Interval]:
        yield from self._rows.get(fragment, ())
        latest = self._latest(fragment)
        if latest is not None:
            yield latest

    def _latest(self, fragment: UUID) -> Interval | None:
        return self._states[fragment].state.session
