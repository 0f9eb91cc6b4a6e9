"""Everybody's life as customers, in one stream ordered by time. The same seed and span give the same touchpoints."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import merge
from random import Random

from cli.demo.people import Person, make_person
from cli.demo.scenes import Actor, Touch, complaint, mention, newsletter, survey, till_purchase, visit

DAYS_BETWEEN_NEWSLETTERS = 30


def simulate(seed: int, people: int, begins_at: datetime, ends_at: datetime) -> Iterator[Touch]:
    """All touches of `people` customers from `begins_at` up to `ends_at`, in order of time."""
    lives = (live(make_person(seed, number, begins_at, ends_at), seed, ends_at) for number in range(people))
    return (touch for touch in merge(*lives, key=_in_order) if touch.at < ends_at)


def live(person: Person, seed: int, ends_at: datetime) -> Iterator[Touch]:
    """One customer from the first visit until they are lost or time ends, in order of time."""
    actor = Actor(person, Random(f"{seed}:life:{person.number}"), seed)
    return iter(sorted(_scenes(actor, ends_at), key=_in_order))


def _scenes(actor: Actor, ends_at: datetime) -> Iterable[Touch]:
    random, person = actor.random, actor.person
    at = person.joined_at
    yield from visit(actor, at, buys=False, first=True)
    newsletter_at = at + timedelta(days=DAYS_BETWEEN_NEWSLETTERS)
    while at < ends_at:
        gap_s = random.expovariate(person.purchases_a_day) * 86_400
        next_at = _in_opening_hours(at + timedelta(seconds=min(gap_s, 86_400 * 2_000)), random)
        if next_at >= ends_at:
            break
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            browse_at = at + (next_at - at) * random.random()
            yield from visit(actor, browse_at, buys=False, first=False)
        while person.subscribes and actor.is_known and newsletter_at < next_at:
            yield from newsletter(actor, newsletter_at)
            newsletter_at += timedelta(days=DAYS_BETWEEN_NEWSLETTERS)
        at = next_at
        if person.card is not None and random.random() < person.till_share:
            yield from till_purchase(actor, at)
        else:
            yield from visit(actor, at, buys=True, first=False)
        yield from _afterwards(actor, at)
        if random.random() < person.loss:
            break


def _afterwards(actor: Actor, at: datetime) -> Iterator[Touch]:
    """What a purchase may lead to; only who has an account complains, answers and posts where the shop can see it."""
    random = actor.random
    if not actor.is_known:
        return
    if random.random() < 0.07:
        yield from complaint(actor, at + timedelta(days=random.uniform(1, 6)))
    if random.random() < 0.1:
        yield from survey(actor, at + timedelta(days=random.uniform(2, 10)))
    if actor.person.handle is not None and random.random() < 0.2:
        yield from mention(actor, at + timedelta(days=random.uniform(0, 5)))


def _in_opening_hours(at: datetime, random: Random) -> datetime:
    return at.replace(hour=random.choice((8, 10, 12, 12, 13, 16, 17, 18, 19, 19, 20, 21)), minute=random.randint(0, 59))


def _in_order(touch: Touch) -> tuple[datetime, str]:
    return touch.at, touch.call["messageId"]
