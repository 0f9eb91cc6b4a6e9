"""Who the customers are and how they live as customers: drawn once, from a buy-till-you-die process.

While alive a customer buys at a rate of their own (gamma over customers), and after each purchase may be lost for good with
a probability of their own (beta over customers): BG/NBD, so that later models have something true to find.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from cli.demo.assortment import CAMPAIGNS, COUNTRIES, FIRST_NAMES, LAST_NAMES

RATE_SHAPE = 1.3
MEAN_DAYS_BETWEEN = 45.0
LOSS_ALPHA, LOSS_BETA = 1.0, 5.0
SHARED_DEVICE_SHARE = 0.06


@dataclass(frozen=True, slots=True)
class Person:
    """One customer. `devices` are anonymous ids; households share one."""

    number: int
    user_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    country: str
    card: str | None
    handle: str | None
    devices: tuple[str, ...]
    subscribes: bool
    campaign: dict[str, str] | None
    joined_at: datetime
    purchases_a_day: float
    loss: float
    till_share: float


def make_person(seed: int, number: int, begins_at: datetime, ends_at: datetime) -> Person:
    """The same seed and number make the same person."""
    random = Random(f"{seed}:person:{number}")
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    # Someone of the household joins on a device that is there already.
    shared = number > 0 and random.random() < SHARED_DEVICE_SHARE
    own = [_device_id(seed, number, place) for place in range(random.choice((1, 1, 1, 2, 2, 3)))]
    devices = (_device_id(seed, number - 1, 0), *own) if shared else tuple(own)
    return Person(
        number=number,
        user_id=f"c{number:05}",
        first_name=first,
        last_name=last,
        email=f"{first}.{last}.{number}@mail.example".lower(),
        phone=f"+4930{1_000_000 + number:07}",
        country=random.choice(COUNTRIES),
        card=f"9900{number:08}" if random.random() < 0.45 else None,
        handle=f"{first.lower()}{number}" if random.random() < 0.15 else None,
        devices=devices,
        subscribes=random.random() < 0.55,
        campaign=random.choice(CAMPAIGNS),
        joined_at=begins_at + timedelta(seconds=random.random() * (ends_at - begins_at).total_seconds()),
        purchases_a_day=random.gammavariate(RATE_SHAPE, 1 / (RATE_SHAPE * MEAN_DAYS_BETWEEN)),
        loss=random.betavariate(LOSS_ALPHA, LOSS_BETA),
        till_share=random.betavariate(1.5, 2.5),
    )


def _device_id(seed: int, number: int, place: int) -> str:
    return f"web-{seed}-{number:05}-{place}"
