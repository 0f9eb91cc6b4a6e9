from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cli.demo.simulator import simulate

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPAN = (NOON - timedelta(days=548), NOON)


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    first, again = list(simulate(7, 40, *SPAN)), list(simulate(7, 40, *SPAN))
    assert first == again
    assert first != list(simulate(8, 40, *SPAN))


def test_touches_come_in_order_of_time_with_ids_of_their_own() -> None:
    touches = list(simulate(7, 60, *SPAN))
    assert all(earlier.at <= later.at for earlier, later in pairwise(touches))
    assert all(NOON - timedelta(days=548) <= touch.at < NOON for touch in touches)
    ids = Counter(touch.call["messageId"] for touch in touches)
    assert max(ids.values()) == 1


def test_everything_a_shop_sees_occurs() -> None:
    touches = list(simulate(1, 400, *SPAN))
    names = {touch.call.get("event") or touch.call["type"] for touch in touches}
    assert names >= {
        "page", "identify", "Product Viewed", "Product Added", "Order Completed", "Order Refunded", "Product Reviewed",
        "Support Ticket Opened", "Support Ticket Solved", "Survey Answered", "Social Mention Posted", "Loyalty Card Linked",
        "Email Delivered", "Email Opened", "Email Link Clicked", "Signed Up",
    }  # fmt: skip
    assert {touch.call.get("channel") for touch in touches} >= {"pos", "web", "support", "social", "email"}
    assert any("campaign" in touch.call.get("context", {}) for touch in touches)


def test_some_households_share_a_device() -> None:
    users_by_device: dict[str, set[str]] = {}
    for touch in simulate(1, 400, *SPAN):
        if touch.call["type"] == "identify":
            users_by_device.setdefault(touch.call["anonymousId"], set()).add(touch.call["userId"])
    assert sum(len(users) > 1 for users in users_by_device.values()) > 3


def test_a_browser_never_speaks_for_the_back_office() -> None:
    for touch in simulate(1, 100, *SPAN):
        if touch.sender == "browser":
            assert touch.call["type"] in {"page", "track", "identify"}
            assert touch.call.get("event") in {None, "Product Viewed", "Product Added"}
            assert touch.call.get("traits", {}) == {}
