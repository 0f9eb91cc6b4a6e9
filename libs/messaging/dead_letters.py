"""Dead letters: how a rejected record looks in its consumer's dead-letter topic, and how it comes back to that consumer only.

A replay carries a target. On a compacted topic it may not have the original key: it would become that key's latest record and
compaction would keep an old snapshot. There it goes under a key of its own, followed by a tombstone of that key, so that no copy
of it outlives compaction. The consumer gives the record its own key and time of receipt back before a handler sees it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from libs.events.envelope import Headers, Incoming, Outgoing
from libs.events.topics import dead_letter_topic
from libs.messaging.outcomes import Ignored, Reject

PREFIX = "rapport_dlq_"
REASON = PREFIX + "reason"
STEP = PREFIX + "step"
GROUP = PREFIX + "group"
TOPIC = PREFIX + "topic"
PARTITION = PREFIX + "partition"
OFFSET = PREFIX + "offset"
TIME = PREFIX + "time"
RECEIVED_MS = PREFIX + "received_ms"
TARGET = PREFIX + "target"
KEY = PREFIX + "key"
CLEAN_UP = PREFIX + "clean_up"

FOR_ANOTHER_CONSUMER = Ignored("replay_for_another_consumer")
CLEANED_UP = Ignored("replay_clean_up")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejected record and its notes. `offset` is its place in the dead-letter topic, `origin_*` where it was before."""

    offset: int
    group: str
    topic: str
    reason: str
    step: str
    failed_at: str
    origin_partition: int
    origin_offset: int
    received_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """The same for copies that a crash between commit and offset commit may have made."""
        event_id = self.headers.get("ce_id", b"").decode("utf-8", "replace")
        return self.topic, self.origin_partition, self.origin_offset, event_id


def _own_headers(headers: Mapping[str, bytes]) -> Headers:
    return tuple((name, value) for name, value in headers.items() if not name.startswith(PREFIX))


def build_dead_letter(record: Incoming, reject: Reject, *, group: str, now: datetime) -> Outgoing:
    """The record for `<group>-<topic>-dlq`. It is dated now, so that it is kept for 30 days however old the original is."""
    notes = (
        (REASON, reject.reason),
        (STEP, reject.step),
        (GROUP, group),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(record.offset)),
        (TIME, now.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
        (RECEIVED_MS, str(record.timestamp_ms)),
    )
    return Outgoing(
        topic=dead_letter_topic(group, record.topic),
        key=record.key or b"",
        value=record.value,
        headers=_own_headers(record.headers) + tuple((name, text.encode()) for name, text in notes),
        timestamp_ms=int(now.timestamp() * 1000),
    )


def parse_dead_letter(record: Incoming) -> DeadLetter:
    """Read a record of a dead-letter topic back. What a foreign tool left out is empty or 0."""

    def text(name: str) -> str:
        return record.headers.get(name, b"").decode("utf-8", "replace")

    def number(name: str) -> int:
        value = text(name)
        return int(value) if value.isdecimal() else 0

    return DeadLetter(
        offset=record.offset,
        group=text(GROUP),
        topic=text(TOPIC),
        reason=text(REASON),
        step=text(STEP),
        failed_at=text(TIME),
        origin_partition=number(PARTITION),
        origin_offset=number(OFFSET),
        received_ms=number(RECEIVED_MS) or record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=dict(_own_headers(record.headers)),
    )


def build_replay(letter: DeadLetter, *, compacted: bool, now: datetime) -> list[Outgoing]:
    """What to publish so that `letter.group`, and nobody else, gets the record again.

    It is dated now, so that retention leaves it time to be read; the time of receipt travels in a header.
    """
    notes = [(TARGET, letter.group.encode()), (RECEIVED_MS, str(letter.received_ms).encode())]
    key = letter.key or b""
    now_ms = int(now.timestamp() * 1000)
    if not compacted:
        return [Outgoing(letter.topic, key, letter.value, _own_headers(letter.headers) + tuple(notes), now_ms)]
    notes.append((KEY, key))
    own_key = f"dlq:{letter.group}:{letter.origin_partition}:{letter.origin_offset}:{now_ms}".encode()
    tombstone = Outgoing(letter.topic, own_key, None, ((TARGET, letter.group.encode()), (CLEAN_UP, b"1")), now_ms)
    return [Outgoing(letter.topic, own_key, letter.value, _own_headers(letter.headers) + tuple(notes), now_ms), tombstone]


def screen_replay(record: Incoming, *, group: str) -> Incoming | Ignored:
    """A record that carries a target, as its consumer shall see it: with the key and time it had; ignored by all others."""
    if CLEAN_UP in record.headers:
        return CLEANED_UP
    if record.headers[TARGET] != group.encode():
        return FOR_ANOTHER_CONSUMER
    received = record.headers.get(RECEIVED_MS, b"")
    return replace(
        record,
        key=record.headers.get(KEY, record.key),
        headers=dict(_own_headers(record.headers)),
        timestamp_ms=int(received) if received.isdigit() else record.timestamp_ms,
    )
