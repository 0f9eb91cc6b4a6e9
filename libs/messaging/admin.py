"""Topics as libs.events.topics declares them, made or checked; and how far consumers are behind. For starts and the CLI."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)

from libs.events.topics import DAY_MS, TOPICS, Topic, dead_letter_topic
from libs.kit.logging import get_logger
from libs.kit.settings import PlatformSettings
from libs.messaging.connection import build_client_options, explain_failure
from libs.messaging.errors import SourceUnavailable, TopicsMissing
from libs.messaging.ports import TopicPartition

log = get_logger(__name__)

DEAD_LETTERS_KEPT_MS = 30 * DAY_MS
_ANY_TIME_MS = 2**63 - 1
_FOR_EVER_MS = -1
_TIMEOUT_MS = 15_000
_USUAL_REPLICAS = 3
_VISIBLE_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as the broker knows it, by its declared name."""

    name: str
    partitions: int
    configs: Mapping[str, str]

    @property
    def compacted(self) -> bool:
        return self.configs["cleanup.policy"] == "compact"


def build_topic_specs(
    topics: Iterable[Topic] | None = None, consumers: Mapping[str, Collection[str]] | None = None
) -> list[TopicSpec]:
    """The topics and a dead-letter topic for each consumer of each. `consumers`: group -> topics; else as the topics declare."""
    chosen = list(TOPICS.values() if topics is None else topics)
    groups = declared_consumers(chosen) if consumers is None else consumers
    specs = [TopicSpec(topic.name, topic.partitions, _build_configs(topic)) for topic in chosen]
    dead_letters = _build_deleting(DEAD_LETTERS_KEPT_MS)
    specs.extend(
        TopicSpec(dead_letter_topic(group, name), 1, dead_letters) for group, names in groups.items() for name in sorted(names)
    )
    return specs


def declared_consumers(topics: Iterable[Topic]) -> dict[str, set[str]]:
    """Group -> the topics it consumes."""
    groups: dict[str, set[str]] = {}
    for topic in topics:
        for consumer in topic.consumers:
            groups.setdefault(consumer, set()).add(topic.name)
    return groups


def _build_configs(topic: Topic) -> Mapping[str, str]:
    if not topic.compact:
        return _build_deleting(_FOR_EVER_MS if topic.retention_ms is None else topic.retention_ms)
    return _common() | {
        "cleanup.policy": "compact",
        # A tombstone must have compacted its key within the promised days; a reader has a week to see each version.
        "min.compaction.lag.ms": str(7 * DAY_MS),
        "max.compaction.lag.ms": str(8 * DAY_MS),
        "delete.retention.ms": str(DAY_MS),
    }


def _build_deleting(retention_ms: int) -> Mapping[str, str]:
    return _common() | {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}


def _common() -> dict[str, str]:
    return {
        # Only closed segments are deleted or compacted: a day is how much later than its date data goes.
        "segment.ms": str(DAY_MS),
        "message.timestamp.type": "CreateTime",
        # Tests move the installation's clock months ahead; the broker's own clock stays.
        "message.timestamp.after.max.ms": str(_ANY_TIME_MS),
    }


