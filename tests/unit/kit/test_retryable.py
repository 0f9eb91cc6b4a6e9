import asyncio
import errno

import asyncpg
import pytest

from libs.kit.db import is_retryable
from libs.kit.problems import to_rapport_error


def make_error(sqlstate: str) -> asyncpg.PostgresError:
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"C": sqlstate, "M": "said the server"})
    return error


@pytest.mark.parametrize(
    "error",
    [
        make_error("40001"),
        make_error("40P01"),
        make_error("55P03"),
        make_error("57014"),
        make_error("57P01"),
        make_error("57P03"),
        make_error("53300"),
        make_error("08006"),
        make_error("25006"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        asyncio.IncompleteReadError(b"", 1),
        OSError(errno.EHOSTUNREACH, "No route to host"),
    ],
)
def test_conflicts_overload_and_lost_connections_may_be_tried_again(error: BaseException) -> None:
    assert is_retryable(error)


@pytest.mark.parametrize(
    "error",
    [
        make_error("23505"),
        make_error("42P01"),
        make_error("22P02"),
        make_error("28P01"),
        make_error("3D000"),
        asyncpg.DataError("invalid input for query argument $1: 'closed'"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError("closed"),
        FileNotFoundError(),
        KeyError("x"),
        asyncio.CancelledError(),
    ],
)
def test_mistakes_of_our_own_may_not(error: BaseException) -> None:
    assert not is_retryable(error)


@pytest.mark.parametrize(
    "error", [asyncpg.CharacterNotInRepertoireError("\\x00"), asyncpg.UntranslatableCharacterError("\\u0000")]
)
def test_a_text_that_postgresql_cannot_hold_is_the_callers_to_mend(error: Exception) -> None:
    told = to_rapport_error(error)
    assert (told.status, told.code) == (422, "invalid")
    assert "x00" not in told.detail
