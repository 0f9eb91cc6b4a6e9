"""Topics are made as declared, left as they are found, and checked where the cluster's owner makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.events.topics import DAY_MS, TOPICS
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import connect_admin, consumer_lag, ensure_topics, list_topics
from libs.messaging.errors import SourceUnavailable, TopicsMissing
from libs.messaging.producer import KafkaPublisher
from tests.support.backing import Stack
from tests.support.brokers import make_outgoing


@pytest.fixture
def settings(stack: Stack) -> PlatformSettings:
    return PlatformSettings(kafka=stack.kafka, topic_prefix=f"t{uuid4().hex[:8]}-")


@asynccontextmanager
async def described(settings: PlatformSettings) -> AsyncIterator[dict[str, dict[str, str]]]:
    """Configuration of every topic of this installation, by declared name."""
    async with connect_admin(settings) as admin:
        names = [name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)]
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    yield {
        resource[3].removeprefix(settings.topic_prefix): {entry[0]: entry[1] for entry in resource[4]}
        for resource in answer.resources
    }


async def test_all_declared_topics_and_their_dead_letter_topics_are_made_as_the_design_says(settings: PlatformSettings) -> None:
    await asyncio.gather(*(ensure_topics(settings) for _ in range(3)))
    await ensure_topics(settings)

    dead_letters = {f"{consumer}-{topic.name}-dlq" for topic in TOPICS.values() for consumer in topic.consumers}
    topics = await list_topics(settings)
    assert topics.keys() == TOPICS.keys() | dead_letters
    assert {name: topic.partitions for name, topic in topics.items()} == {
        name: 1 if name in dead_letters else TOPICS[name].partitions for name in topics
    }
    async with described(settings) as configs:
        assert configs["touchpoints"]["retention.ms"] == str(7 * DAY_MS)
        assert {configs[name]["retention.ms"] for name in dead_letters} == {str(30 * DAY_MS)}
        changes = configs["profile-changes"]
    assert changes["cleanup.policy"] == "compact"
    assert changes["segment.ms"] == changes["delete.retention.ms"] == str(DAY_MS)
    assert changes["min.compaction.lag.ms"] == str(7 * DAY_MS)
    assert changes["max.compaction.lag.ms"] == str(8 * DAY_MS)


async def test_topics_made_by_others_are_checked_and_never_created(settings: PlatformSettings) -> None:
    checking = settings.model_copy(update={"topics_precreated": True})
    with pytest.raises(TopicsMissing, match=r"touchpoints is missing: --create .*--partitions 6 .*retention.ms=604800000"):
        await ensure_topics(checking)
    assert not await list_topics(settings)
    await ensure_topics(settings)
    await ensure_topics(checking)


async def test_lag_is_all_there_is_until_the_group_commits(settings: PlatformSettings) -> None:
    await ensure_topics(settings)
    async with KafkaPublisher(settings) as publisher:
        await publisher.publish([make_outgoing("touchpoints", f"k{n}", "{}") for n in range(50)])

    lag = await consumer_lag(settings, "profile")

    assert {partition.topic for partition in lag} == {"touchpoints", "segment-changes", "loyalty-events"}
    assert sum(lag.values()) == 50


async def test_a_record_stamped_far_in_the_future_is_taken_because_tests_move_the_clock(settings: PlatformSettings) -> None:
    await ensure_topics(settings)
    async with KafkaPublisher(settings) as publisher:
        await publisher.publish([make_outgoing("touchpoints", "k", "{}", timestamp_ms=4_100_000_000_000)])


async def test_without_a_broker_the_error_says_where_it_was_sought() -> None:
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1"):
        await ensure_topics(PlatformSettings(kafka="127.0.0.1:1"))
