"""Dead-letter topics for operators: how many lie there, what they are, and sending them to the consumer that failed once more.

A replay remembers how far it came, as the committed offset of the group `<dead-letter topic>-replay`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from libs.events.envelope import Incoming
from libs.events.topics import TOPICS, dead_letter_topic
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import compute_lag, connect_reader, declared_consumers
from libs.messaging.dead_letters import DeadLetter, build_replay, parse_dead_letter
from libs.messaging.ports import Publisher

_READ_AT_ONCE = 500
_READ_TIMEOUT_MS = 2_000


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """`records` are there, `waiting` of them were never replayed."""

    group: str
    topic: str
    name: str
    records: int
    waiting: int


async def list_dead_letter_queues(settings: PlatformSettings) -> list[DeadLetterQueue]:
    """One line for each consumer of each declared topic, whether anything lies there or not."""
    queues = []
    for group, topics in sorted(declared_consumers(TOPICS.values()).items()):
        for topic in sorted(topics):
            name = dead_letter_topic(group, topic)
            total = await compute_lag(settings, f"{name}-nobody", [name])
            waiting = await compute_lag(settings, f"{name}-replay", [name])
            queues.append(DeadLetterQueue(group, topic, name, sum(total.values()), sum(waiting.values())))
    return queues


async def read_dead_letters(
    settings: PlatformSettings, group: str, topic: str, *, from_offset: int = 0, limit: int = 100
) -> list[DeadLetter]:
    """Dead letters in the order they came, at most `limit`, from an offset of the dead-letter topic on."""
    name = dead_letter_topic(group, topic)
    async with connect_reader(settings) as reader:
        partition = KafkaPartition(settings.topic_prefix + name, 0)
        reader.assign([partition])
        end = (await reader.end_offsets([partition]))[partition]
        return await _read(reader, partition, name, from_offset, end, limit)


async def replay_dead_letters(
    settings: PlatformSettings,
    publisher: Publisher,
    *,
    group: str,
    topic: str,
    now: datetime,
    offsets: Collection[int] | None = None,
    limit: int | None = None,
) -> int:
    """Send dead letters to the consumer that rejected them, and to no other. How many records that were.

    Without `offsets`: all that were never replayed. A crash in between sends some again, which the consumer takes as duplicates.
    """
    name = dead_letter_topic(group, topic)
    sent: set[tuple[str, int, int, str]] = set()
    async with connect_reader(settings, group=f"{name}-replay") as reader:
        partition = KafkaPartition(settings.topic_prefix + name, 0)
        reader.assign([partition])
        position = (await reader.committed(partition) or 0) if offsets is None else min(offsets, default=0)
        # As it is now: what the consumer rejects again comes behind, and would be sent again for ever.
        end = (await reader.end_offsets([partition]))[partition]
        while limit is None or len(sent) < limit:
            at_most = _READ_AT_ONCE if limit is None else min(_READ_AT_ONCE, limit - len(sent))
            letters = await _read(reader, partition, name, position, end, at_most)
            if not letters:
                break
            chosen = [letter for letter in letters if offsets is None or letter.offset in offsets]
            await _send(publisher, chosen, sent, now)
            position = letters[-1].offset + 1
            if offsets is None:
                await reader.commit({partition: position})
            elif position > max(offsets):
                break
    return len(sent)


async def _send(
    publisher: Publisher, letters: Collection[DeadLetter], sent: set[tuple[str, int, int, str]], now: datetime
) -> None:
    outgoing = []
    for letter in letters:
        if letter.identity not in sent and letter.topic in TOPICS:
            outgoing.extend(build_replay(letter, compacted=TOPICS[letter.topic].compact, now=now))
            sent.add(letter.identity)
    if outgoing:
        await publisher.publish(outgoing)


async def _read(
    reader: AIOKafkaConsumer, partition: KafkaPartition, name: str, from_offset: int, end: int, limit: int
) -> list[DeadLetter]:
    """At most `limit`, from `from_offset` to before `end`."""
    begin = (await reader.beginning_offsets([partition]))[partition]
    position = max(begin, from_offset)
    letters: list[DeadLetter] = []
    reader.seek(partition, position)
    while position < end and len(letters) < limit:
        fetched = await reader.getmany(partition, timeout_ms=_READ_TIMEOUT_MS, max_records=limit - len(letters))
        records = fetched.get(partition, [])
        if not records:
            break
        position = records[-1].offset + 1
        letters.extend(
            parse_dead_letter(Incoming(name, 0, record.offset, record.key, record.value, dict(record.headers), record.timestamp))
            for record in records
        )
    return letters
