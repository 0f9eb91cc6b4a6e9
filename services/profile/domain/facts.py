"""The parts that grow, one value by fragment, part and key: what a touchpoint adds to them, how they merge, what they count for.

A value merged from all fragments of a profile is what counts, once for each key. Where a touchpoint names no id of its own
(no ticket_id, review_id, ...), it is its own key.
"""

from collections.abc import Callable
from decimal import Context, Decimal
from enum import IntEnum
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from libs.orders.parts import OrderPart, RefundPart, merge_orders, merge_refunds
from services.profile.domain.state import encode_packed
from services.profile.domain.totals import Kind, Totals, count_tallied
from services.profile.domain.values import (
    ABSENT,
    KEY_CHARS,
    Exact,
    day_of,
    pack_exact,
    read_id,
    read_number,
    to_thousandths,
)

RATING_SCALE: Final = 10**18
SENTIMENT_SCALE: Final = 10_000
_LONGEST_PLAIN_KEY: Final = 96
_TIME_BIAS: Final = 1 << 63
_EXACT: Final = Context(prec=64)


class Part(IntEnum):
    """Stored as a number: never renumber."""

    ORDER = 1
    REFUND = 2
    TICKET = 3
    REVIEW = 4
    MENTION = 5
    MESSAGE = 6
    CART = 7
    VISIT = 8


class Ticket(Struct, array_like=True, frozen=True, gc=False):
    """The last word on a ticket. Any word but Solved leaves it open. `open_us`: the first word that says it isn't solved."""

    t_us: int
    by: bytes
    solved: bool
    open_us: int | None = None


class Review(Struct, array_like=True, frozen=True, gc=False):
    """The latest word on a review; its rating as a decimal text, None where it gave none that is a number."""

    t_us: int
    by: bytes
    rating: str | None


class Mention(Struct, array_like=True, frozen=True, gc=False):
    """The latest word of a mention; its score in ten-thousandths, None where it had no text."""

    t_us: int
    by: bytes
    score: int | None


class Message(Struct, array_like=True, frozen=True, gc=False):
    """What ever became of a message, as a set of bits by `MESSAGE_STATES`."""

    channel: str
    states: int


class Cart(Struct, array_like=True, frozen=True, gc=False):
    """What ever happened to a cart. `last_us`: the latest adding or removing; `completed_us`: the latest Order Completed that
    names it. Units are in thousandths. `cart_id` None: nobody named it.
    """

    cart_id: str | None
    last_us: int | None = None
    completed_us: int | None = None
    added: Exact = 0
    removed: Exact = 0


class Visits(Struct, array_like=True, frozen=True, gc=False):
    """To one store; `store_id` None: nobody said to which."""

    store_id: str | None
    count: int
    last_us: int


