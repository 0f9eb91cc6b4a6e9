"""The profile schema on real PostgreSQL, emptied for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.kit.db import Database, migrate
from tests.integration.profile.driving import Profiles, empty
from tests.integration.profile.running import Service, run_service
from tests.support.databases import run_apart

MIGRATIONS = Path(__file__).resolve().parents[3] / "services" / "profile" / "migrations"


@pytest.fixture(scope="module")
def profile_dsn(database_dsn: str) -> str:
    run_apart(migrate(database_dsn, schema="profile", script_location=MIGRATIONS))
    return database_dsn


@pytest.fixture
async def database(profile_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(profile_dsn, schema="profile", application_name="test-profile")
    await empty(database)
    yield database
    await database.close()


@pytest.fixture
def profiles(database: Database) -> Profiles:
    return Profiles(database)


@pytest.fixture
async def service(database: Database) -> AsyncIterator[Service]:
    async with run_service(database) as running:
        yield running
