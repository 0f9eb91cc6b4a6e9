"""Fold a batch of touchpoints into the profiles they belong to: states, rows, totals and the folded part of the view.

Runs under the profiles' locks, after resolution has decided which fragment each touchpoint is folded in. Loads only the rows
that the batch names; a profile's history is read only where a merge brings it in.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

from libs.kit.db import Tx
from services.profile.domain.activity import Near
from services.profile.domain.facts import RULES, Part, read_order_ref
from services.profile.domain.folding import WITH_TOPS, Folding
from services.profile.domain.purchases import DayNets, apply_days
from services.profile.domain.rows import ChangedRow, Wanted
from services.profile.domain.tallies import TallyKey, apply_moves
from services.profile.domain.totals import decode_totals, is_current
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.traits import Refused
from services.profile.store.facts import PostgresFacts

_FIRST_PAGE = 16
_NEXT_PAGE = 512
HISTORY_MAX: Final = 20_000
"""Rows of history read at once where profiles are counted anew: after an upgrade a poll may bring thousands of them."""


@dataclass(slots=True)
class ProfileWork:
    """One profile's share of a batch.

    In: `members` after the batch's links, with all their `states` (b"": none yet); `own_before`, the members whom `totals` (b"":
    a new profile) count; `absorbed`, what it took in: (id, members, totals) of each; `applied`, the new touchpoints with the
    fragment each is folded in. Out: `changed_states`, `parts`, `totals`, `core`.

    `refused`: by touchpoint id, (kind, value) of the identifiers that resolution refused on it. `core`: on the way in what was
    stored with the profile (or b"": everything is rendered anew), on the way out the view's members, without braces.
    `rebuild`: forget the totals and count everything the members hold again (after a split, which takes fragments away).
    """

    profile_id: UUID
    members: tuple[UUID, ...]
    absorbed: tuple[tuple[UUID, tuple[UUID, ...], bytes], ...]
    own_before: tuple[UUID, ...]
    applied: Sequence[tuple[UUID, Touchpoint]]
    states: Mapping[UUID, bytes]
    totals: bytes
    changed_states: dict[UUID, bytes] = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)
    core: bytes = b""
    refused: Mapping[UUID, Refused] = field(default_factory=dict)
    rebuild: bool = False


class FactRows(Protocol):
    """Rows by fragment under the caller's locks. Sequences given are never empty; what isn't there is left out of the answer."""

    async def load_keys(self, wanted: Sequence[Wanted]) -> Iterable[tuple[UUID, int, bytes, bytes]]: ...
    async def load_refunds(self, wanted: Sequence[tuple[UUID, bytes]], part: int) -> Iterable[tuple[UUID, int, bytes, bytes]]: ...
    async def load_fragments(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, bytes, bytes]]: ...
    async def save_facts(self, rows: Sequence[ChangedRow]) -> None: ...
    async def load_orders_in_time(
        self, fragments: Collection[UUID], part: int, *, newest_first: bool, limit: int, offset: int
    ) -> Sequence[tuple[bytes, bytes]]: ...
    async def load_sessions(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, int]]: ...
    async def load_sessions_near(self, windows: Sequence[Near]) -> Iterable[tuple[UUID, int, int]]: ...
    async def save_sessions(self, rows: Sequence[tuple[UUID, int, int]]) -> None: ...
    async def drop_sessions(self, rows: Sequence[tuple[UUID, int]]) -> None: ...
    async def load_days(self, wanted: Sequence[tuple[UUID, int]]) -> Mapping[UUID, DayNets]: ...
    async def save_days(self, rows: Sequence[tuple[UUID, int, dict[str, int]]]) -> None: ...
    async def drop_days(self, profile_ids: Collection[UUID]) -> None: ...
    async def move_days(self, moves: Sequence[tuple[UUID, UUID]]) -> None: ...
    async def load_tallies(self, wanted: Sequence[tuple[UUID, int, bytes]]) -> Iterable[tuple[UUID, int, bytes, bytes]]: ...
    async def load_top(self, wanted: Sequence[tuple[UUID, int, int, int]]) -> Iterable[tuple[UUID, int, bytes, bytes]]: ...
    async def save_tallies(self, rows: Sequence[tuple[UUID, int, bytes, int | None, bytes]]) -> None: ...
    async def drop_tallies(self, profile_ids: Collection[UUID]) -> None: ...
    async def move_tallies(self, moves: Sequence[tuple[UUID, UUID]]) -> None: ...


async def fold_profiles(tx: Tx, work: Sequence[ProfileWork], *, sentiment: Callable[[str], str]) -> None:
    """Fold each profile's `applied`, save the rows, and set `changed_states`, `totals`, `core` and `parts` of each work."""
    await fold_rows(PostgresFacts(tx), work, sentiment=sentiment)


async def fold_rows(
    rows: FactRows, work: Sequence[ProfileWork], *, sentiment: Callable[[str], str], history_max: int = HISTORY_MAX
) -> None:
    """As `fold_profiles`, over any store of rows."""
    for portion in _cut(work, history_max):
        await _fold_portion(rows, portion, sentiment)


