"""How much a source may send: a token bucket in whole numbers, so that it never drifts.

In any time t no more than `burst + rate * t` events pass. A request larger than the burst passes when the bucket is full, or it
could never be sent; what it took too much is waited for by those behind it.
"""

from typing import Final, NamedTuple

MICROS: Final = 1_000_000


class Rate(NamedTuple):
    """Events a second, and how many may come at once."""

    per_s: int
    burst: int


class Bucket(NamedTuple):
    """What is in it, in millionths of an event, at an instant in microseconds. Below nothing after a request too large for it."""

    level: int
    at_us: int


def admit(rate: Rate, bucket: Bucket | None, now_us: int, events: int) -> tuple[Bucket, int]:
    """The bucket after a request of so many events, and how many whole seconds it has to wait (0: it may go on).

    A new bucket is full. A request that has to wait takes nothing. A clock that runs backwards fills nothing.
    """
    full = rate.burst * MICROS
    if bucket is None:
        bucket = Bucket(full, now_us)
    elapsed_us = max(0, now_us - bucket.at_us)
    level = min(full, bucket.level + elapsed_us * rate.per_s)
    filled = Bucket(level, max(now_us, bucket.at_us))
    missing = min(events * MICROS, full) - level
    if missing > 0:
        return filled, -(-missing // (rate.per_s * MICROS))
    return filled._replace(level=level - events * MICROS), 0
