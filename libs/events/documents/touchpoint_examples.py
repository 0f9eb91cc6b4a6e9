"""What a customer's year looks like on `touchpoints`: one touchpoint of each shape a consumer must be ready for."""

from typing import Final

from libs.events.documents.story import (
    BENS_EMAIL,
    CARD,
    EMAIL,
    PHONE,
    USER,
    VISITOR,
    minutes,
    name,
    touch,
)
from libs.events.touchpoints import (
    Campaign,
    ConsentStatement,
    Device,
    Page,
    TouchpointRecorded,
    TouchpointRejected,
    compute_touchpoint_id,
)
from libs.orders.statements import Money, OrderLine, OrderStatement

PAGE: Final = touch(
    "ajs-1",
    "Page Viewed",
    minutes(0),
    VISITOR,
    kind="page",
    channel="web",
    source_id="dev-web",
    properties={"path": "/shoes", "title": "Shoes", "url": "https://shop.example/shoes?utm_source=newsletter"},
    context={
        "campaign": {"source": "newsletter", "medium": "email", "name": "spring"},
        "locale": "de-DE",
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    },
    campaign=Campaign(source="newsletter", medium="email", campaign="spring"),
    page=Page(url="https://shop.example/shoes", path="/shoes", title="Shoes"),
    device=Device(kind="desktop", browser="Firefox", os="Linux"),
)
ORDER: Final = touch(
    "order-1001",
    "Order Completed",
    minutes(1),
    USER,
    EMAIL,
    properties={
        "order_id": "1001",
        "revenue": 119.95,
        "currency": "EUR",
        "products": [{"product_id": "p1", "name": "Running shoe", "category": "shoes", "price": 119.95, "quantity": 1}],
    },
    order=OrderStatement(step="completed", order_id="1001", amount="119.95", currency="EUR"),
    money=Money(11995, "EUR"),
    lines=(OrderLine(product_id="p1", name="Running shoe", category="shoes", amount_minor=11995),),
)
IDENTIFY: Final = touch(
    "ajs-2",
    "Identified",
    minutes(2),
    VISITOR,
    name("user_id", "u1", verified=False),
    name("email", "ada@example.com", verified=False),
    kind="identify",
    channel="web",
    source_id="dev-web",
    traits={"email": " Ada@Example.com ", "firstName": "Ada", "plan": "gold"},
    context={"consent": {"categoryPreferences": {"marketing": True, "analytics": False}}},
    consent=(ConsentStatement("marketing", "*", "granted"), ConsentStatement("analytics", "*", "denied")),
)
REFUND: Final = touch(
    "refund-77",
    "Order Refunded",
    minutes(3),
    USER,
    properties={"order_id": "1001", "refund_id": "77", "total": "20.00"},
    order=OrderStatement(step="refunded", order_id="1001", refund_id="77", amount="20.00"),
    flags=("number_as_text",),
)
LEAD: Final = touch("lead-1", "Lead Captured", minutes(16), BENS_EMAIL, properties={"lead_source": "fair", "budget": 1.50})

