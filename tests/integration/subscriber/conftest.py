"""A subscriber's schema, and a small follower that judges by counting: what every real one does, in three lines."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.events.envelope import Incoming, Outgoing
from libs.kit.db import Database, Tx
from libs.messaging.ports import BatchResult
from libs.subscriber import Affected, FactTouchpoint, apply_changes, create_subscriber_tables


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    schema = f"follower_{uuid4().hex[:8]}"
    engine = create_async_engine(database_dsn.replace("postgresql://", "postgresql+asyncpg://"))

    def create(connection: Connection) -> None:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        connection.exec_driver_sql(f"SET search_path TO {schema}")
        create_subscriber_tables(Operations(MigrationContext.configure(connection)))
        connection.exec_driver_sql("CREATE TABLE facts (touchpoint uuid PRIMARY KEY, fragment uuid NOT NULL)")
        connection.exec_driver_sql("CREATE TABLE levels (profile uuid PRIMARY KEY, version bigint, fragments uuid[], facts int)")

    async with engine.begin() as connection:
        await connection.run_sync(create)
    await engine.dispose()
    database = await Database.open(database_dsn, schema=schema, application_name="test", max_size=6)
    yield database
    await database.close()


class Follower:
    """Keeps facts by fragment and, for each profile judged, its version, fragments and number of facts."""

    def __init__(self) -> None:
        self.judged: list[Affected] = []
        self.bears: Callable[[FactTouchpoint], bool] | None = None

    async def handle(self, tx: Tx, messages: Sequence[Incoming], now: datetime | None = None) -> BatchResult:
        return await apply_changes(
            tx, messages, facts=self.save_facts, judge=self.judge, keep_snapshots=True, now=now, bears=self.bears
        )

    async def save_facts(self, tx: Tx, touchpoints: Sequence[FactTouchpoint]) -> None:
        # No ON CONFLICT: a touchpoint that came twice would fail here.
        await tx.executemany("INSERT INTO facts VALUES ($1, $2)", [(fact.body.id, fact.fragment) for fact in touchpoints])

    async def judge(self, tx: Tx, affected: Sequence[Affected]) -> Sequence[Outgoing]:
        self.judged.extend(affected)
        for profile in affected:
            count: int = await tx.fetchval("SELECT count(*) FROM facts WHERE fragment = ANY($1::uuid[])", profile.fragments)
            await tx.execute(
                "INSERT INTO levels VALUES ($1, $2, $3, $4) ON CONFLICT (profile)"
                " DO UPDATE SET version = excluded.version, fragments = excluded.fragments, facts = excluded.facts",
                profile.profile_id,
                profile.version,
                profile.fragments,
                count,
            )
        return ()


@pytest.fixture
def follower() -> Follower:
    return Follower()


async def read_levels(database: Database) -> dict[UUID, tuple[int, tuple[UUID, ...], int]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT profile, version, fragments, facts FROM levels")
    return {row["profile"]: (row["version"], tuple(row["fragments"]), row["facts"]) for row in rows}
