"""Apache Kafka, one combined KRaft node, tuned for a small machine that also runs everything else."""

import socket
import struct
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Collection, Sequence
from pathlib import Path
from uuid import uuid4

from deploy.local.class_archive import ensure_archive
from deploy.local.errors import PartFailed
from deploy.local.java import find_java
from deploy.local.kafka_jars import build_class_path, ensure_jars
from deploy.local.kafka_tools import build_java_command
from deploy.local.part import Part
from deploy.local.ports import HOST, choose_port

_BEYOND_ASCII = 128
SERVER = "kafka.Kafka"
FORMATTER = "kafka.tools.StorageTool"
HEAP = ("-Xms256m", "-Xmx768m")
# One tier of compilation: of the first minute's work on two cores the optimising compiler alone would take a third.
JVM = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+PerfDisableSharedMem",
    "-Djava.awt.headless=true",
)
# Metadata request, version 1, no topics: its answer begins with the brokers that are up and unfenced.
_METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 1, -1, 0)
_PROBE_TIMEOUT_S = 1.0


def escape_property(text: str) -> str:
    """A value as Java's properties files want it: they are read as Latin-1, and a backslash begins an escape."""
    units = text.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < _BEYOND_ASCII else f"\\u{code:04x}" for code in codes)


def render_properties(data: Path, port: int, controller_port: int) -> str:
    """The broker's settings: a reason beside each that isn't the default of a single node."""
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": escape_property(str(data)),
        # Topics are declared in libs/events/topics.py; a misspelt name must fail, not appear.
        "auto.create.topics.enable": "false",
        "num.partitions": 6,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        # One node holds the internal topics too.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 6,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 6,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # Few threads: two cores are shared with the database and five services.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.replica.fetchers": 1,
        "num.recovery.threads.per.data.dir": 2,
        "background.threads": 2,
        "group.coordinator.threads": 1,
        # The cleaner's default dedupe buffer alone would take a sixth of the heap.
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "log.cleaner.backoff.ms": 30_000,
        "log.segment.bytes": 256 * 1024 * 1024,
        "log.retention.check.interval.ms": 300_000,
        "message.max.bytes": 4 * 1024 * 1024,
        "replica.fetch.max.bytes": 4 * 1024 * 1024,
        # A consumer alone in its group needn't wait for others; one that was killed is missed soon.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # After kill -9 the controller remembers the former broker this long before it lets the new one in.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        # No followers to wait for: fewer idle writes and wake-ups.
        "metadata.max.idle.interval.ms": 5_000,
        "controlled.shutdown.enable": "true",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


class Kafka(Part):
    name = "kafka"
    title = "Kafka"
    start_timeout_s = 60.0

    def __init__(self, home: Path, port: int, *, taken: Collection[int] = ()) -> None:
        """`taken`: ports promised to others, which its second one may not be."""
        super().__init__(home, port)
        self.controller_port = choose_port(port + 1, taken={port, *taken})

    @property
    def ports(self) -> frozenset[int]:
        return frozenset({self.port, self.controller_port})

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def properties(self) -> Path:
        return self.data / "server.properties"

    def prepare(self) -> None:
        if "," in str(self.data):
            raise PartFailed(f"Kafka can't keep its data in {self.data}: a comma parts folders.", hint="Choose another home.")
        self.data.mkdir(parents=True, exist_ok=True)
        self.properties.write_text(render_properties(self.data / "data", self.port, self.controller_port))
        if not (self.data / "data" / "meta.properties").exists():
            self._format()

    def command(self) -> Sequence[str]:
        return build_java_command(SERVER, str(self.properties), jvm=(*HEAP, *JVM), archive=self._archive())

    def is_ready(self) -> bool:
        """Whether the broker lists itself: it is past recovery, knows its partitions and the controller lets it serve."""
        with socket.create_connection((HOST, self.port), timeout=_PROBE_TIMEOUT_S) as probe:
            probe.sendall(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
            answer = probe.recv(64)
        # size, correlation id, number of brokers
        return len(answer) >= 12 and struct.unpack_from(">i", answer, 8)[0] > 0  # noqa: PLR2004 three 32-bit numbers

    def _archive(self) -> Path | None:
        jars = ensure_jars()
        return ensure_archive(find_java(), jars, build_class_path(jars))

    def _format(self) -> None:
        """Give the empty data folder its cluster id."""
        arguments = ("format", "--cluster-id", _new_cluster_id(), "--config", str(self.properties), "--ignore-formatted")
        done = subprocess.run(
            build_java_command(FORMATTER, *arguments, archive=self._archive()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines() or ["no reason given"]
            raise PartFailed(f"Kafka couldn't prepare its data folder: {said[-1]}", hint=f"Look at {self.data}")


def _new_cluster_id() -> str:
    """22 characters of URL-safe base 64, as the stock tools make them; a leading dash would look like an option."""
    while (text := urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return text
