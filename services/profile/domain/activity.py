"""A profile's sessions in one batch: which stored intervals are needed, what becomes of them, how the count moves.

Arrival in order, the usual case, needs no row at all: the latest interval stands in the state, the latest session in the totals.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from services.profile.domain.sessions import Interval, compute_windows, extend_latest, is_in_order, join_intervals
from services.profile.domain.state import OpenState, OpenStates
from services.profile.domain.totals import Totals

_Active = Sequence[tuple[UUID, OpenState]]
Near = tuple[UUID, int, int]
"""(fragment, from, to): the fragment's stored intervals that reach into this window."""


class SessionChanges(NamedTuple):
    """Rows by (fragment, start): to be written with their ends, and to be deleted."""

    saved: list[tuple[UUID, int, int]]
    dropped: list[tuple[UUID, int]]


class ActivityBook:
    """`start`, ask `want_near` once the rows of added fragments are in, add what it finds, then `settle`, which takes the states'
    `points` into their `session`.
    """

    __slots__ = ("_active", "_added", "_base", "_in_order", "_rows", "_states", "_totals")

    def __init__(self, base: Collection[UUID], added: Collection[UUID], states: OpenStates, totals: Totals) -> None:
        self._base = base
        self._added = added
        self._states = states
        self._totals = totals
        self._rows: dict[UUID, list[Interval]] = {}
        self._active: _Active = ()
        self._in_order = True

    def add_row(self, fragment: UUID, start_us: int, end_us: int) -> None:
        self._rows.setdefault(fragment, []).append((start_us, end_us))

    def start(self) -> bool:
        """Call it once the batch is folded. False: nothing happened here, and there is nothing to ask or settle."""
        self._active = self._states.active()
        if self._added:
            self._in_order = False
            return bool(self._active) or any(self._states[fragment].state.session for fragment in self._added)
        latest = self._totals.session
        self._in_order = latest is None or all(min(opened.points) >= latest[0] for _, opened in self._active)
        return bool(self._active)

    def want_near(self) -> Sequence[Near]:
        """Nothing where all is in order, both for the profile and for each fragment. Added fragments' rows are in already."""
        if not self._in_order:
            windows = compute_windows([*self._all_added(), *self._all_points()])
            return [(fragment, *window) for fragment in self._base for window in windows]
        return [
            (fragment, *window)
            for fragment, opened in self._active
            if not is_in_order(opened.points, opened.state.session)
            for window in compute_windows((point, point) for point in opened.points)
        ]

    def settle(self) -> SessionChanges:
        """Move the totals and the states' latest intervals; gives the rows to be written and deleted."""
        self._count_sessions()
        changes = SessionChanges([], [])
        for fragment, opened in self._active:
            latest = opened.state.session
            if is_in_order(opened.points, latest):
                over, opened.state.session = extend_latest(latest, opened.points)
                if over:
                    changes.saved.extend((fragment, *interval) for interval in over)
            else:
                self._settle_late(fragment, opened, changes)
        return changes

    def _settle_late(self, fragment: UUID, opened: OpenState, changes: SessionChanges) -> None:
        stored = self._rows.get(fragment, ())
        *earlier, last = join_intervals([*self._known(fragment), *((point, point) for point in opened.points)])
        opened.state.session = last
        kept = {start for start, _ in earlier}
        changes.dropped.extend({(fragment, start) for start, _ in stored if start not in kept})
        changes.saved.extend((fragment, *interval) for interval in set(earlier).difference(stored))

    def _count_sessions(self) -> None:
        totals, active = self._totals, self._active
        if self._in_order:
            points = active[0][1].points if len(active) == 1 else [point for point, _ in self._all_points()]
            over, latest = extend_latest(totals.session, points)
            totals.sessions += len(over) + (totals.session is None)
            totals.session = latest
            return
        # Intervals the windows don't reach can't be joined by the news, so leaving them out moves both counts alike.
        before = join_intervals(interval for fragment in self._base for interval in self._known(fragment))
        after = join_intervals([*before, *self._all_added(), *self._all_points()])
        totals.sessions += len(after) - len(before)
        totals.session = after[-1]

    def _all_added(self) -> list[Interval]:
        return [interval for fragment in self._added for interval in self._known(fragment)]

    def _known(self, fragment: UUID) -> Iterator[Interval]:
        yield from self._rows.get(fragment, ())
        latest = self._states[fragment].state.session
        if latest is not None:
            yield latest

    def _all_points(self) -> list[Interval]:
        return [(point, point) for _, opened in self._active for point in opened.points]
