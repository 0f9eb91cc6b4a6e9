"""One ingest process on real Kafka and PostgreSQL, its API called in process, its worker running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.events.codec import decode
from libs.events.envelope import Incoming
from libs.events.topics import PRIVACY_REQUESTS, TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.kit.auth import ensure_dev_keys
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import ensure_topics
from libs.messaging.kafka_source import KafkaSource
from services.ingest.main import Deps, build, create_app, run_worker
from services.ingest.settings import Settings
from tests.support.backing import Stack
from tests.support.brokers import QUICK_SOURCE, join, read_all
from tests.support.services import open_schema

STAFF = {"Authorization": "Bearer dev-api-key"}
SERVER = {"X-Write-Key": "dev-write-key"}


@dataclass
class Ingest:
    """`client` speaks to the API; `platform` is what other clients of the same Kafka need."""

    deps: Deps
    client: httpx.AsyncClient
    platform: PlatformSettings

    async def logged(self, topic: str, count: int, *, within_s: float = 20.0) -> list[Incoming]:
        """The first `count` records of a topic, read by a group of our own."""
        source = KafkaSource(self.platform, f"reader-{id(asyncio.current_task())}", options=QUICK_SOURCE)
        await join(source, topic)
        try:
            return await read_all(source, topic, count, within_s=within_s)
        finally:
            await source.close()

    async def events(self, topic: str, count: int) -> list[Any]:
        return [decode(record) for record in await self.logged(topic, count)]


@asynccontextmanager
async def run_ingest(settings: Settings) -> AsyncIterator[Ingest]:
    async with build(settings) as deps:
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(deps, stop))
        transport = httpx.ASGITransport(app=create_app(deps), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest.test", timeout=30) as client:
            yield Ingest(deps, client, settings.platform)
        stop.set()
        await worker


@pytest.fixture
async def settings(stack: Stack, database_dsn: str, topic_prefix: str, tmp_path: Path) -> Settings:
    platform = PlatformSettings(
        kafka=stack.kafka, postgres=database_dsn, topic_prefix=topic_prefix, home=tmp_path, identity_key="ab" * 32, env="test"
    )
    await ensure_topics(platform, [TOUCHPOINTS, TOUCHPOINT_REJECTIONS, PRIVACY_REQUESTS])
    async with open_schema(database_dsn, "ingest") as database:
        await ensure_dev_keys(database)
    return Settings(platform=platform)


@pytest.fixture
async def ingest(settings: Settings) -> AsyncIterator[Ingest]:
    async with run_ingest(settings) as running:
        yield running
