"""`kafka`: Kafka's own tools from the broker's jars, with the address filled in."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.addresses import load_settings
from cli.errors import fail
from cli.output import STDOUT, make_table
from cli.stack_traces import condense_traces

if TYPE_CHECKING:
    from libs.kit.settings import PlatformSettings

CONNECT_S = 5.0
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    app.command("kafka", context_settings=PASS_THROUGH, add_help_option=False)(kafka)


def kafka(ctx: typer.Context, tool: str = typer.Argument("", help="consumer-groups, topics, console-consumer, ...")) -> int:
    """Kafka's own tools: rapport kafka consumer-groups --describe --group profile."""
    from deploy.local.kafka_tools import TOOLS, build_tool_arguments, build_tool_command, tool_name

    name = tool_name(tool)
    if not name or name in {"-h", "--help"}:
        table = make_table("tool", "for")
        for known, about in TOOLS.items():
            table.add_row(known, about.summary)
        STDOUT.print(table)
        return 0
    if name not in TOOLS:
        fail(f"There is no Kafka tool {name}.", hint=f"Tools: {', '.join(TOOLS)}.")
    settings = load_settings(None)
    check_reachable(settings.kafka)
    with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
        config = write_client_config(settings, Path(folder))
        arguments = build_tool_arguments(TOOLS[name], ctx.args, bootstrap=settings.kafka, client_config=config)
        return run_tool(build_tool_command(TOOLS[name], arguments))


def run_tool(command: Sequence[str]) -> int:
    """Its output as it comes, its complaints without stack traces."""
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
            for line in condense_traces(process.stderr or ()):
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
    except KeyboardInterrupt:  # the usual way to end console-consumer
        return 0
    return process.returncode


def check_reachable(servers: str) -> None:
    """Java clients try for a minute and fill the screen before they say so."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S):
            return
    fail(f"No Kafka broker answers at {servers}.", hint="`rapport status` tells what runs, `rapport up` starts it.")


def write_client_config(settings: "PlatformSettings", folder: Path) -> Path | None:
    """The security settings as Java clients read them; None for a plain local broker."""
    properties = render_client_properties(settings)
    if not properties:
        return None
    path = folder / "client.properties"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("".join(f"{name}={value}\n" for name, value in properties.items()))
    return path


def render_client_properties(settings: "PlatformSettings") -> dict[str, str]:
    if settings.kafka_security_protocol == "PLAINTEXT":
        return {}
    properties: dict[str, str] = {"security.protocol": settings.kafka_security_protocol}
    if settings.kafka_security_protocol.startswith("SASL"):
        scram = settings.kafka_sasl_mechanism != "PLAIN"
        module = "scram.ScramLoginModule" if scram else "plain.PlainLoginModule"
        user, password = (quote_jaas(value or "") for value in (settings.kafka_sasl_username, settings.kafka_sasl_password))
        properties["sasl.mechanism"] = settings.kafka_sasl_mechanism
        properties["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required username={user} password={password};"
        )
    if settings.kafka_ssl_cafile:
        properties |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(settings.kafka_ssl_cafile)}
    if settings.kafka_ssl_certfile and settings.kafka_ssl_keyfile:
        properties |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": quote_lines(settings.kafka_ssl_certfile),
            "ssl.keystore.key": quote_lines(settings.kafka_ssl_keyfile),
        }
    return properties


def quote_lines(pem: Path) -> str:
    """A file's text as one property."""
    return pem.read_text(encoding="ascii").replace("\n", "\\n")


def quote_jaas(text: str) -> str:
    """Within a properties file a backslash must be doubled once more."""
    return '"' + text.replace("\\", "\\\\\\\\").replace('"', '\\\\"') + '"'
