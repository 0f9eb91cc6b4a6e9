"""The fixture that every integration test stands on gives servers that really answer."""

import asyncpg

from tests.support.backing import Stack


async def test_the_database_fixture_gives_an_empty_database_with_durable_commits(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert int(await connection.fetchval("SHOW server_version_num")) >= 160000
    finally:
        await connection.close()


def test_the_stack_names_where_it_came_from(stack: Stack) -> None:
    assert stack.origin in {"environment", "testcontainers", "deploy/local"}
    assert ":" in stack.kafka
