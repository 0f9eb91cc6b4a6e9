"""Pool, transactions and limits on a real server."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.kit.db import Database, is_retryable


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(
        database_dsn, schema="shop", application_name="test-shop", max_size=3, statement_timeout_ms=2000, lock_timeout_ms=200
    )
    async with opened.transaction() as tx:
        await tx.execute(
            "CREATE SCHEMA IF NOT EXISTS shop; DROP TABLE IF EXISTS stock; CREATE TABLE stock (id int PRIMARY KEY, n int)"
        )
        await tx.execute("INSERT INTO stock VALUES (1, 0)")
    yield opened
    await opened.close()


async def read_stock(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT n FROM stock WHERE id = 1"))


async def test_tables_are_found_in_the_services_own_schema(database: Database) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM shop.stock") == 1
        assert await connection.fetchval("SHOW search_path") == '"shop"'


async def test_leaving_the_block_commits(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE stock SET n = 5")
    assert await read_stock(database) == 5


async def test_an_exception_rolls_back(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE stock SET n = 5")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await read_stock(database) == 0


async def test_being_cancelled_rolls_back_and_gives_the_connection_back(database: Database) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE stock SET n = 5")
            reached.set()
            await tx.execute("SELECT pg_sleep(60)")

    for _ in range(4):  # more often than the pool has connections
        reached.clear()
        hanging = asyncio.create_task(hang())
        await reached.wait()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    assert await read_stock(database) == 0


async def test_a_transaction_sees_what_others_committed_meanwhile(database: Database) -> None:
    async with database.transaction() as reader:
        assert await reader.fetchval("SELECT n FROM stock") == 0
        async with database.transaction() as writer:
            await writer.execute("UPDATE stock SET n = 1")
        assert await reader.fetchval("SELECT n FROM stock") == 1


async def test_a_savepoint_undoes_a_part(database: Database) -> None:
    async def fail_inside(tx: object) -> None:
        async with tx.transaction():  # type: ignore[attr-defined]
            await tx.execute("UPDATE stock SET n = 9")  # type: ignore[attr-defined]
            raise ZeroDivisionError

    async with database.transaction() as tx:
        await tx.execute("UPDATE stock SET n = n + 1")
        with pytest.raises(ZeroDivisionError):
            await fail_inside(tx)
    assert await read_stock(database) == 1


async def test_waiting_too_long_for_a_lock_may_be_tried_again(database: Database) -> None:
    async with database.transaction() as holder:
        await holder.execute("UPDATE stock SET n = 1")
        with pytest.raises(asyncpg.LockNotAvailableError) as caught:
            async with database.transaction() as waiter:
                await waiter.execute("UPDATE stock SET n = 2")
    assert is_retryable(caught.value)


async def test_a_deadlock_may_be_tried_again(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO stock VALUES (2, 0)")

    async def lock(first: int, second: int, together: asyncio.Barrier) -> None:
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL lock_timeout = 0; SET LOCAL deadlock_timeout = '50ms'")
            await tx.execute("UPDATE stock SET n = n + 1 WHERE id = $1", first)
            await together.wait()
            await tx.execute("UPDATE stock SET n = n + 1 WHERE id = $1", second)

    together = asyncio.Barrier(2)
    outcomes = await asyncio.gather(lock(1, 2, together), lock(2, 1, together), return_exceptions=True)
    (failure,) = [outcome for outcome in outcomes if outcome is not None]
    assert is_retryable(failure)


async def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    with pytest.raises(asyncpg.QueryCanceledError):
        async with database.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(10)")


async def test_a_killed_connection_is_replaced(database: Database, database_dsn: str) -> None:
    async def die() -> None:
        async with database.transaction() as tx:
            pid = await tx.fetchval("SELECT pg_backend_pid()")
            async with database.connection() as other:
                await other.execute("SELECT pg_terminate_backend($1, 2000)", pid)
            await tx.fetchval("SELECT 1")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as caught:
        await die()
    assert is_retryable(caught.value)
    assert await read_stock(database) == 0


async def test_a_server_that_is_away_is_waited_for_then_told() -> None:
    with pytest.raises(OSError, match=r".*") as caught:
        await Database.open("postgresql://u@127.0.0.1:1/x", schema="shop", application_name="test", wait_s=0.3)
    assert is_retryable(caught.value)


async def test_a_wrong_password_or_database_is_not_waited_for(database_dsn: str) -> None:
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await Database.open(database_dsn + "_nope", schema="shop", application_name="test", wait_s=60)


async def test_ping_answers(database: Database) -> None:
    await database.ping()
