"""How often the holder of one link may change their mind, and what a click out is called."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.engagement.domain.choices import MOST_CHOICES, HourlyChoices, name_unsubscribe

LATE = datetime(2026, 3, 1, 12, 59, 59, 500_000, UTC)


def test_each_message_has_its_own_count_and_each_hour_begins_anew() -> None:
    made = HourlyChoices()
    assert [made.admit(UUID(int=1), LATE) for _ in range(MOST_CHOICES + 1)] == [0] * MOST_CHOICES + [1]
    assert made.admit(UUID(int=2), LATE) == 0
    assert made.admit(UUID(int=1), LATE + timedelta(seconds=1)) == 0


def word(status: str, at: str, channel: str = "email", purpose: str = "marketing") -> dict[str, str]:
    return {"purpose": purpose, "channel": channel, "status": status, "at": at}


def test_a_click_out_is_named_by_the_latest_grant_that_it_takes_back() -> None:
    said = [
        word("denied", "2026-05"),
        word("granted", "2026-04", "sms"),
        word("granted", "2026-04", purpose="research"),
        word("granted", "2026-03", "*"),
    ]
    later = [word("granted", "2026-06"), *said]
    named = [name_unsubscribe(entries, "marketing", "email", LATE) for entries in (said, later, said[:3])]
    assert named == [f"unsubscribed:{granted}:20260301T1259" for granted in ("2026-03", "2026-06", "none")]


def test_a_click_out_a_minute_later_is_another_one() -> None:
    """A new grant may not have come to us yet."""
    first, second = (name_unsubscribe([], "marketing", "email", at) for at in (LATE, LATE + timedelta(minutes=1)))
    assert first != second
