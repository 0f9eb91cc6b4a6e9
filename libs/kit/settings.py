"""What operators set, read once at start from the environment. Names carry their units; nothing else reads os.environ."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
_LAST_PORT = 65_535
Port = Annotated[int, Field(ge=0, le=_LAST_PORT)]
CountryOrElsewhere = Annotated[str, Field(pattern=r"^([A-Z]{2}|\*)$")]


class PlatformSettings(BaseSettings):
    """Shared by every process of the installation. Environment prefix `RAPPORT_`."""

    model_config = SettingsConfigDict(env_prefix="RAPPORT_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    env: Literal["local", "test", "production"] = "local"

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, comma-separated."""
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = Field(default=None, repr=False)
    kafka_ssl_cafile: Path | None = None
    """Certificate authorities of the brokers; the system's where unset."""
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    kafka_instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """This process's name within its consumer group, the same after a restart and never two at once (static membership): killed
    and restarted, it takes its partitions back at once instead of after the session timeout. None: a new member each time."""
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    """Put before every topic and consumer group, for clusters that are shared."""
    topics_precreated: bool = False
    """The cluster's owner makes the topics: we only check that they are there."""
    topic_replication_factor: int = Field(default=-1, ge=-1)
    """-1: the broker's default."""

    postgres: str = Field(default="postgresql://postgres@127.0.0.1:5432/postgres", repr=False)
    """asyncpg/libpq URL; TLS by `?sslmode=verify-full&sslrootcert=/path`."""
    postgres_statement_timeout_ms: int = Field(default=30_000, ge=0)
    postgres_lock_timeout_ms: int = Field(default=10_000, ge=0)
    postgres_start_wait_s: float = Field(default=30.0, ge=0)
    """How long a starting process waits for the database to be there."""

    redis: str | None = Field(default=None, repr=False)
    """`redis://` or, with TLS, `rediss://`. None: limits are kept per process."""
    redis_ssl_cafile: Path | None = None

    consent_defaults: dict[CountryOrElsewhere, Literal["granted", "denied"]] = Field(default_factory=dict)
    """What silence means by ISO 3166 country code of the customer, as JSON: `{"US": "granted", "*": "denied"}`; `*` is everywhere
    else. Without a word of it silence means no."""

    home: Path = Path(".rapport")
    identity_key: str | None = Field(default=None, repr=False)
    """64 hex digits; else the file identity.key in `home`."""
    clock: Path | None = None
    """A file that moves time for all processes at once (tests only; refused in production)."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    default_currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    default_region: str = Field(default="DE", pattern=r"^[A-Z]{2}$")
    """Telephone numbers without a country code belong here."""

    @field_validator("kafka")
    @classmethod
    def _check_servers(cls, servers: str) -> str:
        for server in filter(None, map(str.strip, servers.split(","))):
            host, _, port = server.rpartition(":")
            if not (host and port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _LAST_PORT):
                raise ValueError("servers are written host:port, with commas between them")
        return servers

    @model_validator(mode="after")
    def _check_sasl(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError(
                "RAPPORT_KAFKA_SASL_USERNAME and RAPPORT_KAFKA_SASL_PASSWORD are needed with a SASL security protocol"
            )
        if self.env == "production" and self.clock is not None:
            raise ValueError("RAPPORT_CLOCK moves time for tests and is refused when RAPPORT_ENV=production")
        return self


class ServiceSettings(BaseSettings):
    """Base of each service's own settings: `class Settings(ServiceSettings)` with its own `env_prefix`, frozen as this one."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    platform: PlatformSettings = Field(default_factory=PlatformSettings)

    host: str = "127.0.0.1"
    port: Port = 8080
    listen_fd: int | None = None
    """A listening socket inherited from the parent process (also systemd's, number 3): requests wait in it over a restart."""
    reuse_port: bool = False
    """The next process may listen beside the present one (SO_REUSEPORT)."""
    processes: int = Field(default=1, ge=1, le=64)
    """Processes that answer requests; one of them is the worker, too. More than one pays where one core can't keep up."""
    backlog: int = Field(default=2048, ge=1)
    max_connections: int = Field(default=10_000, ge=1)
    request_patience_s: float = Field(default=20.0, gt=0)
    """How long a request may take to come; one that goes on coming earns more. Then 408, and the connection is closed."""
    stop_timeout_s: float = Field(default=25.0, gt=0)
    """How long requests and the worker may take to finish after SIGTERM; below Kubernetes' 30 s."""
    database_max_connections: int = Field(default=8, ge=1)
    batch_max_records: int = Field(default=2000, ge=1)


SHARED_METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def find_shared_metrics() -> str | None:
    """The folder where forked processes keep their metrics together: prometheus-client's variable, read when it is imported."""
    return os.environ.get(SHARED_METRICS_VARIABLE)


def build_environment(more: Mapping[str, str]) -> dict[str, str]:
    """What this process was started with, and more, for another."""
    return {**os.environ, **more}
