"""Figures by key that are shown as the first few of many: products, categories, brands, months of purchase, carts, stores.

A profile has one row for each kind and key, derived from its orders and carts, so nothing is forgotten however many keys there
are; the view asks for those of the highest rank. All sums are of integers, so the order of arrival doesn't matter.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct

from libs.orders.settle import SettledOrder
from libs.orders.statements import OrderLine
from services.profile.domain.facts import Cart, FactKey, Part, Visits, is_left_behind
from services.profile.domain.state import encode_packed
from services.profile.domain.totals import Kind, Totals, count_tallied
from services.profile.domain.values import (
    KEY_CHARS,
    Exact,
    encode_json,
    pack_exact,
    render_thousandths,
    render_time,
    to_thousandths,
)

UNIT: Final = 1000
"""Quantities are counted in thousandths, each line's rounded once, half to even."""
OPEN_CARTS_MAX: Final = 100
_MONTHS_SHOWN: Final = 24
_TOP_SHOWN: Final = 10
_LARGEST_RANK: Final = (1 << 63) - 1
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Count(Struct, array_like=True):
    """`orders` with it, and units bought less given back, in thousandths; of a month the occasions and nothing."""

    orders: int = 0
    units: Exact = 0


class TallyRow(NamedTuple):
    """`rank` None: not shown, but still counted on."""

    kind: int
    key: bytes
    rank: int | None
    body: bytes


class Asked(NamedTuple):
    """The first `most` rows of a kind whose rank is above one."""

    kind: int
    above: int
    most: int


TallyKey: TypeAlias = tuple[int, bytes]
Moves: TypeAlias = dict[TallyKey, tuple[int, int]]
"""What is added to (orders, units) of each key."""
Tops: TypeAlias = Mapping[int, Sequence[tuple[bytes, bytes]]]
"""(key, body) by kind, highest rank first, ties by key."""

_decode_count = msgspec.msgpack.Decoder(Count).decode
_decode_visits = msgspec.msgpack.Decoder(Visits).decode
_decode_cart = msgspec.msgpack.Decoder(Cart).decode


def move_bought(moves: Moves, settled: SettledOrder, sign: int) -> None:
    """Add (+1) or take away (-1) what one settled order bought and its refunds brought back."""
    if settled.lines:
        for key, units in _sum_lines(settled.lines).items():
            _move(moves, key, sign, sign * units)
    for refund in settled.refunds:
        if refund.lines:
            for key, units in _sum_lines(refund.lines).items():
                _move(moves, key, 0, -sign * units)


def move_month(moves: Moves, day: int, move: int) -> None:
    """An occasion more (+1) or less (-1) on a day, counted from 1970-01-01."""
    if move:
        _move(moves, _name_month(day), move, 0)


def apply_moves(totals: Totals, stored: Mapping[TallyKey, bytes], moves: Moves) -> Iterator[TallyRow]:
    """The rows after the moves; `totals` count those that are shown."""
    for (kind, key), (orders, units) in moves.items():
        body = stored.get((kind, key))
        count = Count() if body is None else _decode_count(body)
        before = _rank(kind, key, count)
        count.orders += orders
        count.units = pack_exact(int(count.units) + units)
        after = _rank(kind, key, count)
        count_tallied(totals, kind, (after is not None) - (before is not None))
        yield TallyRow(kind, key, after, encode_packed(count))


def _place_cart(key: FactKey, cart: Cart) -> TallyRow:
    name = key.key if cart.cart_id is None else b"=id:" + cart.cart_id.encode()
    return TallyRow(Kind.CART, name, cart.last_us if is_left_behind(cart) else None, encode_packed(cart))


def _place_visits(_key: FactKey, visits: Visits) -> TallyRow:
    store_id = visits.store_id
    rank = None if store_id is None else visits.count
    return TallyRow(Kind.STORE, (store_id or "").encode(), rank, encode_packed(visits))


PLACE: Final[dict[int, Callable[[FactKey, Any], TallyRow]]] = {Part.CART: _place_cart, Part.VISIT: _place_visits}
"""Parts whose every key is a tally of its own: the row of its merged value."""


