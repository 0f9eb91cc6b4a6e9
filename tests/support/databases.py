"""A database of its own for each test module, on whatever server the stack names."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")


def with_database(dsn: str, database: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def create_database(server: str, name: str) -> str:
    # The template that nobody connects to: no test can block another's creation.
    run_apart(_execute(server, f'CREATE DATABASE "{name}" TEMPLATE template0'))
    return with_database(server, name)


def drop_database(server: str, name: str) -> None:
    run_apart(_execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def run_apart(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine from plain code, on a loop in a thread of its own, so that the test's loop is left alone."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
