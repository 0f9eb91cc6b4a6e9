"""The last events as lines to read: what happened where, never to whom."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from json import loads

from cli.live import EVENTS_SHOWN
from libs.events.envelope import Incoming
from libs.events.topics import LOYALTY_EVENTS, SEGMENT_CHANGES, TOUCHPOINTS
from libs.kit.settings import PlatformSettings
from libs.messaging.tail import LogTail

Body = Mapping[str, object]


def describe_touchpoint(body: Body) -> str:
    return f"{body.get('name', '?')} ({body.get('channel', '?')})"


def describe_segment_change(body: Body) -> str:
    return f"{body.get('action', 'judged')} {body.get('segment_name') or body.get('segment_id') or ''}".strip()


def describe_loyalty_event(body: Body) -> str:
    return f"{body.get('delta', 0):+} points, balance {body.get('balance', '?')}"


DESCRIBERS: Mapping[str, Callable[[Body], str]] = {
    TOUCHPOINTS.name: describe_touchpoint,
    SEGMENT_CHANGES.name: describe_segment_change,
    LOYALTY_EVENTS.name: describe_loyalty_event,
}


def render_event(record: Incoming) -> str | None:
    """None for what says nothing to a reader: tombstones, answers to probes, unknown shapes."""
    try:
        body = loads(record.value or b"null")
    except ValueError:
        return None
    if not isinstance(body, dict) or record.event_type.endswith(".judged.v1") or body.get("cause") == "probe":
        return None
    at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).astimezone()
    return f"{at:%H:%M:%S}  {record.topic:<16} {DESCRIBERS[record.topic](body)}"


class EventTail:
    def __init__(self, settings: PlatformSettings) -> None:
        self._log = LogTail(settings, DESCRIBERS)
        self._lines: deque[str] = deque(maxlen=EVENTS_SHOWN)

    async def lines(self) -> Sequence[str]:
        for record in await self._log.latest(EVENTS_SHOWN):
            if (line := render_event(record)) is not None:
                self._lines.append(line)
        return tuple(self._lines)

    async def close(self) -> None:
        await self._log.close()
