"""A producer that was given up can't write behind its successor's back."""

from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from aiokafka.errors import KafkaError

from libs.kit.settings import PlatformSettings
from libs.messaging.admin import ensure_topics
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.producer_link import KafkaLink, ProducerIdentity
from tests.support.backing import Stack
from tests.support.brokers import join, make_topic, read_all

TOPIC = "snapshots"


@pytest.fixture
async def settings(stack: Stack) -> PlatformSettings:
    settings = PlatformSettings(kafka=stack.kafka, topic_prefix=f"t{uuid4().hex[:8]}-")
    await ensure_topics(settings, [make_topic(TOPIC, partitions=2)])
    return settings


async def connect(opened: AsyncExitStack, settings: PlatformSettings, predecessor: ProducerIdentity | None) -> KafkaLink:
    link = KafkaLink(settings, client_id="test", max_batch_bytes=10_000, request_timeout_s=10, predecessor=predecessor)
    await link.start()
    opened.push_async_callback(link.discard)
    return link


async def write(link: KafkaLink, settings: PlatformSettings, value: bytes, partition: int = 0) -> None:
    batch = link.create_batch()
    batch.append(timestamp=None, key=b"k", value=value, headers=[])
    await link.send(batch, settings.topic_prefix + TOPIC, partition)


async def read_values(settings: PlatformSettings, count: int) -> list[bytes | None]:
    source = KafkaSource(settings, "reader")
    try:
        await join(source, TOPIC)
        return [record.value for record in await read_all(source, TOPIC, count, within_s=3)]
    finally:
        await source.close()


async def test_once_the_successor_has_written_what_its_predecessor_sends_is_refused(settings: PlatformSettings) -> None:
    async with AsyncExitStack() as opened:
        given_up = await connect(opened, settings, None)
        await write(given_up, settings, b"1")
        successor = await connect(opened, settings, given_up.identity)
        await write(successor, settings, b"2")
        with pytest.raises(KafkaError):
            await write(given_up, settings, b"1, late")
        await write(successor, settings, b"3")

    assert await read_values(settings, 4) == [b"1", b"2", b"3"]


async def test_a_producer_that_never_wrote_to_a_partition_is_fenced_there_too(settings: PlatformSettings) -> None:
    async with AsyncExitStack() as opened:
        given_up = await connect(opened, settings, None)
        successor = await connect(opened, settings, given_up.identity)
        await write(successor, settings, b"2", partition=1)
        with pytest.raises(KafkaError):
            await write(given_up, settings, b"1, late", partition=1)

    assert await read_values(settings, 2) == [b"2"]


async def test_successors_go_on_for_many_generations(settings: PlatformSettings) -> None:
    async with AsyncExitStack() as opened:
        identity = None
        for number in range(5):
            link = await connect(opened, settings, identity)
            await write(link, settings, str(number).encode())
            assert identity is None or link.identity == ProducerIdentity(identity.producer_id, identity.epoch + 1)
            identity = link.identity

    assert await read_values(settings, 5) == [b"0", b"1", b"2", b"3", b"4"]


async def test_producers_that_are_strangers_are_not_fenced(settings: PlatformSettings) -> None:
    """What the first test would show without the succession."""
    async with AsyncExitStack() as opened:
        one, other = await connect(opened, settings, None), await connect(opened, settings, None)
        await write(one, settings, b"1")
        await write(other, settings, b"2")
        await write(one, settings, b"1, late")

    assert await read_values(settings, 3) == [b"1", b"2", b"1, late"]
