"""Backing services as a provider runs them: TLS and passwords everywhere, topics made by their owner under a prefix."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import ANY_FREE, HOST, choose_port
from deploy.local.stack import LocalStack, build_part
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import ensure_topics
from tests.support.databases import create_database, run_apart
from tests.support.platform import describe_platform, run_platform
from tests.support.tls import Certificates, make_certificates, tls_front

PREFIX = "acme."
SERVICES = ("ingest", "profile")
PASSWORD = 'p\\a"ss word'  # as awkward as passwords are


class SecureKafka(Kafka):
    """With a listener that wants TLS and a password beside the plain one that its starter asks for readiness."""

    def __init__(self, home: Path, certificates: Certificates) -> None:
        super().__init__(home, choose_port(ANY_FREE))
        self._certificates = certificates
        self.secure_port = choose_port(ANY_FREE, taken=super().ports)

    @property
    def ports(self) -> frozenset[int]:
        return super().ports | {self.secure_port}

    def prepare(self) -> None:
        super().prepare()
        secure = f"SASL_SSL://{HOST}:{self.secure_port}"
        settings = dict(line.split("=", 1) for line in self.properties.read_text().splitlines())
        settings["listeners"] += f",{secure}"
        settings["advertised.listeners"] += f",{secure}"
        settings["listener.security.protocol.map"] += ",SASL_SSL:SASL_SSL"
        quoted = PASSWORD.replace("\\", "\\\\\\\\").replace('"', '\\\\"')
        settings |= {
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'org.apache.kafka.common.security.plain.PlainLoginModule required user_rapport="{quoted}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._certificates.server),
        }
        self.properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a provider hands out: addresses and passwords (`variables`); and the way in that only the provider has."""

    variables: Mapping[str, str]
    owner: PlatformSettings

    def make_topics(self) -> None:
        run_apart(ensure_topics(self.owner))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("managed")
    certificates = make_certificates(folder)
    with LocalStack(folder / "stack") as stack:
        stack.add(kafka := SecureKafka(stack.home, certificates))
        for name in ("postgres", "redis"):
            if (part := build_part(stack, name, ANY_FREE)) is not None:
                stack.add(part)
        stack.start_all(stack.parts)
        dsn = urlsplit(create_database(stack.postgres.address, "acme"))
        redis = (HOST, stack.redis.port if stack.redis is not None else 1)
        with (
            tls_front(certificates, (HOST, stack.postgres.port), "postgres") as postgres_port,
            tls_front(certificates, redis) as redis_port,
        ):
            secure_dsn = dsn._replace(
                netloc=f"{dsn.username}@{HOST}:{postgres_port}", query=f"sslmode=verify-full&sslrootcert={certificates.authority}"
            )
            yield Cluster(
                {
                    "RAPPORT_KAFKA": f"{HOST}:{kafka.secure_port}",
                    "RAPPORT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                    "RAPPORT_KAFKA_SASL_USERNAME": "rapport",
                    "RAPPORT_KAFKA_SASL_PASSWORD": PASSWORD,
                    "RAPPORT_KAFKA_SSL_CAFILE": str(certificates.authority),
                    "RAPPORT_TOPIC_PREFIX": PREFIX,
                    "RAPPORT_TOPICS_PRECREATED": "true",
                    "RAPPORT_POSTGRES": secure_dsn.geturl(),
                    "RAPPORT_REDIS": f"rediss://{HOST}:{redis_port}/0",
                    "RAPPORT_REDIS_SSL_CAFILE": str(certificates.authority),
                },
                PlatformSettings(kafka=kafka.address, topic_prefix=PREFIX),
            )


def test_a_start_without_the_topics_says_which_to_make(cluster: Cluster, tmp_path: Path) -> None:
    others = dict(cluster.variables) | {"RAPPORT_TOPIC_PREFIX": "nobody-made-these."}
    refused = describe_platform(tmp_path / "home", others).start(SERVICES)
    assert refused.returncode != 0
    assert "nobody-made-these.touchpoints is missing: --create" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"RAPPORT_KAFKA_SASL_PASSWORD": "wrong"}, "authentication failed"),
        ({"RAPPORT_KAFKA_SSL_CAFILE": ""}, "certificate verify failed"),
    ],
)
def test_who_is_not_let_in_is_told_so_in_a_line(cluster: Cluster, tmp_path: Path, changed: dict[str, str], said: str) -> None:
    refused = describe_platform(tmp_path / "home", {**cluster.variables, **changed}).start(SERVICES)
    assert refused.returncode != 0
    assert said in refused.stderr.lower()
    assert "Traceback" not in refused.stderr + refused.stdout


def test_a_touchpoint_becomes_a_profile_over_tls(cluster: Cluster, tmp_path: Path) -> None:
    cluster.make_topics()
    with run_platform(tmp_path / "home", only=SERVICES, variables=cluster.variables) as platform:
        sent = platform.rapport(
            "send", "track", "Order Completed", "--user", "ada", "-p", "order_id=o1", "-p", "revenue=12.50", "-p", "currency=EUR",
            "--json",
        )  # fmt: skip
        assert json.loads(sent.stdout)["aggregates"]["orders"]["net_minor"] == {"EUR": 1250}
        topics = platform.rapport("kafka", "topics", "--list").stdout.split()
        assert f"{PREFIX}touchpoints" in topics
        groups = platform.rapport("kafka", "consumer-groups", "--list").stdout.split()
        assert f"{PREFIX}profile" in groups
        assert "profile" in platform.rapport("status").stdout
