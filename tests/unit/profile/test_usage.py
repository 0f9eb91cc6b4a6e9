"""When, where and with what a customer is active, sentence by sentence of docs/semantics.md."""

import random
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.touchpoints import Device, TouchpointRecorded
from services.profile.domain.usage import DEVICES_MAX, Usage, fold_own, merge_usages
from tests.builders.touchpoints import make_touchpoint
from tests.unit.profile.folded import aggregates

PHONE = Device("mobile", "Mobile Safari", "iOS")
DESK = Device("desktop", "Firefox", "Linux")


def activity(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = aggregates(*touchpoints)["activity"]
    return found


def visit(number: int, at: float = 0, *, channel: Any = "web", name: str = "Product Viewed", **said: Any) -> TouchpointRecorded:
    return make_touchpoint(number, channel=channel, name=name, at=at, **said)


def message(number: int, name: str, *, at: float = 0, **properties: Any) -> TouchpointRecorded:
    return make_touchpoint(number, channel="email", name=name, at=at, properties=properties)


def test_hours_are_utc_hours_of_what_the_customer_did_on_any_day() -> None:
    hours = activity(visit(1), visit(2, 59), visit(3, 60), visit(4, 24 * 60 + 1), visit(5, -12 * 60 - 1))["hours"]
    assert {hour: count for hour, count in enumerate(hours) if count} == {12: 3, 13: 1, 23: 1}


def test_what_others_did_bots_files_commands_and_other_calls_count_for_nothing() -> None:
    told = [
        visit(1, name="Order Refunded"),
        visit(2, name="Email Delivered", channel="email"),
        visit(3, device=Device("desktop", "Chrome", "Linux", bot=True)),
        visit(4, channel="import"),
        visit(5, source_id="profile-api"),
        visit(6, source_id="engagement", name="Consent Changed"),
        make_touchpoint(7, kind="identify", channel="web"),
    ]
    assert activity(*told) == {
        "hours": [0] * 24,
        "channels": {},
        "devices": {"distinct": 0, "top": []},
        "preferred_channel": None,
    }


def test_channels_tell_how_often_and_when_last() -> None:
    channels = activity(visit(1, 9), visit(2, 3), visit(3, 5, channel="pos"))["channels"]
    assert channels == {
        "pos": {"count": 1, "last_at": "2026-03-01T12:05:00.000Z"},
        "web": {"count": 2, "last_at": "2026-03-01T12:09:00.000Z"},
    }


def test_devices_are_kind_system_and_browser_the_most_used_first() -> None:
    devices = activity(visit(1, device=DESK), visit(2, 1, device=PHONE), visit(3, 2, device=PHONE), visit(4, device=Device()))
    assert devices["devices"]["distinct"] == 2
    assert devices["devices"]["top"][0] == {"type": "mobile", "os": "iOS", "browser": "Mobile Safari", "count": 2}


def test_the_preferred_channel_is_the_one_most_answered_in() -> None:
    walked = [visit(n, channel="pos") for n in range(1, 9)]
    assert activity(*walked)["preferred_channel"] == "pos"
    assert activity(*walked, message(10, "SMS Opened", sms_id="s"))["preferred_channel"] == "sms"
    told = [message(11, "Push Opened", push_id=1), message(12, "Push Opened", push_id=2), message(13, "SMS Clicked", sms_id="s")]
    assert activity(*told)["preferred_channel"] == "sms"  # a click is an opening and a click: two each, and sms stands first


def test_without_answers_it_is_the_busiest_then_the_latest_then_the_first_by_name() -> None:
    assert activity(visit(1), visit(2, channel="pos"), visit(3, channel="pos"))["preferred_channel"] == "pos"
    assert activity(visit(1, 5), visit(2, channel="pos"))["preferred_channel"] == "web"
    assert activity(visit(1), visit(2, channel="pos"))["preferred_channel"] == "pos"
    assert activity(visit(1, channel="server"))["preferred_channel"] is None


def test_a_message_that_is_only_sent_is_no_answer() -> None:
    assert activity(message(1, "SMS Sent", sms_id="s"), visit(2))["preferred_channel"] == "web"


@pytest.mark.parametrize("devices", [DEVICES_MAX, DEVICES_MAX + 1, 3 * DEVICES_MAX])
def test_many_devices_come_out_the_same_for_every_order_and_grouping(devices: int) -> None:
    told = [visit(n, n, device=Device("desktop", f"b{n % devices}", "Linux")) for n in range(2 * devices)]
    random.Random(devices).shuffle(told)
    # `fold` compares one by one, together, backwards and with the reference, which looks at all of them at once.
    assert activity(*told)["devices"]["distinct"] == min(devices, DEVICES_MAX)


POINTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["web", "pos"]), st.integers(0, 50), st.integers(-(10**13), 10**13))
)


@given(points=POINTS)
def test_the_merge_of_parts_is_the_whole(points: list[tuple[int, str, int, int]]) -> None:
    parts = [Usage() for _ in range(4)]
    whole = Usage()
    for part, channel, device, t_us in points:
        fold_own(parts[part], channel, f"d{device}", t_us)
        fold_own(whole, channel, f"d{device}", t_us)
    assert merge_usages(parts) == whole
    assert reduce(lambda a, b: merge_usages([b, a]), parts) == whole
