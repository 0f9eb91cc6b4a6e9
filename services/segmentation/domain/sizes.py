"""Sizes over time, interval by interval."""

from collections.abc import Mapping
from typing import Any

from libs.kit.times import format_utc, from_micros


def show_sizes(
    size: int, entered: Mapping[int, int], exited: Mapping[int, int], from_us: int, to_us: int, interval_us: int
) -> list[dict[str, Any]]:
    """`size`: before the first interval. `entered` and `exited` by the start of an interval; the last one may be cut short."""
    items = []
    for start_us in range(from_us, to_us, interval_us):
        came, left = entered.get(start_us, 0), exited.get(start_us, 0)
        size += came - left
        end = format_utc(from_micros(min(start_us + interval_us, to_us)))
        items.append({"from": format_utc(from_micros(start_us)), "to": end, "size": size, "entered": came, "exited": left})
    return items
