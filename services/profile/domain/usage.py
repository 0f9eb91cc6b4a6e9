"""When, where and with what a customer is active: counts by hour of day, channel and device, and the channel they prefer.

What a person did counts, not what was done to them or by a program. All counts are sums, all times maxima; of devices those are
kept whose hash is least, which is the same for every order and grouping.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from services.profile.domain.bounds import keep_least
from services.profile.domain.edits import COMMAND_SOURCES
from services.profile.domain.touchpoint import StatedDevice, Touchpoint
from services.profile.domain.values import NULL, encode_json, render_time

HOURS: Final = 24
_NO_HOURS: Final = (b"0",) * HOURS
DEVICES_MAX: Final = 32
"""Exact up to so many different devices of a profile; of more, those with the least hashes are known, with their whole counts."""

_DEVICE_CHARS: Final = 64
_DEVICES_SHOWN: Final = 10
_HOUR_US: Final = 3_600_000_000
_KINDS: Final = frozenset({"page", "screen", "track"})
_IMPORT: Final = "import"
_UNREACHABLE: Final = frozenset({"server", _IMPORT})
"""Channels in which nobody can be met."""

OF_OTHERS: Final = frozenset(
    {
        *(f"{channel} {state}" for channel in ("Email", "SMS", "Push") for state in ("Sent", "Delivered", "Bounced", "Dropped")),
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
    }
)
"""Standard names of what happens to a customer: the shop's doing, a provider's, a machine's."""


class Usage(Struct, array_like=True, gc=False):
    """How often by hour of day (UTC), channel and device; by channel also when last. Dictionaries of numbers cost the garbage
    collector nothing.
    """

    hours: dict[int, int] = {}
    channels: dict[str, int] = {}
    channels_us: dict[str, int] = {}
    devices: dict[str, int] = {}


def is_own(touchpoint: Touchpoint) -> bool:
    """Whether a person did this, at the time it bears. Rows of an imported file often know no more than the day."""
    device = touchpoint.device
    return (
        touchpoint.kind in _KINDS
        and touchpoint.name not in OF_OTHERS
        and touchpoint.channel != _IMPORT
        and (device is None or not device.bot)
        and touchpoint.source_id not in COMMAND_SOURCES
    )


def name_device(device: StatedDevice | None) -> str | None:
    """Kind, system and browser as one key; None where nothing of them is known."""
    if device is None or not (device.kind or device.os or device.browser):
        return None
    return _join_device(device.kind, device.os, device.browser)


@lru_cache(maxsize=4096)
def _join_device(*words: str | None) -> str:
    return "\n".join((word or "").replace("\n", " ")[:_DEVICE_CHARS] for word in words)


def fold_own(usage: Usage, channel: str, device: str | None, t_us: int) -> None:
    hour = t_us // _HOUR_US % HOURS
    usage.hours[hour] = usage.hours.get(hour, 0) + 1
    _count_channel(usage, channel, 1, t_us)
    if device is not None:
        usage.devices[device] = usage.devices.get(device, 0) + 1
        _forget_devices(usage)


def merge_usages(parts: Iterable[Usage]) -> Usage:
    """Never one of the parts themselves."""
    merged = Usage()
    for part in parts:
        for hour, count in part.hours.items():
            merged.hours[hour] = merged.hours.get(hour, 0) + count
        for channel, count in part.channels.items():
            _count_channel(merged, channel, count, part.channels_us[channel])
        for device, count in part.devices.items():
            merged.devices[device] = merged.devices.get(device, 0) + count
    _forget_devices(merged)
    return merged


def choose_channel(usage: Usage, responses: Mapping[str, int]) -> str | None:
    """The channel to meet the customer in. `responses`: by channel of messages how many of them were opened and clicked.

    The one with most responses, the first of equals as given; without any that with most activity, of equals the one used
    last, then the first by name.
    """
    if any(responses.values()):
        return max(responses, key=responses.__getitem__)
    used = [channel for channel in usage.channels if channel not in _UNREACHABLE]
    if len(used) < 2:  # noqa: PLR2004 - nothing to choose
        return used[0] if used else None
    return min(used, key=lambda channel: (-usage.channels[channel], -usage.channels_us[channel], channel))


def render_usage(usage: Usage, preferred: str | None) -> bytes:
    """Put together by hand: nearly every touchpoint of a website moves it. Channels are a few plain words."""
    hours = list(_NO_HOURS)
    for hour, count in usage.hours.items():
        hours[hour] = b"%d" % count
    used = sorted(usage.channels) if len(usage.channels) > 1 else usage.channels
    channels = [
        b'"%b":{"count":%d,"last_at":%b}' % (channel.encode(), usage.channels[channel], render_time(usage.channels_us[channel]))
        for channel in used
    ]
    devices = _render_devices(usage) if usage.devices else b'{"distinct":0,"top":[]}'
    chosen = NULL if preferred is None else b'"%b"' % preferred.encode()
    told = b",".join(hours), b",".join(channels), devices, chosen
    return b'{"hours":[%b],"channels":{%b},"devices":%b,"preferred_channel":%b}' % told


def _render_devices(usage: Usage) -> bytes:
    most = sorted(usage.devices, key=lambda device: (-usage.devices[device], device))
    top = [b'%b"count":%d}' % (_begin_device(device), usage.devices[device]) for device in most[:_DEVICES_SHOWN]]
    return b'{"distinct":%d,"top":[%b]}' % (len(usage.devices), b",".join(top))


@lru_cache(maxsize=4096)
def _begin_device(device: str) -> bytes:
    kind, system, browser = (word or None for word in device.split("\n"))
    return encode_json({"type": kind, "os": system, "browser": browser})[:-1] + b","


def _count_channel(usage: Usage, channel: str, count: int, last_us: int) -> None:
    usage.channels[channel] = usage.channels.get(channel, 0) + count
    known_us = usage.channels_us.get(channel)
    if known_us is None or last_us > known_us:
        usage.channels_us[channel] = last_us


def _forget_devices(usage: Usage) -> None:
    """Who is kept was never forgotten before."""
    keep_least(usage.devices, DEVICES_MAX)
