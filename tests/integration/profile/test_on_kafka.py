"""The composition root on real Kafka and PostgreSQL: two workers that merge the same profiles, and the page's own API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest

from libs.events.codec import decoder_for
from libs.events.topics import LOYALTY_EVENTS, PROFILE_CHANGES, SEGMENT_CHANGES, TOUCHPOINTS
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.auth import create_api_key
from libs.kit.db import Database, migrate
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import consumer_lag, ensure_topics
from services.profile.consumer import GROUP
from services.profile.main import Deps, build, create_app, run_worker
from services.profile.settings import Settings
from tests.integration.profile.driving import encode_touchpoint, make_identify
from tests.integration.profile.test_delivery import check_truth, make_history
from tests.support.backing import Stack
from tests.support.brokers import KafkaTestBroker, join, read_all
from tests.support.databases import run_apart
from tests.support.eventually import eventually
from tests.support.services import ACCESS_MIGRATIONS

IDENTITY_KEY = b"a key for tests only, 32 bytes..".hex()


@pytest.fixture
def settings(stack: Stack, profile_dsn: str, topic_prefix: str, tmp_path: Path) -> Settings:
    run_apart(migrate(profile_dsn, schema="access", script_location=ACCESS_MIGRATIONS))
    platform = PlatformSettings(
        env="test", kafka=stack.kafka, postgres=profile_dsn, topic_prefix=topic_prefix, home=tmp_path, identity_key=IDENTITY_KEY
    )
    return Settings(platform=platform, batch_max_records=7)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Deps]:
    async with build(settings) as deps:
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(deps, stop))
        yield deps
        stop.set()
        await worker


async def test_two_workers_on_two_partitions_merge_the_same_profiles_and_the_log_ends_with_the_newest(
    settings: Settings, database: Database, stack: Stack, topic_prefix: str
) -> None:
    topics = (TOUCHPOINTS, PROFILE_CHANGES, SEGMENT_CHANGES, LOYALTY_EVENTS)
    await ensure_topics(settings.platform, topics)
    broker = KafkaTestBroker(stack.kafka, topic_prefix)
    history = make_history(Random(5), 80)
    publisher = await broker.publisher()
    async with working(settings) as first, working(settings) as second:
        for begin in range(0, len(history), 10):
            await publisher.publish([encode_touchpoint(one) for one in [*history[begin : begin + 10], history[begin // 2]]])
        async with first.runtime.database.transaction() as tx:
            key = await create_api_key(tx, "test", ["profiles:read", "profiles:write", "identity:write"])
        await first.runtime.access.refresh()
        transport = httpx.ASGITransport(create_app(first))
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://profile.test", headers=headers) as client:
            last = make_identify(999, "u1", plan="free")
            await publisher.publish([encode_touchpoint(last)])
            await eventually(lambda: _lag(settings), until=lambda lag: lag == 0, within_s=60)
            view = await client.get("/v1/profiles/user_id:u1", params={"wait_for": str(last.id)})
            edited = await client.patch("/v1/profiles/user_id:u1/traits", json={"plan": "gold"})
            assert (view.json()["traits"], edited.json()["traits"]) == ({"plan": "free"}, {"plan": "gold"})
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.put("/v1/identity/rules", json={"kinds": {"email": {"limit": 1}}})).status_code == 200
            await eventually(lambda: _rules_version(second), until=lambda version: version == 1, within_s=5)
    source = broker.source("reader")
    await join(source, PROFILE_CHANGES.name)
    records = await read_all(source, PROFILE_CHANGES.name, 10_000, within_s=3)
    await source.close()
    await broker.close()
    async with database.connection() as connection:
        bodies = await connection.fetch('SELECT body FROM timeline WHERE body LIKE \'%"source_id":"profile-api"%\'')
    edits = [decoder_for(TouchpointRecorded).decode(row["body"]) for row in bodies]
    assert [edit.kind for edit in edits] == ["identify"]
    await check_truth(database, records, [*history, last, *edits])


async def _rules_version(deps: Deps) -> int:
    return deps.api.rules.live.in_force.version


async def _lag(settings: Settings) -> int:
    return sum((await consumer_lag(settings.platform, GROUP)).values())