STORY: Final[tuple[tuple[str, TouchpointRecorded], ...]] = (
    ("an anonymous page view with a campaign", PAGE),
    ("an order from the shop's server, with two identifiers", ORDER),
    ("a browser's identify: unverified claims, traits, consent", IDENTIFY),
    ("a partial refund whose amount came as text", REFUND),
    (
        "an update that changes the order's amount",
        touch(
            "order-1001-b",
            "Order Updated",
            minutes(4),
            USER,
            properties={"order_id": "1001", "total": 109.95, "currency": "EUR"},
            order=OrderStatement(step="updated", order_id="1001", amount="109.95", currency="EUR"),
            money=Money(10995, "EUR"),
        ),
    ),
    (
        "a refund of what is left, without order currency or amount",
        touch(
            "refund-78",
            "Order Refunded",
            minutes(5),
            USER,
            properties={"order_id": "1001"},
            order=OrderStatement(step="refunded", order_id="1001"),
        ),
    ),
    (
        "a till purchase by loyalty card, imported late, in a currency without minor units",
        touch(
            "till-9:4711",
            "Order Completed",
            minutes(-60 * 24 * 400),
            CARD,
            channel="pos",
            received_at=minutes(6),
            properties={"order_id": "till-9:4711", "total": 5400, "store_id": "tokyo"},
            order=OrderStatement(step="completed", order_id="till-9:4711", amount="5400", default_currency="JPY"),
            money=Money(5400, "JPY"),
            flags=("currency_defaulted",),
        ),
    ),
    (
        "a cancellation that comes before its order",
        touch(
            "cancel-1002",
            "Order Cancelled",
            minutes(7),
            EMAIL,
            properties={"order_id": "1002"},
            order=OrderStatement(step="cancelled", order_id="1002"),
        ),
    ),
    (
        "a support ticket whose clock was two hours off",
        touch(
            "ticket-5",
            "Support Ticket Opened",
            minutes(8),
            EMAIL,
            channel="support",
            original_at=minutes(128),
            properties={"ticket_id": "5", "subject": "Wrong size", "priority": "normal"},
        ),
    ),
    (
        "a review",
        touch(
            "review-3",
            "Product Reviewed",
            minutes(9),
            USER,
            channel="web",
            properties={"review_id": "3", "product_id": "p1", "rating": "4", "review_body": "Light and quick."},
        ),
    ),
    (
        "an answer to a survey",
        touch("survey-2", "Survey Answered", minutes(10), EMAIL, properties={"survey_type": "nps", "score": 9, "survey_id": "2"}),
    ),
    (
        "a mention on a social network",
        touch(
            "mention-1",
            "Social Mention Posted",
            minutes(11),
            name("mastodon", "@ada@social.example"),
            channel="social",
            properties={"mention_id": "1", "network": "mastodon", "text": "I love my new shoes!"},
        ),
    ),
    (
        "what became of a message, written by engagement",
        touch(
            "0f8b:sent",
            "Email Sent",
            minutes(12),
            EMAIL,
            channel="email",
            source_id="engagement",
            properties={"email_id": "0f8b", "campaign_id": "welcome"},
        ),
    ),
    (
        "a word on consent for one channel",
        touch(
            "consent-1",
            "Consent Changed",
            minutes(13),
            EMAIL,
            properties={"purpose": "marketing", "channel": "email", "status": "granted", "wording_version": "2026-02"},
            consent=(ConsentStatement("marketing", "email", "granted", "2026-02"),),
        ),
    ),
    (
        "an alias: the new id, and the previous one as both kinds it may have been",
        touch(
            "alias-1",
            "Aliased",
            minutes(14),
            name("user_id", "u1-new"),
            kind="alias",
            previous=(USER, name("anonymous_id", "u1")),
        ),
    ),
    (
        "a group call: a person's company",
        touch(
            "group-1",
            "Grouped",
            minutes(15),
            USER,
            PHONE,
            kind="group",
            group_id="acme",
            traits={"name": "Acme", "industry": "shoes"},
        ),
    ),
    (
        "a lead, with the sender's numbers untouched",
        LEAD,
    ),
)

REJECTED: Final[tuple[tuple[str, TouchpointRejected], ...]] = (
    (
        "nobody is named",
        TouchpointRejected(
            id=compute_touchpoint_id("dev-web", "ajs-9"),
            source_id="dev-web",
            received_at=minutes(1),
            reason="no_identifier",
            detail="every identifier is missing, empty or blocked",
            path="/v1/track",
            body=b'{"event":"Product Viewed","anonymousId":"null","messageId":"ajs-9"}',
        ),
    ),
    (
        "bytes that are no JSON",
        TouchpointRejected(
            id=compute_touchpoint_id("dev-server", "sha256:0f343b0931126a20f133d67c2b018a3b"),
            source_id="dev-server",
            received_at=minutes(2),
            reason="invalid_json",
            detail="the body is not JSON",
            path="/v1/batch",
            body=b"\x00\xff{oops",
        ),
    ),
)