MESSAGE_STATES: Final = ("sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
MESSAGE_CHANNELS: Final = ("email", "sms", "push")
_OPENED, _CLICKED = (1 << MESSAGE_STATES.index(state) for state in ("opened", "clicked"))

_WORDS: Final = {
    "Sent": "sent",
    "Delivered": "delivered",
    "Opened": "opened",
    "Clicked": "clicked",
    "Link Clicked": "clicked",
    "Bounced": "bounced",
    "Marked as Spam": "complained",
    "Unsubscribed": "unsubscribed",
}
_CHANNEL_WORDS: Final = {"Email": "email", "SMS": "sms", "Push": "push"}
MESSAGE_NAMES: Final[dict[str, tuple[str, int]]] = {
    f"{word} {state_word}": (channel, MESSAGE_STATES.index(state))
    for word, channel in _CHANNEL_WORDS.items()
    for state_word, state in _WORDS.items()
} | {"Unsubscribed": ("email", MESSAGE_STATES.index("unsubscribed"))}
"""Segment's e-mail names (spec/email), and SMS and Push likewise: name -> (channel, bit)."""

REVIEW_NAME: Final = "Product Reviewed"
MENTION_NAME: Final = "Social Mention Posted"
TICKET_NAMES: Final = {f"Support Ticket {word}": word == "Solved" for word in ("Opened", "Updated", "Solved", "Reopened")}
"""Name -> whether it is the word that closes a ticket."""


CART_NAMES: Final = {"Product Added": True, "Wishlist Product Added to Cart": True, "Product Removed": False}
"""Name -> whether something went into the cart."""


VISIT_NAME: Final = "Store Visited"


class FactKey(NamedTuple):
    part: Part
    key: bytes


class Properties(Struct):
    """The properties that facts are read from, each left as sent."""

    ticket_id: Raw = ABSENT
    review_id: Raw = ABSENT
    mention_id: Raw = ABSENT
    email_id: Raw = ABSENT
    sms_id: Raw = ABSENT
    push_id: Raw = ABSENT
    rating: Raw = ABSENT
    cart_id: Raw = ABSENT
    quantity: Raw = ABSENT
    store_id: Raw = ABSENT


read_properties: Final = msgspec.json.Decoder(Properties).decode


def make_key(part: Part, text: str) -> FactKey:
    """The text itself, readable by operators, unless it is too long for an index: then its hash. The first byte tells which."""
    data = text.encode()
    return FactKey(part, b"=" + data if len(data) <= _LONGEST_PLAIN_KEY else b"#" + sha256(data).digest())


def read_ticket(name: str, properties: Properties, touchpoint_id: str, t_us: int, by: bytes) -> tuple[FactKey, Ticket]:
    key = make_key(Part.TICKET, read_id(properties.ticket_id, touchpoint_id))
    return key, Ticket(t_us, by, TICKET_NAMES[name], None if TICKET_NAMES[name] else t_us)


def read_review(properties: Properties, touchpoint_id: str, t_us: int, by: bytes) -> tuple[FactKey, Review]:
    rating = read_number(properties.rating)
    key = make_key(Part.REVIEW, read_id(properties.review_id, touchpoint_id))
    return key, Review(t_us, by, None if rating is None else str(rating))


def read_mention(properties: Properties, score: str | None, touchpoint_id: str, t_us: int, by: bytes) -> tuple[FactKey, Mention]:
    """`score`: what Rapport gave the text, a decimal of at most 4 places."""
    key = make_key(Part.MENTION, read_id(properties.mention_id, touchpoint_id))
    return key, Mention(t_us, by, None if score is None else int((Decimal(score) * SENTIMENT_SCALE).to_integral_value()))


def read_message(name: str, properties: Properties, touchpoint_id: str) -> tuple[FactKey, Message]:
    channel, bit = MESSAGE_NAMES[name]
    raw: Raw = getattr(properties, f"{channel}_id")
    return make_key(Part.MESSAGE, f"{channel}:{read_id(raw, touchpoint_id)}"), Message(channel, 1 << bit)


def read_cart(name: str, properties: Properties, t_us: int) -> tuple[FactKey, Cart]:
    """One unit where no quantity above 0 is stated. Without `cart_id` it is the cart of that UTC day."""
    number = read_number(properties.quantity)
    units = 1000 if number is None or number <= 0 else to_thousandths(number)
    key, cart_id = _name_cart(properties.cart_id, t_us)
    return key, Cart(cart_id, t_us, None, units) if CART_NAMES[name] else Cart(cart_id, t_us, None, 0, units)


def read_completed_cart(raw: Raw, t_us: int) -> tuple[FactKey, Cart] | None:
    """Of the properties of an Order Completed: the cart it names, if any."""
    if b'"cart_id"' not in bytes(raw):
        return None
    key, cart_id = _name_cart(read_properties(raw).cart_id, t_us)
    return None if cart_id is None else (key, Cart(cart_id, None, t_us))


def read_visits(properties: Properties, t_us: int) -> tuple[FactKey, Visits]:
    store_id = read_id(properties.store_id, "").strip()[:KEY_CHARS]
    return make_key(Part.VISIT, store_id), Visits(store_id or None, 1, t_us)


def _name_cart(raw: Raw, t_us: int) -> tuple[FactKey, str | None]:
    cart_id = read_id(raw, "").strip()[:KEY_CHARS] or None
    return make_key(Part.CART, f"day:{day_of(t_us)}" if cart_id is None else f"id:{cart_id}"), cart_id


def is_left_behind(cart: Cart) -> bool:
    """Whether something is in it that no order which names it has taken; a later order that doesn't is for the reader to know."""
    if cart.last_us is None or int(cart.added) <= int(cart.removed):
        return False
    return cart.completed_us is None or cart.completed_us < cart.last_us


def _keep_latest(a: Any, b: Any) -> Any:
    return a if (a.t_us, a.by) >= (b.t_us, b.by) else b


def _merge_tickets(a: Ticket, b: Ticket) -> Ticket:
    latest: Ticket = _keep_latest(a, b)
    known = [open_us for open_us in (a.open_us, b.open_us) if open_us is not None]
    return Ticket(latest.t_us, latest.by, latest.solved, min(known, default=None))


def _merge_messages(a: Message, b: Message) -> Message:
    return Message(a.channel, a.states | b.states)


def _merge_carts(a: Cart, b: Cart) -> Cart:
    return Cart(
        a.cart_id,
        _later(a.last_us, b.last_us),
        _later(a.completed_us, b.completed_us),
        pack_exact(int(a.added) + int(b.added)),
        pack_exact(int(a.removed) + int(b.removed)),
    )


def _merge_visits(a: Visits, b: Visits) -> Visits:
    return Visits(a.store_id, a.count + b.count, max(a.last_us, b.last_us))


def _count_visits(totals: Totals, visits: Visits, sign: int) -> None:
    totals.visits += sign * visits.count
    count_tallied(totals, Kind.STORE, sign if visits.store_id is not None else 0)
    if sign > 0:  # visits are never taken back
        totals.last_visit_us = _later(totals.last_visit_us, visits.last_us)


def _later(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _count_cart(totals: Totals, cart: Cart, sign: int) -> None:
    count_tallied(totals, Kind.CART, sign if is_left_behind(cart) else 0)


def _count_ticket(totals: Totals, ticket: Ticket, sign: int) -> None:
    if not ticket.solved:
        totals.tickets_open += sign
    elif ticket.open_us is not None:
        totals.solved += sign
        totals.solve_us = pack_exact(int(totals.solve_us) + sign * (ticket.t_us - ticket.open_us))


def _count_review(totals: Totals, review: Review, sign: int) -> None:
    if review.rating is not None:
        totals.rated += sign
        totals.rating_sum = pack_exact(int(totals.rating_sum) + sign * int(Decimal(review.rating).scaleb(18, _EXACT)))


def _count_mention(totals: Totals, mention: Mention, sign: int) -> None:
    if mention.score is not None:
        totals.scored += sign
        totals.sentiment_sum += sign * mention.score


def _count_message(totals: Totals, message: Message, sign: int) -> None:
    counts = totals.messages.get(message.channel)
    if counts is None:
        counts = totals.messages[message.channel] = [0] * len(MESSAGE_STATES)
    states = message.states | (_OPENED if message.states & _CLICKED else 0)
    for bit in range(len(MESSAGE_STATES)):
        if states >> bit & 1:
            counts[bit] += sign


def _count_nothing(totals: Totals, value: Any, sign: int) -> None:
    """Orders and refunds count together, see `purchases`."""


class PartRules(NamedTuple):
    """How the values of one part are read back from their bytes, merged (commutative, associative) and counted."""

    decode: Callable[[bytes], Any]
    merge: Callable[[Any, Any], Any]
    tally: Callable[[Totals, Any, int], None]


RULES: Final[dict[int, PartRules]] = {
    Part.ORDER: PartRules(msgspec.msgpack.Decoder(OrderPart).decode, merge_orders, _count_nothing),
    Part.REFUND: PartRules(msgspec.msgpack.Decoder(RefundPart).decode, merge_refunds, _count_nothing),
    Part.TICKET: PartRules(msgspec.msgpack.Decoder(Ticket).decode, _merge_tickets, _count_ticket),
    Part.REVIEW: PartRules(msgspec.msgpack.Decoder(Review).decode, _keep_latest, _count_review),
    Part.MENTION: PartRules(msgspec.msgpack.Decoder(Mention).decode, _keep_latest, _count_mention),
    Part.MESSAGE: PartRules(msgspec.msgpack.Decoder(Message).decode, _merge_messages, _count_message),
    Part.CART: PartRules(msgspec.msgpack.Decoder(Cart).decode, _merge_carts, _count_cart),
    Part.VISIT: PartRules(msgspec.msgpack.Decoder(Visits).decode, _merge_visits, _count_visits),
}

encode_fact = encode_packed


def order_ref(value: OrderPart) -> bytes | None:
    """An order's time as bytes that sort like it; None while it isn't known."""
    return None if value.at_us is None else (value.at_us + _TIME_BIAS).to_bytes(8, "big")


def read_order_ref(ref: bytes) -> int:
    return int.from_bytes(ref, "big") - _TIME_BIAS


def order_key(order_id: str) -> FactKey:
    return make_key(Part.ORDER, order_id)


def find_ref(key: FactKey, value: Any) -> bytes | None:
    """The second way to a row: an order's time, a refund's order."""
    if key.part == Part.ORDER:
        return order_ref(value)
    if key.part == Part.REFUND and value.order_id is not None:
        return order_key(value.order_id).key
    return None
