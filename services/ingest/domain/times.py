"""When a touchpoint happened: the customer's word, corrected by how wrong the customer's clock evidently is."""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from libs.kit.times import parse_utc
from services.ingest.domain.reasons import Flag

NETWORK_DELAY: Final = timedelta(seconds=60)
"""A difference up to this between sending and receipt is the road, not the clock."""
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
NO_SKEW: Final = timedelta(0)

_MILLIS_LENGTH: Final = len("2026-01-01T00:00:00.000Z")


class Timing(Struct, frozen=True):
    """`original_at` is the customer's own word where it isn't what stands."""

    occurred_at: datetime
    original_at: datetime | None
    flags: tuple[Flag, ...]


def read_instant(text: str) -> datetime | None:
    """Any RFC 3339 instant, in UTC; None where it can't be read. The form that all JavaScript sends takes the short road."""
    if len(text) == _MILLIS_LENGTH and text[-1] == "Z" and text[19] == "." and text[10] == "T" and text[7] == "-":
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    try:
        return parse_utc(text)
    except ValueError:
        return None


def compute_skew(received_at: datetime, sent_at: datetime | None) -> timedelta:
    """By how much the sender's clock is behind ours; nothing where `sentAt` is missing or the difference is network delay."""
    if sent_at is None:
        return NO_SKEW
    skew = received_at - sent_at
    return NO_SKEW if abs(skew) <= NETWORK_DELAY else skew


def correct_time(stated: str | None, original: str | None, *, skew: timedelta, received_at: datetime) -> Timing:
    """The instant t: `timestamp`, else `originalTimestamp`, corrected by the skew; else the time of receipt, by our own clock.

    More than five minutes in the future after that: t = received, flagged. Nothing is too old.
    """
    said = read_instant(stated) if stated else None
    flags: tuple[Flag, ...] = ()
    if said is None:
        said = read_instant(original) if original else None
        flags = (Flag.TIMESTAMP_UNREADABLE,) if stated or (original and said is None) else ()
    if said is None:
        return Timing(received_at, None, flags)
    if skew:
        try:
            at = said + skew
        except OverflowError:
            flag = Flag.TIME_IN_FUTURE if skew > NO_SKEW else Flag.TIMESTAMP_UNREADABLE
            return Timing(received_at, said, (*flags, flag))
    else:
        at = said
    if at - received_at > FUTURE_TOLERANCE:
        return Timing(received_at, said, (*flags, Flag.TIME_IN_FUTURE))
    return Timing(at, None if at is said else said, flags)
