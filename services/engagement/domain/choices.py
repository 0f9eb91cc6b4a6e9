"""How often the holder of one link may change their mind, and when a click out says something new. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from libs.consent import EVERY_CHANNEL

MOST_CHOICES: Final = 20
"""By one message's link within an hour of the clock, in each process."""
_HOUR: Final = timedelta(hours=1)


class HourlyChoices:
    """Counts by message. Every hour begins with nothing, so that it holds no more than one hour's."""

    def __init__(self) -> None:
        self._hour: datetime | None = None
        self._made: Counter[UUID] = Counter()

    def admit(self, message_id: UUID, now: datetime) -> int:
        """0, and it counts; or the seconds until the next may come, 1 or more."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._made = hour, Counter()
        if self._made[message_id] >= MOST_CHOICES:
            return math.ceil((hour + _HOUR - now) / timedelta(seconds=1))
        self._made[message_id] += 1
        return 0


def name_unsubscribe(consent: Sequence[Mapping[str, Any]], purpose: str, channel: str, now: datetime) -> str:
    """`unsubscribed:<time of the latest known grant, or none>:<minute>`: the same click only within a minute and without a known
    grant in between. A grant may be on its way to us; a click out must never be taken for an earlier one.
    """
    granted = [
        entry["at"]
        for entry in consent
        if entry["purpose"] == purpose and entry["channel"] in (channel, EVERY_CHANNEL) and entry["status"] == "granted"
    ]
    return f"unsubscribed:{max(granted, default='none')}:{now:%Y%m%dT%H%M}"
