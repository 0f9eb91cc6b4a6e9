from pathlib import Path

from deploy.local.java import parse_version
from deploy.local.kafka import render_properties
from deploy.local.kafka_tools import TOOLS, build_tool_arguments, tool_name
from deploy.local.postgres import render_settings


def parse(text: str, separator: str) -> dict[str, str]:
    return dict(line.split(separator, 1) for line in text.splitlines())


def test_java_versions_are_read_in_every_style() -> None:
    assert parse_version('openjdk version "17.0.15" 2025-04-15') == 17
    assert parse_version('openjdk version "25" 2025-09-16') == 25
    assert parse_version('java version "1.8.0_392"') == 1
    assert parse_version("The operation couldn't be completed.") is None


def test_the_broker_listens_on_loopback_only_and_makes_no_topics_by_itself() -> None:
    properties = parse(render_properties(Path("/data"), 9092, 9093), "=")
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["log.dirs"] == "/data"


def test_a_folder_of_any_alphabet_is_written_as_java_reads_it() -> None:
    properties = parse(render_properties(Path("/my home é\\\N{GRINNING FACE}"), 9092, 9093), "=")
    assert properties["log.dirs"] == "/my home \\u00e9\\\\\\ud83d\\ude00"


def test_postgres_keeps_every_promise_of_durability() -> None:
    settings = parse(render_settings(5432), " = ")
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert settings[name] == "'on'"
    assert settings["listen_addresses"] == "'127.0.0.1'"
    assert settings["port"] == "'5432'"


def test_tools_answer_to_the_names_people_type() -> None:
    assert {tool_name(name) for name in ("topics", "kafka-topics", "kafka-topics.sh")} == {"topics"}


def test_a_tool_gets_the_address_unless_it_was_given_one() -> None:
    topics = TOOLS["topics"]
    config = Path("/c")
    assert build_tool_arguments(topics, ["--list"], bootstrap="h:1", client_config=None) == [
        "--bootstrap-server",
        "h:1",
        "--list",
    ]
    given = ["--list", "--bootstrap-server", "x:2"]
    assert build_tool_arguments(topics, given, bootstrap="h:1", client_config=None) == given
    equals = ["--list", "--bootstrap-server=x:2"]
    assert build_tool_arguments(topics, equals, bootstrap="h:1", client_config=config) == ["--command-config", "/c", *equals]
    assert build_tool_arguments(TOOLS["dump-log"], ["--files", "a"], bootstrap="h:1", client_config=config) == ["--files", "a"]