@asynccontextmanager
async def connect_admin(settings: PlatformSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises SourceUnavailable where no broker answers."""
    admin = AIOKafkaAdminClient(**build_client_options(settings), client_id="rapport-admin", request_timeout_ms=_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        raise SourceUnavailable(await explain_failure(settings, error)) from error
    finally:
        await admin.close()


@asynccontextmanager
async def connect_reader(settings: PlatformSettings, *, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without membership, for offsets and for reading chosen partitions. `group` is where it commits."""
    reader = AIOKafkaConsumer(
        **build_client_options(settings),
        client_id="rapport-admin",
        group_id=None if group is None else settings.topic_prefix + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=_TIMEOUT_MS,
    )
    try:
        await reader.start()
        yield reader
    except (KafkaError, OSError) as error:
        raise SourceUnavailable(await explain_failure(settings, error)) from error
    finally:
        await reader.stop()


async def ensure_topics(
    settings: PlatformSettings,
    topics: Iterable[Topic] | None = None,
    consumers: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Create what is missing; what is there stays as its operator set it. Several processes may call this at the same time.

    With `topics_precreated` nothing is created: raises TopicsMissing with what the cluster's owner has to do.
    """
    specs = build_topic_specs(topics, consumers)
    async with connect_admin(settings) as admin:
        found = await _describe(admin, settings, specs)
        missing = [spec for spec in specs if spec.name not in found]
        if settings.topics_precreated:
            _check(specs, found, settings)
        elif missing:
            await _create(admin, settings, missing)
            await _wait_until_there(admin, settings, missing)
    for spec in specs:
        if spec.name in found and found[spec.name].partitions != spec.partitions:
            log.warning(
                "topic_has_other_partitions", topic=spec.name, found=found[spec.name].partitions, declared=spec.partitions
            )


async def _create(admin: AIOKafkaAdminClient, settings: PlatformSettings, missing: Collection[TopicSpec]) -> None:
    replicas = settings.topic_replication_factor
    if replicas < 1:
        replicas = await _default_replicas(admin)
    request = [
        NewTopic(settings.topic_prefix + spec.name, spec.partitions, replicas, topic_configs=dict(spec.configs))
        for spec in missing
    ]
    response = await admin.create_topics(request)
    refused = []
    for name, code, *text in response.topic_errors:
        error = for_code(code)
        if error not in (NoError, TopicAlreadyExistsError):
            refused.append(f"{name}: {(text and text[0]) or error.__name__}")
    if refused:
        raise TopicsMissing("the broker refuses to create topics: " + "; ".join(refused))
    log.info("topics_created", topics=[spec.name for spec in missing])


async def _wait_until_there(admin: AIOKafkaAdminClient, settings: PlatformSettings, created: Collection[TopicSpec]) -> None:
    """The controller has made them; the brokers hear of it a moment later."""
    async with asyncio.timeout(_TIMEOUT_MS / 1000):
        while len(await _describe(admin, settings, created)) < len(created):  # noqa: ASYNC110 - the broker sends no event
            await asyncio.sleep(_VISIBLE_PAUSE_S)


async def _default_replicas(admin: AIOKafkaAdminClient) -> int:
    """The broker's default. The client's protocol version can't say "your default", so it is asked for it."""
    brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
    asked = ConfigResource(ConfigResourceType.BROKER, str(brokers[0]), {"default.replication.factor": None})
    try:
        (answer,) = await admin.describe_configs([asked])
        values = {entry[0]: entry[1] for resource in answer.resources for entry in resource[4]}
        return int(values["default.replication.factor"])
    except (KafkaError, KeyError, ValueError):
        # Managed clusters don't show their brokers' configuration; three is what they run on.
        return min(_USUAL_REPLICAS, len(brokers))


async def _describe(admin: AIOKafkaAdminClient, settings: PlatformSettings, specs: Collection[TopicSpec]) -> dict[str, TopicSpec]:
    """The topics that exist, by declared name."""
    prefix = settings.topic_prefix
    described: list[dict[str, Any]] = await admin.describe_topics([prefix + spec.name for spec in specs])
    counts = {
        topic["topic"].removeprefix(prefix): len(topic["partitions"])
        for topic in described
        if for_code(topic["error_code"]) is NoError
    }
    if not counts:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, prefix + name, {"cleanup.policy": None}) for name in counts]
    policies: dict[str, str] = {}
    for answer in await admin.describe_configs(asked):
        for resource in answer.resources:
            values = {entry[0]: entry[1] for entry in resource[4]}
            policies[resource[3].removeprefix(prefix)] = values.get("cleanup.policy", "")
    return {name: TopicSpec(name, count, {"cleanup.policy": policies.get(name, "")}) for name, count in counts.items()}


def _check(specs: Iterable[TopicSpec], found: Mapping[str, TopicSpec], settings: PlatformSettings) -> None:
    """Raise TopicsMissing that names every topic to be made or mended."""
    wrong = []
    for spec in specs:
        name = settings.topic_prefix + spec.name
        there = found.get(spec.name)
        if there is None:
            configs = " ".join(f"--config {key}={value}" for key, value in sorted(spec.configs.items()))
            wrong.append(f"{name} is missing: --create --topic {name} --partitions {spec.partitions} {configs}")
        elif there.configs["cleanup.policy"] and spec.compacted != there.compacted:
            wrong.append(f"{name} has cleanup.policy={there.configs['cleanup.policy']}, needed: {spec.configs['cleanup.policy']}")
    if wrong:
        raise TopicsMissing("RAPPORT_TOPICS_PRECREATED is set, and\n" + "\n".join(wrong))


async def list_topics(settings: PlatformSettings) -> dict[str, TopicSpec]:
    """The declared topics that exist, with the partitions they have."""
    async with connect_admin(settings) as admin:
        return await _describe(admin, settings, build_topic_specs())


async def consumer_lag(settings: PlatformSettings, group: str) -> dict[TopicPartition, int]:
    """Records each partition has that the group hasn't committed yet; all of them where it never committed."""
    topics = declared_consumers(TOPICS.values()).get(group, set())
    return await compute_lag(settings, group, topics)


async def _list_committed(admin: AIOKafkaAdminClient, group: str) -> Mapping[KafkaPartition, Any]:
    """What a group has committed. The first question makes a new broker's offsets topic: it may take a moment to answer."""
    async with asyncio.timeout(_TIMEOUT_MS / 1000):
        while True:
            try:
                committed: Mapping[KafkaPartition, Any] = await admin.list_consumer_group_offsets(group)
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
                await asyncio.sleep(_VISIBLE_PAUSE_S)
            else:
                return committed


async def compute_lag(settings: PlatformSettings, group: str, topics: Collection[str]) -> dict[TopicPartition, int]:
    """`consumer_lag` for topics of one's own choice."""
    prefix = settings.topic_prefix
    async with connect_admin(settings) as admin:
        committed = await _list_committed(admin, prefix + group)
        described = await admin.describe_topics([prefix + topic for topic in topics])
    partitions = [
        KafkaPartition(topic["topic"], partition["partition"]) for topic in described for partition in topic["partitions"]
    ]
    if not partitions:
        return {}
    async with connect_reader(settings) as reader:
        begins = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
    lag: dict[TopicPartition, int] = {}
    for partition in partitions:
        stored = committed[partition].offset if partition in committed else -1
        position = max(stored, begins[partition])
        lag[TopicPartition(partition.topic.removeprefix(prefix), partition.partition)] = max(0, ends[partition] - position)
    return lag
