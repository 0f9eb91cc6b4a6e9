"""What is known by heart outlives an absent database, and says once that it is old."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from libs.kit.errors import ConfigurationRefused
from libs.kit.freshness import KeptFresh
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

AWAY = ConnectionRefusedError("nobody listens")


class Reader:
    """Answers with what `outcomes` say, and then well."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes: Iterator[Exception | None] = iter(outcomes)
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        outcome = next(self.outcomes, None)
        if outcome is not None:
            raise outcome


@asynccontextmanager
async def kept(reader: Reader) -> "AsyncIterator[list[Any]]":
    with capture_logs() as logs:
        fresh = KeptFresh(reader, every_s=0.001, what="keys")
        await fresh.start()
        try:
            yield logs
        finally:
            await fresh.close()


def events(logs: list[Any]) -> list[str]:
    """Only ours: what others of the process log is captured as well."""
    return [entry["event"] for entry in logs if entry.get("what") == "keys"]


async def test_it_is_read_again_and_again_until_it_is_closed() -> None:
    reader = Reader()
    async with kept(reader) as logs:
        await eventually(lambda: reader.calls > 3)
    assert "keys-refresh" not in {task.get_name() for task in asyncio.all_tasks()}
    assert events(logs) == []


async def test_an_absent_database_is_waited_for_and_named_once_each_time_it_goes() -> None:
    reader = Reader(AWAY, AWAY, AWAY, None, AWAY, AWAY)
    async with kept(reader) as logs:
        await eventually(lambda: reader.calls > 7)
    assert events(logs) == ["nothing_known_yet", "stale", "stale"]


async def test_what_is_refused_meanwhile_is_said_and_what_was_known_holds() -> None:
    reader = Reader(None, ConfigurationRefused("development keys"), None)
    async with kept(reader) as logs:
        await eventually(lambda: reader.calls > 3)
    assert events(logs) == ["not_refreshed"]
    assert "development keys" in [entry.get("reason") for entry in logs]


async def test_a_start_that_is_refused_is_no_start() -> None:
    with pytest.raises(ConfigurationRefused):
        await KeptFresh(Reader(ConfigurationRefused("development keys")), every_s=0.001, what="keys").start()
