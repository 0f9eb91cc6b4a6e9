"""Kafka's stock command-line tools, run from the broker's own jars: what `kafka-topics.sh` and its family would start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.class_archive import find_archive
from deploy.local.java import find_java
from deploy.local.kafka_jars import build_class_path, ensure_jars

LOGGING = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True, slots=True)
class Tool:
    """`bootstrap` and `client_config` are the options that take the address and the client's security settings, if any."""

    main_class: str
    summary: str
    bootstrap: str | None = "--bootstrap-server"
    client_config: str | None = "--command-config"


TOOLS: Mapping[str, Tool] = {
    "topics": Tool("org.apache.kafka.tools.TopicCommand", "create, list, describe, alter topics"),
    "consumer-groups": Tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "lag, members, reset offsets"),
    "console-consumer": Tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "print records", client_config="--consumer.config"
    ),
    "console-producer": Tool(
        "org.apache.kafka.tools.ConsoleProducer", "send lines as records", client_config="--producer.config"
    ),
    "configs": Tool("kafka.admin.ConfigCommand", "describe and alter configurations"),
    "get-offsets": Tool("org.apache.kafka.tools.GetOffsetShell", "first and last offsets"),
    "delete-records": Tool("org.apache.kafka.tools.DeleteRecordsCommand", "delete records up to an offset"),
    "groups": Tool("org.apache.kafka.tools.GroupsCommand", "list groups of all kinds"),
    "log-dirs": Tool("org.apache.kafka.tools.LogDirsCommand", "size on disk"),
    "acls": Tool("org.apache.kafka.tools.AclCommand", "access control lists"),
    "broker-api-versions": Tool("org.apache.kafka.tools.BrokerApiVersionsCommand", "what the broker speaks"),
    "metadata-quorum": Tool("org.apache.kafka.tools.MetadataQuorumCommand", "state of the controller quorum"),
    "features": Tool("org.apache.kafka.tools.FeatureCommand", "feature levels"),
    "producer-perf-test": Tool("org.apache.kafka.tools.ProducerPerformance", "write load", None, None),
    "consumer-perf-test": Tool("org.apache.kafka.tools.ConsumerPerformance", "read load", client_config="--consumer.config"),
    "dump-log": Tool("kafka.tools.DumpLogSegments", "print segment files", None, None),
}


def tool_name(given: str) -> str:
    """As people type them: `consumer-groups`, `kafka-consumer-groups`, `kafka-consumer-groups.sh`."""
    return given.removesuffix(".sh").removeprefix("kafka-")


def build_tool_arguments(tool: Tool, arguments: Sequence[str], *, bootstrap: str, client_config: Path | None) -> list[str]:
    """The arguments as given, with the address and security settings filled in where they weren't."""

    def is_missing(option: str) -> bool:
        return not any(argument == option or argument.startswith(f"{option}=") for argument in arguments)

    filled: list[str] = []
    if tool.bootstrap and is_missing(tool.bootstrap) and "--help" not in arguments:
        filled += [tool.bootstrap, bootstrap]
    if tool.client_config and client_config and is_missing(tool.client_config):
        filled += [tool.client_config, str(client_config)]
    return [*filled, *arguments]


def build_java_command(main_class: str, *arguments: str, jvm: Sequence[str] = (), archive: Path | None = None) -> list[str]:
    """Runs a class of the broker's jars. `archive`: see class_archive."""
    options = [*jvm, f"-Dlog4j2.configurationFile={LOGGING}"]
    if archive is not None:
        options.append(f"-XX:SharedArchiveFile={archive}")
    return [str(find_java()), *options, "-cp", build_class_path(ensure_jars()), main_class, *arguments]


def build_tool_command(tool: Tool, arguments: Sequence[str]) -> list[str]:
    archive = find_archive(find_java(), ensure_jars())
    return build_java_command(
        tool.main_class, *arguments, jvm=("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"), archive=archive
    )
