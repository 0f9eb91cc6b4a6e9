"""A seeded story for the crash run: orders, refunds before and after them, merges, shared devices, late and repeated touchpoints,
and beside them commands of those who work with it: profiles merged and split, bans lifted, consent and lead stages changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

SPAN = timedelta(days=40)
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "GBP", "JPY")


@dataclass(frozen=True, slots=True)
class Wish:
    """A command over HTTP, with the key under which it is asked for again. `lift`: of the ban of that many splits ago."""

    key: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    lift: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """`opening` is told before anything is killed (who they are, what they allow); `batches` while everything is.

    `wishes` come beside the batches, one after the other.
    """

    opening: list[list[dict[str, Any]]]
    batches: list[list[dict[str, Any]]]
    wishes: list[Wish]
    subscribers: frozenset[str]
    """E-mails of those who start a subscription and allowed to be written to: who must get a message, once."""

    def message_ids(self) -> set[str]:
        return {call["messageId"] for batch in (*self.opening, *self.batches) for call in batch}


def make_story(seed: int, *, touches: int = 1500, ends_at: datetime) -> Story:
    users = max(40, touches // 400)
    random = Random(f"crash:{seed}")
    teller = _Teller(random, ends_at)
    opening = [call for user in range(users) for call in teller.introduce(user)]
    calls: list[dict[str, Any]] = [teller.subscribe(user) for user in range(users) if random.random() < 0.6]
    subscribers = {f"u{int(call['userId'][1:])}@mail.example" for call in calls if int(call["userId"][1:]) % 3 != 0}
    while len(calls) < touches:
        calls.extend(teller.tell_something(random.randrange(users)))
    # Late and out of order: time of the customer and order of sending have nothing to do with each other.
    random.shuffle(calls)
    repeated = [call for call in calls if random.random() < 0.15]
    for call in repeated:
        calls.insert(random.randrange(len(calls)), call)
    wishes = [teller.wish(random.randrange(users)) for _ in range(min(600, touches // 40))]
    return Story(_cut(opening, 20), _cut(calls, 12 if touches < 20_000 else 60), wishes, frozenset(subscribers))


def _cut(calls: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [calls[start : start + size] for start in range(0, len(calls), size)]


class _Teller:
    def __init__(self, random: Random, ends_at: datetime) -> None:
        self._random = random
        self._ends_at = ends_at
        self._numbers = count()

    def _call(self, kind: str, *, within: timedelta = SPAN, **fields: Any) -> dict[str, Any]:
        at = self._ends_at - within * self._random.random()
        stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"type": kind, "messageId": f"m{next(self._numbers)}", "timestamp": stamp, **fields}

    def introduce(self, user: int) -> Iterator[dict[str, Any]]:
        """Two thirds allow mail."""
        traits = {"email": f"u{user}@mail.example", "firstName": f"Name{user}"}
        consent = {"consent": {"categoryPreferences": {"marketing": user % 3 != 0}}}
        yield self._call("identify", userId=f"u{user}", anonymousId=f"d0-{user}", traits=traits, context=consent)

    def subscribe(self, user: int) -> dict[str, Any]:
        return self._call("track", event="Subscription Started", userId=f"u{user}", properties={"plan": "beans"})

    def tell_something(self, user: int) -> Iterator[dict[str, Any]]:
        scenes = (self._visit, self._visit, self._order, self._order, self._till, self._ticket, self._review, self._mention)
        return iter(self._random.choice((*scenes, self._account, self._lead, self._consent, self._borrow))(user))

    def _visit(self, user: int) -> list[dict[str, Any]]:
        """On one of three devices, which sometimes says whose it is: a merge."""
        device = f"d{self._random.randrange(3)}-{user}"
        calls = [self._call("page", anonymousId=device, name="Home", properties={"path": "/"})]
        calls += [
            self._call("track", event="Product Viewed", anonymousId=device, properties={"product_id": f"p{n}"})
            for n in range(self._random.randrange(4))
        ]
        if self._random.random() < 0.25:
            calls.append(self._call("track", event="Signed In", userId=f"u{user}", anonymousId=device, properties={}))
        return calls

    def _money(self) -> float:
        return round(self._random.uniform(1, 250), 2)

    def _order(self, user: int) -> list[dict[str, Any]]:
        return self._order_by({"userId": f"u{user}"}, f"o{next(self._numbers)}")

    def _till(self, user: int) -> list[dict[str, Any]]:
        """By card; now and then the card is linked to the customer: a merge of two histories with orders."""
        card = {"context": {"externalIds": [{"type": "loyalty_card", "id": f"card-{user}"}]}, "channel": "pos"}
        calls = self._order_by(card, f"t{next(self._numbers)}")
        if self._random.random() < 0.3:
            link = {"traits": {"loyalty_card": f"card-{user}"}}
            calls.append(self._call("track", event="Loyalty Card Linked", userId=f"u{user}", properties={}, context=link))
        return calls

    def _order_by(self, who: dict[str, Any], order_id: str) -> list[dict[str, Any]]:
        random = self._random
        money = {"order_id": order_id, "revenue": self._money(), "currency": random.choice(CURRENCIES)}
        calls = [self._call("track", event="Order Completed", properties=money, **who)]
        if random.random() < 0.2:
            calls.append(self._call("track", event="Order Updated", properties=money | {"revenue": self._money()}, **who))
        if random.random() < 0.3:
            back: dict[str, Any] = {"order_id": order_id}
            if random.random() < 0.7:
                back["total"] = self._money()
            if random.random() < 0.5:
                back["refund_id"] = f"r{next(self._numbers)}"
            calls.append(self._call("track", event="Order Refunded", properties=back, **who))
        if random.random() < 0.1:
            calls.append(self._call("track", event="Order Cancelled", properties={"order_id": order_id}, **who))
        return calls

    def _ticket(self, user: int) -> list[dict[str, Any]]:
        ticket = {"ticket_id": f"k{next(self._numbers)}", "subject": "Where is it?"}
        calls = [self._call("track", event="Support Ticket Opened", userId=f"u{user}", properties=ticket)]
        if self._random.random() < 0.7:
            calls.append(self._call("track", event="Support Ticket Solved", userId=f"u{user}", properties=ticket))
        return calls

    def _review(self, user: int) -> list[dict[str, Any]]:
        review = {"review_id": f"v{next(self._numbers)}", "rating": str(self._random.randint(1, 5)), "product_id": "p1"}
        return [self._call("track", event="Product Reviewed", userId=f"u{user}", properties=review)]

    def _mention(self, user: int) -> list[dict[str, Any]]:
        text = self._random.choice(("I love this shop!", "Terrible service.", "Bought beans today."))
        post = {"mention_id": f"s{next(self._numbers)}", "text": text, "network": "mastodon"}
        return [self._call("track", event="Social Mention Posted", userId=f"u{user}", properties=post)]

    def _account(self, user: int) -> list[dict[str, Any]]:
        traits = {"name": f"Company {user % 7}", "plan": self._random.choice(("free", "gold", None))}
        return [self._call("group", userId=f"u{user}", groupId=f"company-{user % 7}", traits=traits)]

    def _lead(self, user: int) -> list[dict[str, Any]]:
        stage = {"stage": self._random.choice(("subscriber", "lead", "opportunity", "customer"))}
        calls = [self._call("track", event="Lead Captured", userId=f"u{user}", properties={"lead_source": "fair"})]
        return [*calls, self._call("track", event="Lead Stage Changed", userId=f"u{user}", properties=stage)]

    def _consent(self, user: int) -> list[dict[str, Any]]:
        """Of a purpose that no message needs."""
        said = {"consent": {"categoryPreferences": {"research": self._random.random() < 0.5}}}
        return [self._call("page", anonymousId=f"d0-{user}", name="Home", properties={"path": "/"}, context=said)]

    def _borrow(self, user: int) -> list[dict[str, Any]]:
        """Somebody signs in on another customer's device: it turns out to be shared, or to be theirs if they come first."""
        if self._random.random() < 0.7:
            return []
        return [self._call("track", event="Signed In", userId=f"u{user}", anonymousId=f"d2-{user // 2}", properties={})]

    # Commands

    def wish(self, user: int) -> Wish:
        """Identifiers that carry no message are split and merged: devices and cards."""
        random = self._random
        key = f"wish-{next(self._numbers)}"
        kind = random.choice(("split", "split", "split", "merge", "merge", "lift", "lift", "consent", "stage"))
        own = f"user_id:u{user}"
        other = random.choice((f"loyalty_card:card-{user}", f"anonymous_id:d{random.randrange(3)}-{user}"))
        if kind == "split":
            identifier = dict(zip(("kind", "value"), other.split(":"), strict=True))
            return Wish(key, "POST", f"/v1/profiles/{other}/split", {"identifier": identifier, "reason": "not theirs"})
        if kind == "merge":
            return Wish(key, "POST", f"/v1/profiles/{own}/merge", {"other": other, "reason": "the same person"})
        if kind == "lift":
            return Wish(key, "DELETE", "/v1/identity/bans", lift=random.randrange(4))
        if kind == "consent":
            said = {"purpose": "research", "channel": "sms", "status": random.choice(("granted", "denied"))}
            return Wish(key, "PUT", f"/v1/profiles/{own}/consent", said)
        return Wish(key, "POST", f"/v1/profiles/{own}/lead/stage", {"stage": random.choice(("lead", "customer"))})
