"""How to reach the brokers: what every aiokafka client needs, from the platform's settings."""

from ssl import SSLContext
from typing import TypedDict

from aiokafka.helpers import create_ssl_context

from libs.kit.settings import PlatformSettings


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
