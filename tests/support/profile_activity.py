"""When, where and with what a customer was active, told again in the plain way of `profile_reference`."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from libs.events.touchpoints import TouchpointRecorded
from tests.support.profile_orders import properties_of, show

NOT_THEIR_DOING = [
    "Email Sent",
    "Email Delivered",
    "Email Bounced",
    "Email Dropped",
    "SMS Sent",
    "SMS Delivered",
    "SMS Bounced",
    "SMS Dropped",
    "Push Sent",
    "Push Delivered",
    "Push Bounced",
    "Push Dropped",
    "Push Notification Received",
    "Push Notification Bounced",
    "Live Chat Message Received",
    "Live Chat Conversation Ended",
    "Support Ticket Updated",
    "Support Ticket Solved",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
    "Lead Stage Changed",
    "Coupon Denied",
    "Trial Ended",
    "Invoice Paid",
    "Payment Failed",
    "Application Crashed",
    "Install Attributed",
]
Device = tuple[str, str, str]


def count_activity(touchpoints: Sequence[TouchpointRecorded]) -> dict[str, Any]:
    own = [touchpoint for touchpoint in touchpoints if is_own(touchpoint)]
    hours = Counter(touchpoint.occurred_at.hour for touchpoint in own)
    channels = {
        channel: {"count": len(told), "last_at": show(told[-1].occurred_at)}
        for channel, told in group(own, lambda touchpoint: touchpoint.channel).items()
    }
    return {
        "hours": [hours[hour] for hour in range(24)],
        "channels": channels,
        "devices": list_devices(own),
        "preferred_channel": prefer_channel(touchpoints, own),
    }


def is_own(touchpoint: TouchpointRecorded) -> bool:
    return (
        touchpoint.kind in ("page", "screen", "track")
        and touchpoint.name not in NOT_THEIR_DOING
        and touchpoint.channel != "import"
        and touchpoint.source_id not in ("profile-api", "engagement")
        and not (touchpoint.device is not None and touchpoint.device.bot)
    )


def group(told: Sequence[TouchpointRecorded], key: Callable[[TouchpointRecorded], Any]) -> dict[Any, list[TouchpointRecorded]]:
    found: dict[Any, list[TouchpointRecorded]] = {}
    for touchpoint in told:
        found.setdefault(key(touchpoint), []).append(touchpoint)
    return found


def device_of(touchpoint: TouchpointRecorded) -> Device:
    device = touchpoint.device
    return ("", "", "") if device is None else (device.kind or "", device.os or "", device.browser or "")


def list_devices(own: Sequence[TouchpointRecorded]) -> dict[str, Any]:
    known = group([touchpoint for touchpoint in own if any(device_of(touchpoint))], device_of)
    kept = sorted(known, key=hash_device)[:32]
    top = [
        {
            "type": device[0] or None,
            "os": device[1] or None,
            "browser": device[2] or None,
            "count": len(known[device]),
        }
        for device in sorted(kept, key=lambda device: (-len(known[device]), device))[:10]
    ]
    return {"distinct": len(kept), "top": top}


def hash_device(device: Device) -> bytes:
    return hashlib.blake2b("\n".join(device).encode(), digest_size=16).digest()


def prefer_channel(touchpoints: Sequence[TouchpointRecorded], own: Sequence[TouchpointRecorded]) -> str | None:
    answers = {}
    for channel, word in (("email", "Email"), ("sms", "SMS"), ("push", "Push")):
        clicked = ids_of(touchpoints, channel, f"{word} Clicked", f"{word} Link Clicked")
        opened = clicked | ids_of(touchpoints, channel, f"{word} Opened")
        answers[channel] = len(opened) + len(clicked)
    best = max(answers, key=lambda channel: answers[channel])  # the first of equals
    if answers[best]:
        return best
    used = group([one for one in own if one.channel != "server"], lambda touchpoint: touchpoint.channel)
    order = sorted(used, key=lambda channel: (-len(used[channel]), -used[channel][-1].occurred_at.timestamp(), channel))
    return order[0] if order else None


def ids_of(touchpoints: Sequence[TouchpointRecorded], channel: str, *names: str) -> set[str]:
    found = set()
    for touchpoint in touchpoints:
        if touchpoint.kind == "track" and touchpoint.order is None and touchpoint.name in names:
            stated = properties_of(touchpoint).get(f"{channel}_id")
            usable = isinstance(stated, str | int) and not isinstance(stated, bool) and str(stated).strip()
            found.add(str(stated) if usable else str(touchpoint.id))
    return found