def ask_stores(totals: Totals) -> Iterator[Asked]:
    if totals.tallied.get(Kind.STORE, 0):
        yield Asked(Kind.STORE, -1, _TOP_SHOWN)


def ask_purchases(totals: Totals) -> Iterator[Asked]:
    for kind in (Kind.PRODUCT, Kind.CATEGORY, Kind.BRAND, Kind.MONTH):
        if totals.tallied.get(kind, 0):
            yield Asked(kind, -1, _MONTHS_SHOWN if kind == Kind.MONTH else _TOP_SHOWN)


def ask_carts(totals: Totals) -> Iterator[Asked]:
    """Those with anything in them whose last activity is later than the last order."""
    if totals.tallied.get(Kind.CART, 0):
        last_us = totals.last_order_us
        yield Asked(Kind.CART, -_LARGEST_RANK if last_us is None else last_us, OPEN_CARTS_MAX)


def render_purchases(totals: Totals, tops: Tops) -> bytes:
    months = b",".join([b'"%b":%d' % (key, _decode_count(body).orders) for key, body in tops.get(Kind.MONTH, ())])
    shown = [_render_top(totals, tops, kind) for kind in (Kind.PRODUCT, Kind.CATEGORY, Kind.BRAND)]
    return b'{"by_month":{%b},"products":%b,"categories":%b,"brands":%b}' % (months, *shown)


def render_carts(_totals: Totals, tops: Tops) -> bytes:
    carts = tops.get(Kind.CART, ())
    if not carts:
        return b'{"open":0,"last_at":null,"last":null}'
    cart = _decode_cart(carts[0][1])
    at = Raw(render_time(cart.last_us))
    last = {"id": cart.cart_id, "at": at, "added": _show_units(cart.added), "removed": _show_units(cart.removed)}
    return encode_json({"open": len(carts), "last_at": at, "last": last})


def render_stores(totals: Totals, tops: Tops) -> bytes:
    stores = [_decode_visits(body) for _, body in tops.get(Kind.STORE, ())]
    top = [{"id": one.store_id, "visits": one.count, "last_at": Raw(render_time(one.last_us))} for one in stores]
    head = b'"visits":%d,"last_at":%b' % (totals.visits, render_time(totals.last_visit_us))
    return b'{%b,"distinct":%d,"top":%b}' % (head, totals.tallied.get(Kind.STORE, 0), encode_json(top))


def _sum_lines(lines: Iterable[OrderLine]) -> dict[TallyKey, int]:
    """Units by key: an order counts once for each, however many of its lines name it."""
    found: dict[TallyKey, int] = {}
    for line in lines:
        units = UNIT if line.quantity == "1" else to_thousandths(Decimal(line.quantity))
        named = (Kind.PRODUCT, line.product_id or line.sku or line.name), (Kind.CATEGORY, line.category), (Kind.BRAND, line.brand)
        for kind, text in named:
            word = text.strip()[:KEY_CHARS] if text else ""
            if word:
                key = kind, word.encode()
                found[key] = found.get(key, 0) + units
    return found


@lru_cache(maxsize=4096)
def _name_month(day: int) -> TallyKey:
    return Kind.MONTH, date.fromordinal(_EPOCH_ORDINAL + day).isoformat()[:7].encode()


def _move(moves: Moves, key: TallyKey, orders: int, units: int) -> None:
    known = moves.get(key)
    if known is not None:
        orders, units = known[0] + orders, known[1] + units
    moves[key] = orders, units


def _rank(kind: int, key: bytes, count: Count) -> int | None:
    if kind == Kind.MONTH:
        return int(key[:4]) * 12 + int(key[5:7]) if count.orders > 0 else None
    units = int(count.units)
    return min(units, _LARGEST_RANK) if units > 0 else None


def _render_top(totals: Totals, tops: Tops, kind: Kind) -> bytes:
    if not totals.tallied.get(kind, 0):
        return b'{"distinct":0,"top":[]}'
    shown = []
    for key, body in tops.get(kind, ()):
        count = _decode_count(body)
        shown.append({"id": key.decode(), "orders": count.orders, "quantity": _show_units(count.units)})
    return encode_json({"distinct": totals.tallied.get(kind, 0), "top": shown})


def _show_units(units: Exact) -> Raw:
    return Raw(render_thousandths(units))
