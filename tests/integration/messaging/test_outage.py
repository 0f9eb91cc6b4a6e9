"""The publisher and the source while their broker dies, comes back, or hangs."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from libs.messaging.admin import ensure_topics
from libs.messaging.errors import PublishFailed
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.producer import KafkaPublisher, PublisherOptions
from tests.integration.messaging.conftest import Crashable
from tests.support.brokers import QUICK_SOURCE, Recorder, make_outgoing, make_topic
from tests.support.eventually import eventually

DEADLINE_S = 6.0
pytestmark = pytest.mark.timeout(180)


@dataclass
class Traffic:
    """Twenty writers, each with a key of its own and rising numbers; one reader."""

    topic: str
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, int]] = field(default_factory=list)
    slowest_s: float = 0.0
    log: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, publisher: KafkaPublisher, key: str) -> None:
        number = 0
        while not self.done.is_set():
            began_s = time.monotonic()
            try:
                await publisher.publish([make_outgoing(self.topic, key, str(number))])
            except PublishFailed:
                self.failed.append((key, number))
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.append((key, number))
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            number += 1
            await asyncio.sleep(0.01)

    async def consume(self, source: KafkaSource) -> None:
        while True:
            for record in await source.poll(self.topic, max_records=1000, max_bytes=10_000_000, timeout_s=0.2):
                # By place: a reader whose session ended while the broker hung gets everything again.
                self.log[record.partition, record.offset] = ((record.key or b"").decode(), int(record.value or b""))

    def has_all(self) -> bool:
        return set(self.log.values()).issuperset(self.acknowledged)

    def is_in_order(self) -> bool:
        """A record that was sent again may lie there twice, but never behind a newer one of its key."""
        by_key: dict[str, list[int]] = defaultdict(list)
        for place in sorted(self.log):
            key, number = self.log[place]
            by_key[key].append(number)
        return all(numbers == sorted(numbers) for numbers in by_key.values())


@asynccontextmanager
async def traffic(crashable: Crashable) -> AsyncIterator[Traffic]:
    running = Traffic("numbers")
    await ensure_topics(crashable.settings, [make_topic(running.topic, partitions=4)])
    source = KafkaSource(crashable.settings, "reader", options=QUICK_SOURCE)
    await source.start([running.topic], Recorder())
    reader = asyncio.create_task(running.consume(source))
    async with KafkaPublisher(crashable.settings, options=PublisherOptions(deadline_s=DEADLINE_S)) as publisher:
        writers = [asyncio.create_task(running.write(publisher, f"k{number}")) for number in range(20)]
        await eventually(lambda: len(running.acknowledged) > 200)
        yield running
        running.done.set()
        await asyncio.gather(*writers)
    try:
        await eventually(running.has_all, within_s=20)
    finally:
        reader.cancel()
        await asyncio.wait({reader})
        await source.close()


async def acknowledges_again(running: Traffic, *, within_s: float) -> None:
    before = len(running.acknowledged)
    await eventually(lambda: len(running.acknowledged) > before + 100, within_s=within_s)


async def test_a_killed_broker_costs_no_acknowledged_record_and_no_call_more_than_its_deadline(crashable: Crashable) -> None:
    async with traffic(crashable) as running:
        await asyncio.to_thread(crashable.stack.kafka.kill)
        await asyncio.to_thread(crashable.stack.kafka.start)
        await acknowledges_again(running, within_s=8)

    assert running.slowest_s < DEADLINE_S + 1
    assert running.is_in_order()


async def test_a_broker_that_hangs_gets_a_new_producer_and_the_order_of_keys_holds(crashable: Crashable) -> None:
    async with traffic(crashable) as running:
        for hang_s in (1.0, 5.0):
            pid = crashable.stack.kafka.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            await asyncio.to_thread(crashable.stack.kafka.giving_up.wait, hang_s)
            os.kill(pid, signal.SIGCONT)
            await acknowledges_again(running, within_s=8)

    assert running.slowest_s < DEADLINE_S + 1
    assert running.is_in_order()
