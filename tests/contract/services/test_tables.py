"""What a service's migrations make is what its tables declare."""

from importlib import import_module

import pytest

from libs.kit.db import pending_changes
from tests.support.services import open_schema

TABLES = {
    "ingest": "services.ingest.tables",
    "profile": "services.profile.tables",
    "segmentation": "services.segmentation.tables",
    "engagement": "services.engagement.tables",
    "loyalty": "services.loyalty.tables",
}


@pytest.mark.parametrize("service", TABLES)
async def test_migrated_and_declared_tables_agree(service: str, database_dsn: str) -> None:
    async with open_schema(database_dsn, service):
        metadata = import_module(TABLES[service]).METADATA
        assert await pending_changes(database_dsn, schema=service, metadata=metadata) == []
