"""The part of the view that is folded: `GET /v1/profiles/{ref}` less what identity and the facets add.

Rendered part by part: parts that a batch didn't touch are taken over as they stood.
"""

from collections.abc import Callable, Collection
from functools import cache
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from services.profile.domain.accounts import render_accounts
from services.profile.domain.attribution import render_attribution
from services.profile.domain.consent import render_consents
from services.profile.domain.facts import MESSAGE_CHANNELS, MESSAGE_STATES, RATING_SCALE, SENTIMENT_SCALE, Part
from services.profile.domain.lead import render_lead
from services.profile.domain.state import ACCOUNTS, ATTRIBUTION, CONSENT, LEAD, TRAITS, OpenStates, Section, merge_section
from services.profile.domain.surveys import WITH_HISTORY, render_answers, render_score
from services.profile.domain.tallies import Tops, render_carts, render_purchases, render_stores
from services.profile.domain.totals import Totals
from services.profile.domain.traits import render_traits
from services.profile.domain.usage import Usage, choose_channel, render_usage
from services.profile.domain.values import NULL, average_to_cents, divide_half_even, encode_json, render_time

T = TypeVar("T")
_NULL: Final = Raw(NULL)
_SECOND_US: Final = 1_000_000
_NO_MESSAGES: Final = [0] * len(MESSAGE_STATES)
_OPENED, _CLICKED = MESSAGE_STATES.index("opened"), MESSAGE_STATES.index("clicked")


class _Aggregates(Struct):
    orders: Raw = _NULL
    web: Raw = _NULL
    support: Raw = _NULL
    social: Raw = _NULL
    reviews: Raw = _NULL
    surveys: Raw = _NULL
    messages: Raw = _NULL
    purchases: Raw = _NULL
    carts: Raw = _NULL
    stores: Raw = _NULL
    activity: Raw = _NULL


class _Core(Struct):
    first_seen_at: Raw = _NULL
    last_seen_at: Raw = _NULL
    traits: Raw = _NULL
    aggregates: _Aggregates = msgspec.field(default_factory=_Aggregates)
    attribution: Raw = _NULL
    consent: Raw = _NULL
    lead: Raw = _NULL
    accounts: Raw = _NULL


_decode = msgspec.json.Decoder(_Core).decode


def _render_orders(totals: Totals) -> bytes:
    money = sorted(totals.money.items())
    return encode_json(
        {
            "count": totals.orders,
            "occasions": totals.occasions,
            "first_at": Raw(render_time(totals.first_order_us)),
            "last_at": Raw(render_time(totals.last_order_us)),
            "gross_minor": {currency: int(one.gross) for currency, one in money},
            "refunds_minor": {currency: int(one.refunds) for currency, one in money},
            "net_minor": {currency: int(one.gross) - int(one.refunds) for currency, one in money},
            "average_minor": {
                currency: divide_half_even(int(one.gross) - int(one.refunds), one.orders) if one.orders else None
                for currency, one in money
            },
        }
    )


def _render_web(totals: Totals) -> bytes:
    last_us = totals.session[1] if totals.session else None
    return b'{"page_views":%d,"sessions":%d,"last_at":%b}' % (totals.page_views, totals.sessions, render_time(last_us))


def _render_support(totals: Totals) -> bytes:
    tickets = totals.rows[Part.TICKET - 1]
    csat = bytes(render_score(totals.surveys, "csat"))
    told = b'"tickets":%d,"tickets_open":%d,"csat_latest":%b' % (tickets, totals.tickets_open, csat)
    mean = b"%d" % divide_half_even(int(totals.solve_us), totals.solved * _SECOND_US) if totals.solved else NULL
    return b'{%b,"solve_seconds_average":%b}' % (told, mean)


def _render_social(totals: Totals) -> bytes:
    average = average_to_cents(totals.sentiment_sum, totals.scored, SENTIMENT_SCALE)
    return encode_json({"mentions": totals.rows[Part.MENTION - 1], "sentiment_average": average})


def _render_reviews(totals: Totals) -> bytes:
    average = average_to_cents(int(totals.rating_sum), totals.rated, RATING_SCALE)
    return encode_json({"count": totals.rows[Part.REVIEW - 1], "rating_average": average})


def _render_surveys(totals: Totals) -> bytes:
    latest = {f"{kind}_latest": render_score(totals.surveys, kind) for kind in ("nps", "ces")}
    return encode_json(latest | {"nps_history": render_answers(totals.answers or (), totals.surveys.get(WITH_HISTORY))})


def _render_messages(totals: Totals) -> bytes:
    return encode_json(
        {
            channel: dict(zip(MESSAGE_STATES, totals.messages.get(channel, _NO_MESSAGES), strict=True))
            for channel in MESSAGE_CHANNELS
        }
    )


def _render_activity(totals: Totals) -> bytes:
    usage = Usage() if totals.usage is None else totals.usage
    told = totals.messages
    responses: dict[str, int] = {
        channel: told[channel][_OPENED] + told[channel][_CLICKED] for channel in MESSAGE_CHANNELS if channel in told
    }
    return render_usage(usage, choose_channel(usage, responses))


_AGGREGATES: Final[dict[str, Callable[[Totals], bytes]]] = {
    "orders": _render_orders,
    "web": _render_web,
    "support": _render_support,
    "social": _render_social,
    "reviews": _render_reviews,
    "surveys": _render_surveys,
    "messages": _render_messages,
    "activity": _render_activity,
}


_TALLIED: Final[dict[str, Callable[[Totals, Tops], bytes]]] = {
    "purchases": render_purchases,
    "carts": render_carts,
    "stores": render_stores,
}


def _rendering(section: Section[T], render: Callable[[T], bytes]) -> Callable[[OpenStates], bytes]:
    return lambda states: render(merge_section(states, section))


_SECTIONS: Final[dict[str, Callable[[OpenStates], bytes]]] = {
    "traits": _rendering(TRAITS, render_traits),
    "attribution": _rendering(ATTRIBUTION, render_attribution),
    "consent": _rendering(CONSENT, render_consents),
    "lead": _rendering(LEAD, render_lead),
    "accounts": _rendering(ACCOUNTS, render_accounts),
}

ALL_PARTS: Final = frozenset({"first_seen", "last_seen", *_AGGREGATES, *_TALLIED, *_SECTIONS})
"""Names of the parts, as `ProfileChanged.parts` tells them."""


def render_core(previous: bytes, touched: Collection[str], totals: Totals, states: OpenStates, tops: Tops) -> bytes:
    """Members of a JSON object, without its braces. `previous` is what stood before; only `touched` parts are rendered anew.

    `states` are of all the profile's fragments. An empty `previous` needs all parts. `tops`: what `tallies` ask for the parts
    touched.
    """
    core = _decode(b"{%b}" % previous)
    if "first_seen" in touched:
        core.first_seen_at = Raw(render_time(totals.first_us))
    if "last_seen" in touched:
        core.last_seen_at = Raw(render_time(totals.last_us))
    for name in touched:
        aggregate = _AGGREGATES.get(name)
        if aggregate is not None:
            setattr(core.aggregates, name, Raw(aggregate(totals)))
        elif name in _TALLIED:
            setattr(core.aggregates, name, Raw(_TALLIED[name](totals, tops)))
        elif name in _SECTIONS:
            setattr(core, name, Raw(_SECTIONS[name](states)))
    return encode_json(core)[1:-1]


@cache
def render_blank() -> bytes:
    """Of a profile about which nothing is known yet."""
    return render_core(b"", ALL_PARTS, Totals(), OpenStates((), {}), {})
