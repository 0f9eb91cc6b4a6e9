"""A schema with customers in it is brought to the newest version: what is kept from then on begins with what is so."""

from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.kit.db import Database
from libs.kit.migrate import build_alembic_config
from services.segmentation.domain.parts import SINCE_EVER_US
from tests.builders.changes import NOON, make_touchpoint
from tests.support.services import ROOT, open_schema

from .conftest import Customer, World

VIEW: dict[str, Any] = {"traits": {"plan": "gold", "odd": "a\0b"}, "consent": {}, "lead": {"stage": "known"}}


async def upgrade_to(dsn: str, revision: str) -> None:
    config = build_alembic_config(ROOT / "services/segmentation/migrations")

    def run(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, server_settings={"search_path": "segmentation"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


async def insert(connection: asyncpg.Connection, customer: Customer, snapshot: bytes | None) -> None:
    await connection.execute(
        "INSERT INTO sub_profiles (profile_id, founding, version, snapshot, judged_at) VALUES ($1, $2, 1, $3, $4)",
        customer.id,
        customer.fragments[0],
        snapshot,
        NOON,
    )
    await connection.execute("INSERT INTO sub_fragments VALUES ($1, $2, 1, NULL)", customer.fragments[0], customer.id)
    customer.version = 1


async def test_what_was_said_before_the_upgrade_was_so_all_along(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn, server_settings={"search_path": "segmentation"})
    await connection.execute("CREATE SCHEMA segmentation")
    await upgrade_to(database_dsn, "0002")
    database = await Database.open(database_dsn, schema="segmentation", application_name="test", max_size=6)
    world = World(database)
    ada = Customer(world)
    try:
        await insert(connection, ada, msgspec.json.encode(VIEW))
        await insert(connection, Customer(world), b"nonsense")
        await insert(connection, Customer(world), None)
        await connection.executemany(
            "INSERT INTO sub_profiles (profile_id, founding, version, snapshot) VALUES ($1, $1, 1, $2)",
            [(Customer(world).id, b'{"traits":{"plan":"blue"}}') for _ in range(1_000)],
        )
        async with open_schema(database_dsn, "segmentation"):
            pass
        kept = await connection.fetch("SELECT part, at_us, value FROM view_values WHERE profile_id = $1 ORDER BY part", ada.id)
        assert [(row["part"], row["at_us"], msgspec.json.decode(row["value"])) for row in kept] == [
            ("lead", SINCE_EVER_US, VIEW["lead"]),
            ("traits", SINCE_EVER_US, VIEW["traits"]),
        ]
        assert await connection.fetchval("SELECT count(*) FROM view_values WHERE part = 'traits'") == 1_001
        # The first change after it is a change of what was there, not of nothing.
        await connection.execute("DELETE FROM sub_profiles WHERE profile_id <> $1", ada.id)
        await world.define({"all": [{"trait": "plan", "eq": "gold"}, {"did": "Order Completed"}]}, "gold-buyers")
        world.clock.advance(timedelta(hours=1))
        order = make_touchpoint("Order Completed", minute=25)
        told = await ada.does(order, parts=("traits",), snapshot={**VIEW, "traits": {"plan": "gold", "name": "Ada"}})
        assert [(edge.action, edge.at) for edge in told] == [("entered", order.occurred_at)]
    finally:
        await database.close()
        await connection.close()
