"""The promise under `kill -9`: whatever dies and whenever, every record counts once, and what is told last is the truth."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from uuid import UUID

import asyncpg
import pytest

from libs.events.envelope import Incoming, Outgoing
from libs.events.topics import dead_letter_topic
from libs.messaging.admin import compute_lag, ensure_topics
from libs.messaging.dead_letters import parse_dead_letter
from libs.messaging.errors import MessagingError, PublishFailed
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.producer import KafkaPublisher, PublisherOptions
from tests.integration.messaging.conftest import Crashable
from tests.integration.messaging.counter import COUNTED, GROUP, LOAD, TABLES
from tests.support.brokers import Recorder, make_topic
from tests.support.eventually import eventually

TOPICS = [make_topic(LOAD, partitions=6, consumers=(GROUP,)), make_topic(COUNTED, partitions=3)]


@dataclass
class Load:
    """Seeded records: some come twice or thrice, a few are poison or refused. Keys are few, so that they collide."""

    random: Random
    rates: tuple[float, float] = (0.0005, 0.0015)
    ids: dict[UUID, str] = field(default_factory=dict)
    dead: set[UUID] = field(default_factory=set)

    def draw(self, count: int) -> list[Outgoing]:
        return [self._repeat() if self.ids and self.random.random() < 0.15 else self._invent() for _ in range(count)]

    def expected(self) -> Counter[bytes]:
        return Counter(key.encode() for key in self.ids.values())

    def _invent(self) -> Outgoing:
        id_ = UUID(int=self.random.getrandbits(128))
        key = f"k{self.random.randrange(40)}"
        fate = self.random.random()
        poison, bad = self.rates
        value = b"poison" if fate < poison else b"bad" if fate < poison + bad else b"{}"
        if value == b"{}":
            self.ids[id_] = key
        else:
            self.dead.add(id_)
        return self._record(id_, key, value)

    def _repeat(self) -> Outgoing:
        id_ = self.random.choice(list(self.ids)[-500:])
        return self._record(id_, self.ids[id_], b"{}")

    def _record(self, id_: UUID, key: str, value: bytes) -> Outgoing:
        return Outgoing(LOAD, key.encode(), value, (("ce_id", str(id_).encode()),))


async def publish_until_acknowledged(publisher: KafkaPublisher, records: list[Outgoing]) -> None:
    while True:
        try:
            await publisher.publish(records)
        except PublishFailed as failed:
            if not failed.retryable:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def keep_publishing(crashable: Crashable, load: Load, stop: asyncio.Event) -> None:
    async with KafkaPublisher(crashable.settings, options=PublisherOptions(deadline_s=5.0)) as publisher:
        while not stop.is_set():
            await publish_until_acknowledged(publisher, load.draw(60))
            await asyncio.sleep(0.03)


async def kill_at_random(crashable: Crashable, random: Random, kills: int) -> Counter[str]:
    """Each kind comes before one comes again."""
    stack = crashable.stack
    victims = [stack.kafka, stack.postgres, *(part for name, part in stack.parts.items() if name.startswith("counter"))]
    random.shuffle(victims)
    killed: Counter[str] = Counter()
    for victim, _ in zip(cycle(victims), range(kills), strict=False):
        await asyncio.sleep(random.uniform(0.3, 2.5))
        await asyncio.to_thread(victim.kill)
        killed[victim.name] += 1
        await asyncio.sleep(random.uniform(0.0, 1.0))
        await asyncio.to_thread(victim.start)
    return killed


async def read_topic(crashable: Crashable, topic: str) -> list[Incoming]:
    lag = await compute_lag(crashable.settings, "nobody", [topic])
    source = KafkaSource(crashable.settings, "reader")
    await source.start([topic], Recorder())
    records: list[Incoming] = []
    try:
        while len(records) < sum(lag.values()):
            records.extend(await source.poll(topic, max_records=5_000, max_bytes=50_000_000, timeout_s=5))
    finally:
        await source.close()
    return records


async def has_caught_up(crashable: Crashable) -> bool:
    try:
        lag = await compute_lag(crashable.settings, GROUP, [LOAD])
        connection = await asyncpg.connect(crashable.dsn)
    except (MessagingError, OSError, asyncpg.PostgresError):
        return False
    left = await connection.fetchval("SELECT count(*) FROM counter.outbox")
    await connection.close()
    return sum(lag.values()) == 0 and left == 0


async def prepare(crashable: Crashable) -> None:
    await ensure_topics(crashable.settings, TOPICS)
    connection = await asyncpg.connect(crashable.dsn)
    await connection.execute(TABLES)
    await connection.close()


async def crash(crashable: Crashable, *, seed: int, kills: int) -> None:
    await prepare(crashable)
    for number in range(2):
        await asyncio.to_thread(crashable.make_counter(number).start)
    load, stop = Load(Random(seed)), asyncio.Event()
    publishing = asyncio.create_task(keep_publishing(crashable, load, stop))
    killed = await kill_at_random(crashable, Random(seed), kills)
    stop.set()
    await publishing
    await eventually(lambda: has_caught_up(crashable), within_s=60, pause_s=0.5)

    assert len(killed) == min(kills, 4)
    connection = await asyncpg.connect(crashable.dsn)
    counts = Counter({row["key"]: row["n"] for row in await connection.fetch("SELECT key, n FROM counter.counts")})
    await connection.close()
    assert counts == load.expected()
    assert sum(counts.values()) > 100 * kills
    last_told = {record.key: int(record.value or b"0") for record in await read_topic(crashable, COUNTED)}
    assert last_told == dict(counts)
    letters = map(parse_dead_letter, await read_topic(crashable, dead_letter_topic(GROUP, LOAD)))
    dead = {UUID(letter.headers["ce_id"].decode()): letter.reason for letter in letters}
    assert dead.keys() == load.dead
    assert set(dead.values()) <= {"bad", "handler_error"}


@pytest.mark.timeout(120)
async def test_a_member_with_a_name_goes_on_at_once_after_a_kill(crashable: Crashable) -> None:
    await prepare(crashable)
    counter = crashable.make_counter(0, COUNTER_SESSION_S="60")
    async with KafkaPublisher(crashable.settings) as publisher:
        load = Load(Random(1), rates=(0.0, 0.0))
        for _ in range(3):
            await asyncio.to_thread(counter.start)
            await publisher.publish(load.draw(50))
            # A member without a name would wait for the end of its predecessor's session.
            await eventually(lambda: has_caught_up(crashable), within_s=30)
            await asyncio.to_thread(counter.kill)


@pytest.mark.timeout(240)
async def test_every_record_counts_once_whatever_is_killed(crashable: Crashable) -> None:
    await crash(crashable, seed=20_260_101, kills=5)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_record_counts_once_through_many_kills(crashable: Crashable, seed: int) -> None:
    await crash(crashable, seed=seed, kills=30)
