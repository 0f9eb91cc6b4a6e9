"""What must be there before a service starts: schemas at their newest version, keys, topics. All of it repeatable."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from cli.catalogue import SERVICES, ServiceEntry

if TYPE_CHECKING:
    from libs.kit.settings import PlatformSettings

Announce = Callable[[str], None]


async def prepare_database(
    settings: "PlatformSettings", announce: Announce, services: Collection[ServiceEntry] = SERVICES
) -> None:
    """Migrate `access` and each service's schema, one after the other: Alembic's context is one for the process.

    Then the identity key, and keys to work with: in production only the sources that the platform itself needs.
    """
    from libs.identity import load_or_create_key
    from libs.kit.access_tables import SCHEMA, migrate_access
    from libs.kit.auth import ensure_dev_keys, ensure_internal_sources
    from libs.kit.db import Database
    from libs.kit.migrate import migrate

    announce(f"migrating schema {SCHEMA}")
    await migrate_access(settings.postgres)
    for service in services:
        if service.migrations.is_dir():
            announce(f"migrating schema {service.name}")
            await migrate(settings.postgres, schema=service.name, script_location=service.migrations)
    load_or_create_key(settings.home, settings.identity_key)
    database = await Database.open(settings.postgres, schema=SCHEMA, application_name="rapport-cli", max_size=2)
    try:
        if settings.env == "production":
            async with database.transaction() as tx:
                await ensure_internal_sources(tx)
        else:
            await ensure_dev_keys(database, env=settings.env)
    finally:
        await database.close()


async def prepare_topics(settings: "PlatformSettings", announce: Announce) -> None:
    from libs.messaging.admin import ensure_topics

    announce("creating topics")
    await ensure_topics(settings)
