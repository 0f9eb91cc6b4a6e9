"""What the migration helpers make is what the services declare."""

from libs.kit.db import pending_changes
from tests.contract.durable.schema import SCHEMA, declare_tables


async def test_migrated_and_declared_tables_agree(durable_dsn: str) -> None:
    assert await pending_changes(durable_dsn, schema=SCHEMA, metadata=declare_tables()) == []
