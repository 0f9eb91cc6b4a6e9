"""How to reach the brokers: what every aiokafka client needs, from the platform's settings."""

from ssl import SSLContext
from typing import Final, TypedDict

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from libs.kit.settings import PlatformSettings

_CHECK_TIMEOUT_MS: Final = 3_000


class ClientOptions(TypedDict):
    bootstrap_servers: list[str]
    security_protocol: str
    ssl_context: SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None


def build_client_options(settings: PlatformSettings) -> ClientOptions:
    """Keyword arguments of an aiokafka client, TLS and SASL included."""
    return ClientOptions(
        bootstrap_servers=[server.strip() for server in settings.kafka.split(",") if server.strip()],
        security_protocol=settings.kafka_security_protocol,
        ssl_context=_build_ssl_context(settings),
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_plain_username=settings.kafka_sasl_username,
        sasl_plain_password=settings.kafka_sasl_password,
    )


def _build_ssl_context(settings: PlatformSettings) -> SSLContext | None:
    if settings.kafka_security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context: SSLContext = create_ssl_context(
        cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
        certfile=str(settings.kafka_ssl_certfile) if settings.kafka_ssl_certfile else None,
        keyfile=str(settings.kafka_ssl_keyfile) if settings.kafka_ssl_keyfile else None,
    )
    return context


async def explain_failure(settings: PlatformSettings, error: BaseException) -> str:
    """In a line. A client says of every broker only that it couldn't start with it; why, one connection more tells."""
    reason = await _find_fault(settings) if isinstance(error, KafkaConnectionError) else None
    return f"Kafka at {settings.kafka}: {reason or str(error) or 'no answer'}"


async def _find_fault(settings: PlatformSettings) -> str | None:
    options = build_client_options(settings)
    for server in options.pop("bootstrap_servers"):  # type: ignore[misc]  # what is left are a connection's own options
        host, _, port = server.rpartition(":")
        try:
            connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=_CHECK_TIMEOUT_MS, **options)
        except (KafkaError, OSError, TimeoutError) as error:
            return str(error) or "no answer in time"
        connection.close()
    return None
