"""One platform for all journeys, started as an operator starts it, spoken to over HTTP only."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.e2e.visitor import Visitor
from tests.support.platform import RunningTestPlatform, run_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTestPlatform]:
    with run_platform(tmp_path_factory.mktemp("platform") / "home") as running:
        yield running


@pytest.fixture
async def visitor(platform: RunningTestPlatform) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield Visitor(platform.urls, client)


@pytest.fixture
def name() -> str:
    """A name nobody else in this run has: journeys share one platform."""
    return f"n{uuid4().hex[:10]}"
