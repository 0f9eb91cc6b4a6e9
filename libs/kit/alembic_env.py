"""What every `migrations/env.py` does, in one place. A service's file is three lines: import, import, `run_migrations(METADATA)`.

The connection comes from `libs.kit.db.migrate`, which holds the lock and sets the search path to the service's schema: migrations
name tables without a schema.
"""

from typing import TYPE_CHECKING

from alembic import context

from libs.kit.errors import ConfigurationRefused

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def run_migrations(metadata: "MetaData | None" = None) -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise ConfigurationRefused("Run migrations with `rapport migrate`: it locks the schema and sets the search path.")
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
