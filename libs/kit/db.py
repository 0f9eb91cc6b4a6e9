"""PostgreSQL through asyncpg: one pool a service, transactions whose edge commits, and what may be tried again.

SQLAlchemy only declares tables and compiles queries; nothing at run time goes through its engine.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import asyncpg
from sqlalchemy import MetaData

from libs.kit.migrate import migrate, pending_changes

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

__all__ = [
    "DATABASE_ERRORS",
    "NAMING_CONVENTION",
    "Database",
    "Tx",
    "build_metadata",
    "is_retryable",
    "migrate",
    "pending_changes",
]

_GRACE_S = 5.0
NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Tx(Protocol):
    """An asyncpg connection, lent for one transaction (or for reads in autocommit). jsonb travels as str, bytea as bytes."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...  # noqa: ASYNC109 - asyncpg's own name

    async def executemany(self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> None: ...  # noqa: ASYNC109

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[asyncpg.Record]: ...  # noqa: ASYNC109

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> asyncpg.Record | None: ...  # noqa: ASYNC109

    async def fetchval(self, query: str, *args: Any, column: int = 0, timeout: float | None = None) -> Any: ...  # noqa: ASYNC109

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
    ) -> str: ...

    def cursor(self, query: str, *args: Any, prefetch: int | None = None) -> Any: ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A savepoint inside a transaction; a transaction of its own in autocommit."""
        ...

    def is_in_transaction(self) -> bool: ...


def build_metadata(schema: str) -> MetaData:
    """Tables of one service. They carry no schema themselves: every connection's search_path is the service's."""
    return MetaData(naming_convention=NAMING_CONVENTION, info={"schema": schema})


class Database:
    """One pool whose connections see the service's own schema. Open once in the composition root."""

    def __init__(self, pool: asyncpg.Pool, schema: str) -> None:
        self._pool = pool
        self.schema = schema

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        schema: str,
        application_name: str,
        min_size: int = 1,
        max_size: int = 8,
        statement_timeout_ms: int = 30_000,
        lock_timeout_ms: int = 10_000,
        wait_s: float = 30.0,
    ) -> Self:
        """Connects, waiting up to `wait_s` for a server that is starting or away. Raises what the last try raised."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                pool = await asyncpg.create_pool(
                    dsn,
                    min_size=min_size,
                    max_size=max_size,
                    timeout=10,
                    # The server ends a statement at its own limit; one that is frozen doesn't.
                    command_timeout=statement_timeout_ms / 1000 + _GRACE_S if statement_timeout_ms else None,
                    max_inactive_connection_lifetime=300,
                    reset=_keep_session,
                    server_settings={
                        "search_path": f'"{schema}"',
                        "application_name": application_name,
                        "statement_timeout": str(statement_timeout_ms),
                        "lock_timeout": str(lock_timeout_ms),
                        "timezone": "UTC",
                        # Our statements are short and of fixed shape: compiling them costs more than it saves.
                        "jit": "off",
                    },
                )
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if not is_retryable(error) or asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                return cls(pool, schema)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """READ COMMITTED. Leaving the block commits; an exception out of it rolls back."""
        connection: PoolConnectionProxy
        async with self._pool.acquire(timeout=10) as connection, connection.transaction(isolation="read_committed"):
            yield cast("Tx", connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """Autocommit: each statement its own transaction. For reads."""
        async with self._pool.acquire(timeout=10) as connection:
            yield cast("Tx", connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """REPEATABLE READ, read only: every statement sees the state of the first one. Keeps old rows from being cleaned up."""
        connection: PoolConnectionProxy
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield cast("Tx", connection)

    async def ping(self) -> None:
        """For /readyz: raises when the database doesn't answer."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1", timeout=2)

    async def close(self, *, timeout_s: float = 5.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _keep_session(connection: "asyncpg.Connection") -> None:
    """Instead of asyncpg's RESET ALL, a round trip we don't need: nobody here changes a session, only transactions (SET LOCAL).

    A transaction left open is a broken session; closing it rolls back.
    """
    if connection.is_in_transaction():
        connection.terminate()


_RETRYABLE_CLASSES = (
    "08",  # connection exception
    "40",  # transaction rollback: serialization failure, deadlock, completion unknown
    "53",  # insufficient resources: connections, memory, disk
    "58",  # system error outside PostgreSQL
)
_RETRYABLE_STATES = {
    "25006",  # read-only transaction: a standby is being promoted
    "25P03",  # idle in transaction timeout
    "55P03",  # lock not available, lock timeout
    "57014",  # query cancelled: statement timeout. Slowness is never a record's own fault
    "57P01",  # admin shutdown
    "57P02",  # crash shutdown
    "57P03",  # cannot connect now
    "57P05",  # idle session timeout
}


DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a database call can raise; `is_retryable` says of which another try makes sense."""


def is_retryable(error: BaseException) -> bool:
    """Whether the same transaction may succeed later without change: conflicts, overload, a server that is away or restarting."""
    if isinstance(error, asyncpg.PostgresError):
        state: str = error.sqlstate or ""
        return state[:2] in _RETRYABLE_CLASSES or state in _RETRYABLE_STATES
    if isinstance(error, asyncpg.InterfaceError):
        # Beside misuse and unfit arguments (DataError), asyncpg says so when a connection it holds is gone.
        return not isinstance(error, ValueError) and "clos" in str(error)
    if isinstance(error, asyncpg.InternalClientError):
        return True
    return isinstance(error, ConnectionError | TimeoutError | asyncio.IncompleteReadError) or type(error) is OSError
