"""Random lives of a customer, dense in what is hard: equal times, few ids, late words, pauses around half an hour."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from libs.events.touchpoints import Campaign, ConsentStatement, Device, TouchpointRecorded
from libs.orders.statements import OrderLine, OrderStatement
from tests.builders.touchpoints import START, make_fragment, make_touchpoint

FRAGMENTS = ("user_id:u1", "anonymous_id:d1", "anonymous_id:d2", "loyalty_card:c1")
CURRENCIES = st.sampled_from([None, "EUR", "EUR", "USD", "JPY"])
AMOUNTS = st.sampled_from([None, "0", "10", "10.005", "20.015", "0.005", "99.99", "123456789012.345"])
SMALL_IDS = st.sampled_from([None, "1", "2", 2])
MOMENTS = st.one_of(
    st.integers(-6, 30).map(lambda step: START + timedelta(minutes=15 * step)),
    st.integers(-1, 4).map(lambda step: START + timedelta(days=step, hours=11, minutes=45)),
    st.sampled_from([START + timedelta(minutes=30, microseconds=extra) for extra in (-1, 0, 1)]),
    st.integers(0, 120).map(lambda step: START + timedelta(minutes=step)),
)


DEVICES = (
    Device("desktop", "Firefox", "Linux"),
    Device("mobile", "Mobile Safari", "iOS"),
    Device("mobile", None, "Android"),
    Device("desktop", "Firefox", "Linux", bot=True),
    Device(),
)
LINES = st.lists(
    st.builds(
        OrderLine,
        product_id=st.sampled_from([None, "p1", "p2", "p3 "]),
        sku=st.sampled_from([None, "s1"]),
        name=st.sampled_from([None, "Shoe"]),
        category=st.sampled_from([None, "shoes", "hats"]),
        brand=st.sampled_from([None, "Acme", " "]),
        quantity=st.sampled_from(["1", "1", "2", "0.5", "0.0005", "0.0015", "-1"]),
    ),
    max_size=3,
)


def _orders() -> st.SearchStrategy[dict[str, Any]]:
    def build(step: str, lines: Any, cart: dict[str, Any], **stated: Any) -> dict[str, Any]:
        if step != "refunded":
            stated["order_id"] = stated["order_id"] or "o1"
            stated["refund_id"] = None
        if step == "cancelled":
            stated["amount"], lines = None, ()
        order = OrderStatement(step=step, **stated)
        return {"name": f"Order {step.title()}", "order": order, "lines": lines, "properties": cart}

    return st.builds(
        build,
        step=st.sampled_from(["completed", "completed", "updated", "refunded", "refunded", "cancelled"]),
        lines=LINES,
        cart=st.sampled_from([{}, {}, {"cart_id": "c1"}]),
        order_id=st.sampled_from([None, "o1", "o2", "o3"]),
        refund_id=st.sampled_from([None, "r1", "r2"]),
        amount=AMOUNTS,
        currency=CURRENCIES,
        default_currency=st.sampled_from(["EUR", "GBP"]),
    )


def _tangle() -> st.SearchStrategy[dict[str, Any]]:
    """Two orders and two refunds that keep changing sides: refunds of what is left, refund ids told again for the other order."""
    return st.builds(
        lambda step, order_id, refund_id, amount, lines: {
            "lines": () if step == "cancelled" else lines,
            "name": f"Order {step.title()}",
            "order": OrderStatement(
                step=step,
                order_id=order_id,
                refund_id=refund_id if step == "refunded" else None,
                amount=None if step == "cancelled" else amount,
            ),
        },
        st.sampled_from(["completed", "updated", "refunded", "refunded", "refunded", "cancelled"]),
        st.sampled_from(["o1", "o2"]),
        st.sampled_from(["r1", "r2"]),
        st.sampled_from([None, None, "10", "30"]),
        LINES,
    )


def _named(names: list[str], **properties: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, said: {"name": name, "properties": {key: value for key, value in said.items() if value is not None}},
        st.sampled_from(names),
        st.fixed_dictionaries(properties),
    )


def _activity() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda kind, channel, source, device: {
            "kind": kind,
            "channel": channel,
            "device": device,
            "campaign": None if source is None else Campaign(source=source, medium="cpc"),
        },
        st.sampled_from(["page", "page", "screen", "track", "identify"]),
        st.sampled_from(["web", "web", "mobile", "server", "import"]),
        st.sampled_from([None, None, "news", "ads"]),
        st.sampled_from([None, *DEVICES]),
    )


def _identify() -> st.SearchStrategy[dict[str, Any]]:
    traits = st.dictionaries(
        st.sampled_from(["firstName", "first_name", "plan", "email", "phone", "createdAt"]),
        st.sampled_from(["a", "b", None, 1.5, {"deep": [1, None]}]),
        max_size=3,
    )
    return st.builds(
        lambda own, context, extra: {"kind": "identify", "traits": own, "context": {"traits": context}, "extra": extra},
        traits,
        traits,
        st.lists(st.sampled_from(["email:a@example.com", "email:b@example.com", "phone:+4930123456"]), max_size=2, unique=True),
    )


def _consent() -> st.SearchStrategy[dict[str, Any]]:
    statement = st.builds(
        ConsentStatement,
        purpose=st.sampled_from(["marketing", "research"]),
        channel=st.sampled_from(["*", "email"]),
        status=st.sampled_from(["granted", "denied"]),
        wording_version=st.sampled_from([None, "v2"]),
        proof=st.sampled_from([None, "form 1"]),
    )
    return st.builds(
        lambda said, early, source: {"name": "Consent Changed", "consent": said, "early": early, "source_id": source},
        st.lists(statement, min_size=1, max_size=3),
        st.booleans(),
        st.sampled_from(["shop", "profile-api"]),
    )


def _group() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda group, traits: {"kind": "group", "group_id": group, "traits": traits},
        st.sampled_from([None, "acme", "umbrella"]),
        st.dictionaries(st.sampled_from(["name", "plan"]), st.sampled_from(["x", "y", None]), max_size=2),
    )


KINDS = {
    "order": _orders(),
    "tangle": _tangle(),
    "activity": _activity(),
    "identify": _identify(),
    "consent": _consent(),
    "group": _group(),
    "ticket": _named([f"Support Ticket {word}" for word in ("Opened", "Updated", "Solved", "Reopened")], ticket_id=SMALL_IDS),
    "review": _named(
        ["Product Reviewed"], review_id=SMALL_IDS, rating=st.sampled_from([None, "5", "4.5", 3, 1.25, "good", True, "1e1"])
    ),
    "mention": _named(
        ["Social Mention Posted"], mention_id=SMALL_IDS, text=st.sampled_from([None, "", " ", "ok", "x" * 37, "y" * 60])
    ),
    "survey": _named(
        ["Survey Answered"],
        survey_type=st.sampled_from(["nps", "csat", "ces", "other"]),
        score=st.sampled_from([None, 0, 9, "7", 4.5, "bad"]),
    ),
    "cart": _named(
        ["Product Added", "Product Added", "Product Removed", "Wishlist Product Added to Cart"],
        cart_id=st.sampled_from([None, "c1", "c2", " "]),
        quantity=st.sampled_from([None, 1, 2, "1.5", 0, -3, "many"]),
    ),
    "visit": _named(["Store Visited"], store_id=st.sampled_from([None, "ulm", "bonn", 7, " "])),
    "message": _named(
        ["Email Sent", "Email Opened", "Email Link Clicked", "Email Bounced", "SMS Sent", "Push Opened", "Unsubscribed"],
        email_id=SMALL_IDS,
        sms_id=SMALL_IDS,
        push_id=SMALL_IDS,
    ),
    "lead": st.one_of(
        _named(["Lead Captured"]),
        _named(
            ["Lead Stage Changed"],
            stage=st.sampled_from([None, "lead", "customer"]),
            owner=st.sampled_from([None, "grace", "alan", " ", True]),
            note=st.sampled_from([None, "call back"]),
        ),
        st.just({"name": "Lead Stage Changed", "properties": {"owner": None}}),
    ),
}


def _build(number: int, own: str, at: Any, said: dict[str, Any]) -> tuple[UUID, TouchpointRecorded]:
    extra = said.pop("extra", [])
    received_at = at - timedelta(minutes=3) if said.pop("early", False) else at + timedelta(seconds=20)
    touchpoint = make_touchpoint(number, by=(own, *extra), at=at, received_at=received_at, **said)
    return make_fragment(*own.split(":", 1)), touchpoint


def histories(
    *kinds: str, max_size: int = 24, fragments: Sequence[str] = FRAGMENTS
) -> st.SearchStrategy[list[tuple[UUID, TouchpointRecorded]]]:
    """Touchpoints with the fragment each is folded in, every id once, in no order of time."""
    chosen = st.one_of([KINDS[kind] for kind in kinds or KINDS])
    one = st.tuples(st.sampled_from(fragments), MOMENTS, chosen)
    number = make_numbering()
    return st.lists(one, min_size=1, max_size=max_size).flatmap(
        lambda told: st.permutations(range(1, len(told) + 1)).map(
            lambda ids: [number(identity, *one) for identity, one in zip(ids, told, strict=True)]
        )
    )


def make_numbering() -> Callable[..., tuple[UUID, TouchpointRecorded]]:
    return lambda identity, own, at, said: _build(identity, own, at, dict(said))
