"""Who looks back into a log that can't be read is told so: nothing seen is not the same as nothing there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.events.envelope import Incoming
from libs.messaging.errors import SourceUnavailable
from services.ingest.ports import SourceView
from tests.support.intake import World


class Unreadable:
    """A log, and a view of it, while the broker is away."""

    @asynccontextmanager
    async def open_view(self, source_ids: Sequence[str], topics: Sequence[str]) -> AsyncIterator[SourceView]:
        yield self

    async def look_back(self, limit: int) -> list[Incoming]:
        raise SourceUnavailable("no broker answers")

    async def read_on(self) -> list[Incoming]:
        raise AssertionError("it never got that far")


async def test_a_watcher_is_not_told_that_a_source_is_quiet() -> None:
    async with World(log=Unreadable()).client(with_desk=True, headers={"Authorization": "Bearer dev-api-key"}) as client:
        answer = await client.get("/v1/sources/dev-server/events")
    assert answer.text.endswith("event: unavailable\ndata: {}\n\n")
    assert "live" not in answer.text
