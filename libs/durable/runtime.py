"""What every service's composition root opens in the same order, and closes in the opposite one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.durable.installation import check_installation
from libs.identity import VERSION, IdentityKey, load_or_create_key
from libs.kit.auth import AccessCache
from libs.kit.clock import Clock, build_clock
from libs.kit.db import Database
from libs.kit.health import Health
from libs.kit.ids import IdFactory, build_id_factory
from libs.kit.settings import ServiceSettings
from libs.messaging.producer import KafkaPublisher


@dataclass(frozen=True, slots=True)
class Runtime:
    """The outside world of one process. `health` already knows the database."""

    clock: Clock
    new_id: IdFactory
    database: Database
    publisher: KafkaPublisher
    access: AccessCache
    identity_key: IdentityKey
    health: Health


@asynccontextmanager
async def open_runtime(settings: ServiceSettings, *, service: str) -> AsyncIterator[Runtime]:
    """Connect to PostgreSQL (schema `service`) and Kafka, check that the identity key fits the data, load the access keys.

    Raises ConfigurationRefused where the process must not start like this.
    """
    platform = settings.platform
    clock = build_clock(platform)
    identity_key = load_or_create_key(platform.home, platform.identity_key)
    database = await Database.open(
        platform.postgres,
        schema=service,
        application_name=f"rapport-{service}",
        max_size=settings.database_max_connections,
        statement_timeout_ms=platform.postgres_statement_timeout_ms,
        lock_timeout_ms=platform.postgres_lock_timeout_ms,
        wait_s=platform.postgres_start_wait_s,
    )
    try:
        async with database.transaction() as tx:
            await check_installation(tx, key_fingerprint=identity_key.fingerprint, identity_version=VERSION)
        access = AccessCache(database, env=platform.env)
        await access.start()
        publisher = KafkaPublisher(platform, client_id=f"rapport-{service}")
        await publisher.start()
        try:
            health = Health()
            health.add("postgres", database.ping)
            yield Runtime(clock, build_id_factory(clock), database, publisher, access, identity_key, health)
        finally:
            await publisher.stop()
            await access.close()
    finally:
        await database.close()
