"""The gateway goes on while PostgreSQL is dead, by what it last loaded."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx

from deploy import local
from libs.events.codec import encode
from libs.events.privacy import PrivacyRequested
from libs.events.topics import PRIVACY_REQUESTS, TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.kit.auth import ensure_dev_keys
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import ensure_topics
from services.ingest.settings import Settings
from tests.integration.ingest.conftest import SERVER, STAFF, Ingest, run_ingest
from tests.support.backing import Stack
from tests.support.eventually import eventually
from tests.support.services import open_schema


async def send(ingest: Ingest, prefix: str, user: str = "u1") -> list[httpx.Response]:
    calls = [{"userId": user, "event": "E", "messageId": f"{prefix}-{number}"} for number in range(20)]
    good = [ingest.client.post("/v1/track", json=call, headers=SERVER) for call in calls]
    return await asyncio.gather(*good, ingest.client.post("/v1/track", json={"event": prefix}, headers=SERVER))


async def suppress(ingest: Ingest, user: str) -> None:
    fragment = ingest.deps.runtime.identity_key.fragment_id("user_id", user)
    now = datetime.now(UTC)
    event = PrivacyRequested(request_id=uuid4(), kind="suppress", fragments=(fragment,), at=now)
    record = encode(event, topic=PRIVACY_REQUESTS, key=fragment, event_id="1", source="profile", time=now, received_ms=0)
    await ingest.deps.runtime.publisher.publish([record])
    await eventually(lambda: fragment in ingest.deps.api.governance.rules.suppressions)


async def test_it_takes_refuses_and_suppresses_while_postgresql_is_dead_and_parks_afterwards(
    stack: Stack, topic_prefix: str, tmp_path: Path
) -> None:
    own = await asyncio.to_thread(local.start, tmp_path / "home", only=("postgres",), ports={"postgres": 0})
    try:
        platform = PlatformSettings(
            kafka=stack.kafka,
            postgres=own.postgres.address,
            topic_prefix=topic_prefix,
            home=tmp_path,
            identity_key="ab" * 32,
            env="test",
        )
        await ensure_topics(platform, [TOUCHPOINTS, TOUCHPOINT_REJECTIONS, PRIVACY_REQUESTS])
        async with open_schema(platform.postgres, "ingest") as database:
            await ensure_dev_keys(database)
        async with run_ingest(Settings(platform=platform)) as ingest:
            await suppress(ingest, "alone")
            await asyncio.to_thread(own.postgres.kill)
            answers = [*await send(ingest, "dead"), *await send(ingest, "hidden", user="alone")]
            assert {answer.status_code for answer in answers} == {200}
            assert (await ingest.client.post("/v1/track", json={}, headers={"X-Write-Key": "nobody"})).status_code == 401
            logged = {event.message_id for event in await ingest.events("touchpoints", 20)}
            assert {f"dead-{number}" for number in range(20)} <= logged
            assert not any(message_id.startswith("hidden") for message_id in logged)
            await asyncio.to_thread(own.postgres.start)

            async def count_parked() -> int:
                answer = await ingest.client.get("/v1/rejections", headers=STAFF)
                return len(answer.json()["items"]) if answer.status_code == 200 else 0

            assert await eventually(count_parked, until=lambda count: count == 2, within_s=40) == 2

            async def count_accepted() -> int:
                answer = await ingest.client.get("/v1/sources/dev-server", headers=STAFF)
                return int(answer.json()["today"]["accepted"]) if answer.status_code == 200 else 0

            assert await eventually(count_accepted, until=lambda count: count == 20, within_s=40) == 20
    finally:
        await asyncio.to_thread(own.stop)
