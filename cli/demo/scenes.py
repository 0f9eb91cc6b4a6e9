"""What customers do, scene by scene: a visit, a purchase, a return, a complaint, as calls that a Segment SDK sends."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Literal

from cli.demo.assortment import COMMENTS, MENTIONS, PRODUCTS, REVIEWS, TICKETS, Product
from cli.demo.people import Person

Sender = Literal["browser", "server"]
SHOP = "https://shop.example"


@dataclass(frozen=True, slots=True)
class Touch:
    """A call at its time; `sender` says whose key it goes with: the website's or the back office's."""

    at: datetime
    sender: Sender
    call: dict[str, Any]


@dataclass(slots=True)
class Actor:
    """A person on stage, with what the shop knows of them so far."""

    person: Person
    random: Random
    seed: int
    numbers: Iterator[int] = field(default_factory=count)
    is_known: bool = False
    has_card: bool = False

    def touch(self, at: datetime, sender: Sender, kind: str, **fields: Any) -> Touch:
        number = next(self.numbers)
        call = {"type": kind, "messageId": f"demo-{self.seed}-{self.person.number}-{number}", **fields}
        return Touch(at, sender, call)

    def next_name(self, prefix: str) -> str:
        return f"{prefix}-{self.seed}-{self.person.number}-{next(self.numbers)}"


def visit(actor: Actor, at: datetime, *, buys: bool, first: bool) -> Iterator[Touch]:
    """Pages, products, perhaps a cart; with `buys` an order at the end. The first visit carries the campaign."""
    random, person = actor.random, actor.person
    device = random.choice(person.devices) if actor.is_known else person.devices[0]
    context = _web_context(person, first=first)
    yield actor.touch(at, "browser", "page", anonymousId=device, name="Home", properties={"path": "/"}, context=context)
    context = _web_context(person, first=False)
    cart: list[tuple[Product, int]] = []
    for _ in range(random.randint(1, 5) + 2 * buys):
        at += timedelta(seconds=random.randint(8, 180))
        product = random.choice(PRODUCTS)
        page = {"path": f"/p/{product.id}", "url": f"{SHOP}/p/{product.id}"}
        yield actor.touch(at, "browser", "page", anonymousId=device, name="Product", properties=page, context=context)
        at += timedelta(seconds=random.randint(1, 20))
        shown = product.to_line() | {"currency": "EUR"}
        yield actor.touch(at, "browser", "track", event="Product Viewed", anonymousId=device, properties=shown, context=context)
        if random.random() < (0.6 if buys else 0.15):
            cart.append((product, random.choice((1, 1, 1, 2))))
            yield actor.touch(
                at + timedelta(seconds=5), "browser", "track", event="Product Added", anonymousId=device,
                properties=product.to_line(cart[-1][1]), context=context,
            )  # fmt: skip
    if buys:
        at += timedelta(seconds=random.randint(20, 300))
        yield from _sign_in(actor, at, device, context)
        at += timedelta(seconds=random.randint(10, 90))
        yield from order(actor, at, cart or [(random.choice(PRODUCTS), 1)], device=device)


def _web_context(person: Person, *, first: bool) -> dict[str, Any]:
    context: dict[str, Any] = {"page": {"url": f"{SHOP}/"}, "locale": "de-DE"}
    if first and person.campaign is not None:
        context["campaign"] = person.campaign
    return context


def _sign_in(actor: Actor, at: datetime, device: str, context: dict[str, Any]) -> Iterator[Touch]:
    """The site says who is there (a browser's claim); the back office says it too when the account is made."""
    person = actor.person
    yield actor.touch(at, "browser", "identify", userId=person.user_id, anonymousId=device, traits={}, context=context)
    if actor.is_known:
        return
    actor.is_known = True
    traits = {
        "email": person.email,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "phone": person.phone,
        "country": person.country,
    }
    yield actor.touch(at, "server", "identify", userId=person.user_id, anonymousId=device, traits=traits)
    consent = {"consent": {"categoryPreferences": {"marketing": person.subscribes}}}
    yield actor.touch(
        at + timedelta(seconds=2), "server", "track", event="Signed Up", userId=person.user_id, context=consent, properties={}
    )


def order(
    actor: Actor, at: datetime, lines: list[tuple[Product, int]], *, device: str | None = None, till: str | None = None
) -> Iterator[Touch]:
    """An order on the web, or at a till by loyalty card; sometimes part of it comes back, sometimes a review is written."""
    random, person = actor.random, actor.person
    order_id = actor.next_name("pos" if till else "web")
    revenue = sum((product.price * quantity for product, quantity in lines), Decimal(0))
    properties: dict[str, Any] = {
        "order_id": order_id,
        "revenue": float(revenue),
        "currency": "EUR",
        "products": [product.to_line(quantity) for product, quantity in lines],
    }
    if till is not None:
        who: dict[str, Any] = {
            "context": {"externalIds": [{"type": "loyalty_card", "id": person.card}]},
            "channel": "pos",
        }
        properties["store_id"] = till
    else:
        who = {"userId": person.user_id, "anonymousId": device, "channel": "web"}
    yield actor.touch(at, "server", "track", event="Order Completed", properties=properties, **who)
    if random.random() < 0.08:
        yield from _return(actor, at, order_id, lines, who)
    if random.random() < 0.12 and actor.is_known:
        yield _review(actor, at + timedelta(days=random.uniform(3, 20)), random.choice(lines)[0])


def _return(actor: Actor, at: datetime, order_id: str, lines: list[tuple[Product, int]], who: dict[str, Any]) -> Iterator[Touch]:
    random = actor.random
    back_at = at + timedelta(days=random.uniform(1, 14))
    product, quantity = random.choice(lines)
    refund = {
        "order_id": order_id,
        "refund_id": actor.next_name("refund"),
        "total": float(product.price * quantity),
        "products": [product.to_line(quantity)],
    }
    yield actor.touch(back_at, "server", "track", event="Order Refunded", properties=refund, **who)


def _review(actor: Actor, at: datetime, product: Product) -> Touch:
    rating, text = actor.random.choice(REVIEWS)
    properties = {"product_id": product.id, "review_id": actor.next_name("review"), "rating": str(rating), "review_body": text}
    return actor.touch(at, "server", "track", event="Product Reviewed", userId=actor.person.user_id, properties=properties)


def till_purchase(actor: Actor, at: datetime) -> Iterator[Touch]:
    """With a card shown; the first time the card is linked to the account, if there is one."""
    random, person = actor.random, actor.person
    if actor.is_known and not actor.has_card:
        actor.has_card = True
        yield actor.touch(
            at - timedelta(minutes=2), "server", "track", event="Loyalty Card Linked", userId=person.user_id,
            properties={}, context={"traits": {"loyalty_card": person.card}}, channel="pos",
        )  # fmt: skip
    lines = [(random.choice(PRODUCTS), random.choice((1, 1, 2))) for _ in range(random.choice((1, 1, 2, 3)))]
    yield from order(actor, at, lines, till=random.choice(("berlin-mitte", "hamburg-altona", "wien-7")))


def complaint(actor: Actor, at: datetime) -> Iterator[Touch]:
    """A ticket that is solved days later, and how content the customer is with that."""
    random, who = actor.random, {"userId": actor.person.user_id, "channel": "support"}
    subject, body = random.choice(TICKETS)
    ticket = actor.next_name("ticket")
    opened = {"ticket_id": ticket, "subject": subject, "body": body, "priority": random.choice(("low", "normal", "high"))}
    yield actor.touch(at, "server", "track", event="Support Ticket Opened", properties=opened, **who)
    if random.random() < 0.9:
        solved_at = at + timedelta(hours=random.uniform(1, 96))
        yield actor.touch(solved_at, "server", "track", event="Support Ticket Solved", properties={"ticket_id": ticket}, **who)
        if random.random() < 0.5:
            score = random.choice((1, 2, 3, 4, 4, 5, 5))
            answer = {"survey_type": "csat", "score": score, "survey_id": actor.next_name("csat")}
            yield actor.touch(
                solved_at + timedelta(hours=1), "server", "track", event="Survey Answered", properties=answer, **who
            )


def survey(actor: Actor, at: datetime) -> Iterator[Touch]:
    score, comment = actor.random.choice(COMMENTS)
    answer = {"survey_type": "nps", "score": score, "comment": comment, "survey_id": actor.next_name("nps")}
    yield actor.touch(at, "server", "track", event="Survey Answered", userId=actor.person.user_id, properties=answer)


def mention(actor: Actor, at: datetime) -> Iterator[Touch]:
    """A post under the customer's handle; the back office knows whose handle it is."""
    text = actor.random.choice(MENTIONS)
    properties = {"mention_id": actor.next_name("post"), "network": "mastodon", "text": text}
    handle = {"externalIds": [{"type": "mastodon", "id": actor.person.handle}]}
    yield actor.touch(
        at, "server", "track", event="Social Mention Posted", userId=actor.person.user_id, properties=properties, context=handle,
        channel="social",
    )  # fmt: skip


def newsletter(actor: Actor, at: datetime) -> Iterator[Touch]:
    """The mail provider's word about last month's newsletter."""
    random = actor.random
    mail = {"email_id": actor.next_name("mail"), "campaign_id": "monthly", "email_subject": "Fresh this month"}
    who = {"context": {"traits": {"email": actor.person.email}}, "channel": "email"}
    yield actor.touch(at, "server", "track", event="Email Delivered", properties=mail, **who)
    if random.random() < 0.4:
        opened_at = at + timedelta(minutes=random.uniform(5, 2000))
        yield actor.touch(opened_at, "server", "track", event="Email Opened", properties=mail, **who)
        if random.random() < 0.25:
            link = mail | {"link_url": f"{SHOP}/new"}
            clicked_at = opened_at + timedelta(seconds=20)
            yield actor.touch(clicked_at, "server", "track", event="Email Link Clicked", properties=link, **who)
