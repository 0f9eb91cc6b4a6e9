from pathlib import Path

import pytest
from httpx import Response

from cli.addresses import read_settings, render_environment
from cli.commands.dead_letters import resolve_topic
from cli.commands.segments import load_definition
from cli.commands.send import parse_pairs
from cli.commands.stock_tools import render_client_properties
from cli.errors import CliError
from cli.http_client import describe_problem
from cli.mailbox import list_mail, read_mail
from cli.tail import render_event
from libs.events.envelope import Incoming


def test_the_environment_is_quoted_for_a_shell_and_plain_for_a_file() -> None:
    values = {"RAPPORT_POSTGRES": "postgresql://a@b/c?x=1&y=2"}
    assert render_environment(values, "shell") == "export RAPPORT_POSTGRES='postgresql://a@b/c?x=1&y=2'\n"
    assert render_environment(values, "dotenv") == "RAPPORT_POSTGRES=postgresql://a@b/c?x=1&y=2\n"


def test_properties_are_json_where_they_are_json() -> None:
    assert parse_pairs(["revenue=19.99", "gift=true", "sku=A-1", "note=a=b"]) == {
        "revenue": 19.99,
        "gift": True,
        "sku": "A-1",
        "note": "a=b",
    }
    assert parse_pairs(["user_id=12"], raw=True) == {"user_id": "12"}
    with pytest.raises(CliError):
        parse_pairs(["revenue"])


def test_a_segment_file_without_a_rule_or_with_odd_fields_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vip.yaml"
    file.write_text("id: vip\nrule: {view: aggregates.orders.count, gte: 3}\n")
    assert load_definition(file)["rule"] == {"view": "aggregates.orders.count", "gte": 3}
    for text in ("id: vip\n", "- 1\n", "rule: {}\nrules: {}\n", "a: [\n"):
        file.write_text(text)
        with pytest.raises(CliError):
            load_definition(file)


def test_a_topic_may_be_left_out_where_a_consumer_reads_only_one() -> None:
    assert resolve_topic("loyalty", "") == "profile-changes"
    assert resolve_topic("profile", "touchpoints") == "touchpoints"
    for consumer, topic in (("profile", ""), ("profile", "profile-changes"), ("nobody", "")):
        with pytest.raises(CliError):
            resolve_topic(consumer, topic)


def test_java_clients_get_the_same_security_settings() -> None:
    settings = read_settings(
        {
            "RAPPORT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "RAPPORT_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "RAPPORT_KAFKA_SASL_USERNAME": "ada",
            "RAPPORT_KAFKA_SASL_PASSWORD": 'a"b',
        }
    )
    properties = render_client_properties(settings)
    assert properties["security.protocol"] == "SASL_SSL"
    assert properties["sasl.jaas.config"].endswith('ScramLoginModule required username="ada" password="a\\\\"b";')
    assert render_client_properties(read_settings()) == {}


def test_java_clients_show_the_same_certificate(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("-----BEGIN\nabc\n", encoding="ascii")
    (tmp_path / "key.pem").write_text("-----BEGIN\nxyz\n", encoding="ascii")
    certificate = {"CERTFILE": str(tmp_path / "cert.pem"), "KEYFILE": str(tmp_path / "key.pem")}
    given = {f"RAPPORT_KAFKA_SSL_{name}": path for name, path in certificate.items()}
    properties = render_client_properties(read_settings({"RAPPORT_KAFKA_SECURITY_PROTOCOL": "SSL"} | given))
    assert properties["ssl.keystore.type"] == "PEM"
    assert properties["ssl.keystore.certificate.chain"] == "-----BEGIN\\nabc\\n"
    assert properties["ssl.keystore.key"] == "-----BEGIN\\nxyz\\n"


def test_problems_are_told_on_one_line_with_their_fields() -> None:
    body = {"title": "Invalid", "detail": "The rule is wrong.", "errors": [{"pointer": "/rule", "detail": "unknown form"}]}
    assert describe_problem(Response(422, json=body)) == "The rule is wrong. /rule: unknown form"
    assert describe_problem(Response(502, text="<html>")) == "Bad Gateway"


def record(topic: str, value: bytes | None, event_type: str = "rapport.touchpoint.recorded.v1") -> Incoming:
    return Incoming(topic, 0, 0, b"k", value, {"ce_type": event_type.encode()}, 1_700_000_000_000)


def test_events_are_told_by_what_happened_and_never_to_whom() -> None:
    value = b'{"name": "Order Completed", "channel": "pos", "identifiers": [{"kind": "email", "value": "ada@example.com"}]}'
    line = render_event(record("touchpoints", value))
    assert line is not None
    assert line.endswith("touchpoints      Order Completed (pos)")
    entered = render_event(record("segment-changes", b'{"action": "entered", "segment_name": "VIP"}', "x.membership_changed.v1"))
    assert entered is not None
    assert entered.endswith("entered VIP")


def test_what_says_nothing_to_a_reader_is_left_out() -> None:
    assert render_event(record("touchpoints", None)) is None
    assert render_event(record("touchpoints", b"{")) is None
    assert render_event(record("loyalty-events", b'{"cause": "probe"}')) is None
    assert render_event(record("segment-changes", b"{}", "rapport.segment.judged.v1")) is None


def test_mail_is_listed_newest_first_and_read_as_text(tmp_path: Path) -> None:
    for number, subject in ((1, "Old"), (2, "New")):
        text = f"X-Envelope-To: ada@example.com\r\nSubject: {subject}\r\nContent-Type: text/plain\r\n\r\nHello {number}"
        (tmp_path / f"{number:020d}-1-000000.eml").write_bytes(text.encode())
    assert [message.subject for message in list_mail(tmp_path, 10)] == ["New", "Old"]
    assert "Hello 2" in read_mail(tmp_path, 1)
    with pytest.raises(CliError):
        read_mail(tmp_path, 3)