def _cut(work: Sequence[ProfileWork], history_max: int) -> Iterator[Sequence[ProfileWork]]:
    """Portions that read only so much history at once, or one profile's. Nearly always all is one: nothing is counted anew."""
    portion: list[ProfileWork] = []
    held = 0
    for one in work:
        history = _weigh_history(one)
        if history and held and held + history > history_max:
            yield portion
            portion, held = [], 0
        portion.append(one)
        held += history
    if portion:
        yield portion


def _weigh_history(work: ProfileWork) -> int:
    """About how many rows are read to count what the base doesn't have."""
    base_id, base, _ = _choose_base(work)
    if len(base) == len(work.members):
        return 0
    sides = ((work.profile_id, work.own_before, work.totals), *work.absorbed)
    return len(work.members) - len(base) + sum(_weigh(side) for side in sides if side[0] != base_id)


async def _fold_portion(rows: FactRows, work: Sequence[ProfileWork], sentiment: Callable[[str], str]) -> None:
    batch = [_open(one, sentiment) for one in work]
    await _load_facts(rows, batch)
    await _settle_facts(rows, batch)
    await _load_tops(rows, batch)
    await _settle_sessions(rows, batch)
    for one in batch:
        one.work.changed_states, one.work.totals, one.work.core = one.folding.finish()
        one.work.parts |= one.folding.touched


@dataclass(slots=True)
class _Open:
    work: ProfileWork
    base_id: UUID | None
    base: tuple[UUID, ...]
    folding: Folding


def _open(work: ProfileWork, score: Callable[[str], str]) -> _Open:
    base_id, base, totals = _choose_base(work)
    # After a merge nothing of the root's old view need hold: it may have been the side that brought nothing.
    core = b"" if work.absorbed else work.core
    folding = Folding(work.members, base, work.states, totals, core, score=score)
    refused = work.refused
    for fragment, touchpoint in work.applied:
        folding.fold(fragment, touchpoint, refused.get(touchpoint.id, ()))
    return _Open(work, base_id, base, folding)


def _choose_base(work: ProfileWork) -> tuple[UUID | None, tuple[UUID, ...], bytes]:
    """The side of a merge that holds the most keeps its totals; the others are counted into it. Totals of another format are
    nobody's: everything is counted again, once.
    """
    if work.rebuild:
        return _NOBODY
    own = (work.profile_id, work.own_before, work.totals)
    base = max((own, *work.absorbed), key=_weigh) if work.absorbed else own
    return base if is_current(base[2]) else _NOBODY


_NOBODY: Final[tuple[None, tuple[UUID, ...], bytes]] = (None, (), b"")


def _weigh(side: tuple[UUID, tuple[UUID, ...], bytes]) -> int:
    totals = decode_totals(side[2])
    return sum(totals.rows) + totals.sessions


async def _load_facts(rows: FactRows, batch: Sequence[_Open]) -> None:
    owners = {fragment: one for one in batch for fragment in one.folding.added}
    if owners:
        for fragment, part, key, body in await rows.load_fragments(owners):
            owners[fragment].folding.rows.add_row(fragment, part, key, body)
        for fragment, start_us, end_us in await rows.load_sessions(owners):
            owners[fragment].folding.activity.add_row(fragment, start_us, end_us)
    busy = [one for one in batch if not one.folding.rows.is_empty]
    if not busy:
        return
    owners = {fragment: one for one in busy for fragment in one.base}
    wanted = [want for one in busy for want in one.folding.rows.want_keys()]
    _add_rows(owners, await rows.load_keys(wanted) if wanted else ())
    refunds = [want for one in busy for want in one.folding.rows.want_refunds()]
    if refunds:
        _add_rows(owners, await rows.load_refunds(refunds, Part.REFUND))
        siblings = [want for one in busy for want in one.folding.rows.want_siblings()]
        _add_rows(owners, await rows.load_keys(siblings) if siblings else ())


def _add_rows(owners: Mapping[UUID, _Open], found: Iterable[tuple[UUID, int, bytes, bytes]]) -> None:
    for fragment, part, key, body in found:
        owners[fragment].folding.rows.add_row(fragment, part, key, body)


async def _settle_facts(rows: FactRows, batch: Sequence[_Open]) -> None:
    changed: list[ChangedRow] = []
    without_extremes: list[_Open] = []
    for one in batch:
        if one.folding.rows.is_empty:
            continue
        saved, touched, standing = one.folding.rows.settle()
        changed += saved
        one.folding.touched |= touched
        if not standing:
            without_extremes.append(one)
    if changed:
        await rows.save_facts(changed)
    await _settle_days(rows, batch)
    for one in without_extremes:
        await _find_extremes(rows, one)


async def _settle_days(rows: FactRows, batch: Sequence[_Open]) -> None:
    await _hand_over_days(rows, batch)
    moved = [one for one in batch if one.folding.rows.moved_days]
    wanted = [(one.work.profile_id, day) for one in moved if one.base for day in one.folding.rows.moved_days]
    stored = await rows.load_days(wanted) if wanted else {}
    changed = [
        (one.work.profile_id, day, nets)
        for one in moved
        for day, nets in apply_days(
            one.folding.totals,
            stored.get(one.work.profile_id, {}),
            one.folding.rows.moved_days,
            one.folding.rows.moved_tallies,
        ).items()
    ]
    if changed:
        await rows.save_days(changed)
    await _settle_tallies(rows, batch)


