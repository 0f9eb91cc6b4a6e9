"""Orders and refunds as figures: what one settled order adds to a profile's totals and days, and takes away again.

Occasions are the UTC days on which orders less the refunds of that day are positive in any currency.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from libs.orders.settle import SettledOrder
from services.profile.domain.state import encode_packed
from services.profile.domain.tallies import Moves, move_month
from services.profile.domain.totals import Money, Totals
from services.profile.domain.values import Exact, day_of, pack_exact

DayNets: TypeAlias = dict[int, dict[str, int]]
"""UTC day -> currency -> orders less refunds of that day, in minor units."""

_decode_nets: Final = msgspec.msgpack.Decoder(dict[str, int | str]).decode


def count_settled(totals: Totals, days: DayNets, settled: SettledOrder, sign: int) -> None:
    """Add (+1) or take away (-1) one order with its refunds. `days` collects what moves on which day."""
    if settled.counts and settled.currency is not None and settled.at_us is not None:
        totals.orders += sign
        money = _money_of(totals, settled.currency)
        money.gross = pack_exact(int(money.gross) + sign * settled.gross_minor)
        money.orders += sign
        _move_day(days, settled.at_us, settled.currency, sign * settled.gross_minor)
    for refund in settled.refunds:
        money = _money_of(totals, refund.currency)
        money.refunds = pack_exact(int(money.refunds) + sign * refund.amount_minor)
        _move_day(days, refund.at_us, refund.currency, -sign * refund.amount_minor)
    for currency in settled.currencies:
        _money_of(totals, currency).named += sign


def forget_unnamed(totals: Totals) -> None:
    """A currency is a key once any order or refund is in it, and no longer than that."""
    for currency in [currency for currency, money in totals.money.items() if money.named == 0]:
        del totals.money[currency]


def move_extremes(totals: Totals, before: Sequence[int], after: Sequence[int]) -> bool:
    """Move first and last order for orders whose times were `before` and are `after`.

    False where the first or last one has gone and only the rows know the next: `totals` then hold neither.
    """
    if totals.orders == 0:
        totals.first_order_us = totals.last_order_us = None
        return True
    first, last = totals.first_order_us, totals.last_order_us
    if first is None or last is None:
        first, last = min(after), max(after)
    elif (first in before and min(after, default=last + 1) > first) or (last in before and max(after, default=first - 1) < last):
        totals.first_order_us = totals.last_order_us = None
        return False
    totals.first_order_us = min([first, *after])
    totals.last_order_us = max([last, *after])
    return True


def apply_days(totals: Totals, stored: DayNets, moved: DayNets, tallies: Moves) -> DayNets:
    """The days' new nets, occasions counted anew, also by month in `tallies`. `stored`: of the moved days those with a row."""
    changed: DayNets = {}
    for day, moves in moved.items():
        nets = stored.get(day, {})
        after = dict(nets)
        for currency, amount in moves.items():
            after[currency] = after.get(currency, 0) + amount
        after = {currency: net for currency, net in after.items() if net}
        if after != nets:
            move = is_occasion(after.values()) - is_occasion(nets.values())
            totals.occasions += move
            move_month(tallies, day, move)
            changed[day] = after
    return changed


def is_occasion(nets: Iterable[int]) -> bool:
    return any(net > 0 for net in nets)


def encode_nets(nets: dict[str, int]) -> bytes:
    packed: dict[str, Exact] = {currency: pack_exact(net) for currency, net in nets.items()}
    return encode_packed(packed)


def decode_nets(packed: bytes) -> dict[str, int]:
    return {currency: int(net) for currency, net in _decode_nets(packed).items()}


def _money_of(totals: Totals, currency: str) -> Money:
    money = totals.money.get(currency)
    if money is None:
        money = totals.money[currency] = Money()
    return money


def _move_day(days: DayNets, at_us: int, currency: str, move: int) -> None:
    nets = days.setdefault(day_of(at_us), {})
    nets[currency] = nets.get(currency, 0) + move
