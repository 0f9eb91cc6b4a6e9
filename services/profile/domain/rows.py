"""A profile's rows in one batch: which are needed, what the new facts make of them, how the totals move.

`base` are the fragments whose rows the totals count already. Fragments that joined since (a merge) are `added`: everything
they hold is treated like news, so a merge costs what its smaller side holds, and a rebuild is a merge into nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from libs.orders.settle import SettledOrder, settle
from services.profile.domain.facts import RULES, FactKey, Part, encode_fact, find_ref, order_key
from services.profile.domain.purchases import DayNets, count_settled, forget_unnamed, move_extremes
from services.profile.domain.tallies import PLACE, Moves, TallyRow, move_bought
from services.profile.domain.totals import Totals

SECTIONS: Final = {
    Part.ORDER: "orders",
    Part.REFUND: "orders",
    Part.TICKET: "support",
    Part.REVIEW: "reviews",
    Part.MENTION: "social",
    Part.MESSAGE: "messages",
    Part.CART: "carts",
    Part.VISIT: "stores",
}
"""Which part of the view counts which rows."""

Wanted = tuple[UUID, int, bytes]
"""(fragment, part, key)."""


class ChangedRow(NamedTuple):
    fragment: UUID
    part: int
    key: bytes
    ref: bytes | None
    body: bytes


class RowBook:
    """Ask `want_keys`, `want_refunds`, `want_siblings` in this order, adding the rows found for each; then `settle`."""

    __slots__ = ("_added", "_asked", "_base", "_new", "_rows", "_totals", "moved_days", "moved_tallies", "placed")

    def __init__(self, base: Collection[UUID], added: frozenset[UUID], totals: Totals) -> None:
        self._base = base
        self._added = added
        self._totals = totals
        self._new: dict[FactKey, dict[UUID, Any]] = {}
        self._rows: dict[FactKey, dict[UUID, Any]] = {}
        self._asked: set[FactKey] = set()
        self.moved_days: DayNets = {}
        self.moved_tallies: Moves = {}
        self.placed: Sequence[TallyRow] = ()

    def fold(self, fragment: UUID, key: FactKey, value: Any) -> None:
        """A fact of the batch. Several of one key and fragment are merged at once."""
        told = self._new.setdefault(key, {})
        known = told.get(fragment)
        told[fragment] = value if known is None else RULES[key.part].merge(known, value)

    def add_row(self, fragment: UUID, part: int, key: bytes, body: bytes) -> None:
        """A stored row, asked for or of an added fragment. Adding it twice is no harm."""
        self._rows.setdefault(FactKey(Part(part), key), {})[fragment] = RULES[part].decode(body)

    @property
    def is_empty(self) -> bool:
        return not self._new and not self._rows

    def want_keys(self) -> Iterator[Wanted]:
        """What the base holds under the keys that are news, and the orders that new refunds name."""
        keys = self._news() | {FactKey(Part.ORDER, ref) for ref in self._named_orders()}
        yield from self._want(keys)

    def want_refunds(self) -> Iterator[tuple[UUID, bytes]]:
        """(fragment, order key): all refunds of an order count, so all that name an affected one are needed."""
        if self._totals.rows[Part.REFUND - 1]:
            for key in self._affected_orders():
                for fragment in self._base:
                    yield fragment, key

    def want_siblings(self) -> Iterator[Wanted]:
        """Other fragments' words on the refunds found (the latest one counts), and orders a refund is about to leave."""
        refunds = {key for key in self._rows if key.part == Part.REFUND}
        orders = {FactKey(Part.ORDER, key) for key in self._affected_orders()}
        yield from self._want((refunds | orders) - self._asked)

    def settle(self) -> tuple[list[ChangedRow], set[str], bool]:
        """Move the totals. Gives the rows to write, the parts of the view that moved, and whether first and last order stand."""
        news = self._news()
        affected = self._affected_orders()
        before = {key: value for key in self._rows if (value := self._merge(key, without=self._added)) is not None}
        settled_before = list(_settle_groups(before, affected, news))
        changed = list(self._take_in_new())
        after = {key: value for key in self._rows if (value := self._merge(key)) is not None}
        for key in news:
            self._count(key, before.get(key), after[key])
        self.placed = [PLACE[key.part](key, after[key]) for key in news if key.part in PLACE]
        standing = self._move_orders(settled_before, list(_settle_groups(after, affected, news)))
        return changed, {SECTIONS[key.part] for key in news}, standing

    def _want(self, keys: Iterable[FactKey]) -> Iterator[Wanted]:
        for key in keys:
            self._asked.add(key)
            if self._totals.rows[key.part - 1]:
                for fragment in self._base:
                    yield fragment, key.part, key.key

    def _news(self) -> set[FactKey]:
        """Keys that the batch or an added fragment speaks of."""
        if not self._added:
            return set(self._new)
        return {key for key, told in self._rows.items() if not self._added.isdisjoint(told)} | self._new.keys()

    def _affected_orders(self) -> set[bytes]:
        return {key.key for key in self._news() if key.part == Part.ORDER} | self._named_orders()

    def _named_orders(self) -> set[bytes]:
        """Keys of the orders that any word, stored or new, of a refund that is news names."""
        return {
            order_key(value.order_id).key
            for key in self._news()
            if key.part == Part.REFUND
            for told in (self._rows.get(key, {}), self._new.get(key, {}))
            for value in told.values()
            if value.order_id is not None
        }

    def _merge(self, key: FactKey, *, without: Collection[UUID] = ()) -> Any:
        merge = RULES[key.part].merge
        merged = None
        for fragment, value in self._rows[key].items():
            if fragment not in without:
                merged = value if merged is None else merge(merged, value)
        return merged

    def _take_in_new(self) -> Iterator[ChangedRow]:
        for key, told in self._new.items():
            stored = self._rows.setdefault(key, {})
            for fragment, value in told.items():
                known = stored.get(fragment)
                merged = value if known is None else RULES[key.part].merge(known, value)
                if merged != known:
                    stored[fragment] = merged
                    yield ChangedRow(fragment, key.part, key.key, find_ref(key, merged), encode_fact(merged))

    def _count(self, key: FactKey, before: Any, after: Any) -> None:
        if before == after:
            return
        tally = RULES[key.part].tally
        if before is None:
            self._totals.rows[key.part - 1] += 1
        else:
            tally(self._totals, before, -1)
        tally(self._totals, after, 1)

    def _move_orders(self, before: list[SettledOrder], after: list[SettledOrder]) -> bool:
        if before == after:
            return True
        for sign, settled_orders in ((-1, before), (1, after)):
            for settled in settled_orders:
                count_settled(self._totals, self.moved_days, settled, sign)
                move_bought(self.moved_tallies, settled, sign)
        forget_unnamed(self._totals)
        return move_extremes(self._totals, _times_of(before), _times_of(after))


def _settle_groups(values: dict[FactKey, Any], affected: set[bytes], news: set[FactKey]) -> Iterator[SettledOrder]:
    """Each affected order with the refunds that name it in the end; a refund that names none by itself."""
    by_order: dict[bytes, list[Any]] = {}
    for key, value in values.items():
        if key.part != Part.REFUND:
            continue
        if value.order_id is not None:
            by_order.setdefault(order_key(value.order_id).key, []).append(value)
        elif key in news:
            yield settle(None, (value,))
    for order_id in affected:
        order = values.get(FactKey(Part.ORDER, order_id))
        refunds = by_order.get(order_id, ())
        if order is not None or refunds:
            yield settle(order, refunds)


def _times_of(settled_orders: list[SettledOrder]) -> list[int]:
    return [settled.at_us for settled in settled_orders if settled.counts and settled.at_us is not None]