async def _settle_tallies(rows: FactRows, batch: Sequence[_Open]) -> None:
    moved = [one for one in batch if one.folding.rows.moved_tallies or one.folding.rows.placed]
    wanted = [(one.work.profile_id, *key) for one in moved if one.base for key in one.folding.rows.moved_tallies]
    stored: dict[UUID, dict[TallyKey, bytes]] = {}
    for profile_id, kind, key, body in await rows.load_tallies(wanted) if wanted else ():
        stored.setdefault(profile_id, {})[kind, key] = body
    changed: list[tuple[UUID, int, bytes, int | None, bytes]] = []
    for one in moved:
        moves, placed = one.folding.rows.moved_tallies, one.folding.rows.placed
        if moves:
            one.folding.touched.add("purchases")
            known = stored.get(one.work.profile_id, {})
            changed += [(one.work.profile_id, *row) for row in apply_moves(one.folding.totals, known, moves)]
        changed += [(one.work.profile_id, *row) for row in placed]
    if changed:
        await rows.save_tallies(changed)


async def _load_tops(rows: FactRows, batch: Sequence[_Open]) -> None:
    """The first few of each kind that a touched part of the view shows."""
    wanted = [
        (one.work.profile_id, *asked)
        for one in batch
        if not WITH_TOPS.isdisjoint(one.folding.touched)
        for asked in one.folding.ask_tops()
    ]
    if not wanted:
        return
    tops: dict[UUID, dict[int, list[tuple[bytes, bytes]]]] = {}
    for profile_id, kind, key, body in await rows.load_top(wanted):
        tops.setdefault(profile_id, {}).setdefault(kind, []).append((key, body))
    for one in batch:
        if one.work.profile_id in tops:
            one.folding.tops = tops[one.work.profile_id]


async def _hand_over_days(rows: FactRows, batch: Sequence[_Open]) -> None:
    """Days and tallies are kept under the profile's id: those of the base become the root's, those of the sides counted into
    it go.
    """
    gone: list[UUID] = []
    moves: list[tuple[UUID, UUID]] = []
    for one in batch:
        if one.work.absorbed or one.base_id is None:
            sides = [one.work.profile_id, *(absorbed[0] for absorbed in one.work.absorbed)]
            gone += [side for side in sides if side != one.base_id]
            if one.base_id is not None and one.base_id != one.work.profile_id:
                moves.append((one.base_id, one.work.profile_id))
    if gone:
        await rows.drop_days(gone)
        await rows.drop_tallies(gone)
    if moves:
        await rows.move_days(moves)
        await rows.move_tallies(moves)


async def _find_extremes(rows: FactRows, one: _Open) -> None:
    """The first or last order was cancelled or moved: ask the rows for the next, from the end in question."""
    totals = one.folding.totals
    totals.first_order_us = await _find_extreme(rows, one.work.members, newest_first=False)
    totals.last_order_us = await _find_extreme(rows, one.work.members, newest_first=True)


async def _find_extreme(rows: FactRows, members: Collection[UUID], *, newest_first: bool) -> int | None:
    """The time of the first or last order that counts.

    A row's time is one fragment's; the order's is the least of them. So going up the first order that counts is it; going
    down, one is it only when no row further down could hold a later order.
    """
    best: int | None = None
    offset, limit = 0, _FIRST_PAGE
    while page := await rows.load_orders_in_time(members, Part.ORDER, newest_first=newest_first, limit=limit, offset=offset):
        orders: dict[bytes, Any] = {}
        for _, part, key, body in await rows.load_keys([(m, int(Part.ORDER), key) for key, _ in page for m in members]):
            value = RULES[part].decode(body)
            orders[key] = value if key not in orders else RULES[part].merge(orders[key], value)
        times = [order.at_us for order in orders.values() if not order.cancelled]
        if times:
            best = max(times if best is None else [best, *times]) if newest_first else min(times)
            if not newest_first or best >= read_order_ref(page[-1][1]):
                return best
        offset, limit = offset + len(page), _NEXT_PAGE
    return best


async def _settle_sessions(rows: FactRows, batch: Sequence[_Open]) -> None:
    busy = [one for one in batch if one.folding.activity.start()]
    owners = {fragment: one for one in busy for fragment in one.base}
    near = [window for one in busy for window in one.folding.activity.want_near()]
    for fragment, start_us, end_us in await rows.load_sessions_near(near) if near else ():
        owners[fragment].folding.activity.add_row(fragment, start_us, end_us)
    changes = [one.folding.activity.settle() for one in busy]
    dropped = [row for change in changes for row in change.dropped]
    saved = [row for change in changes for row in change.saved]
    if dropped:
        await rows.drop_sessions(dropped)
    if saved:
        await rows.save_sessions(saved)
