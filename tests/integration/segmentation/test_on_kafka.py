"""The whole service on a real broker: changes in, edges out, with the clock moved and the worker started again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from libs.events import codec, topics
from libs.events.profiles import ProfileChanged
from libs.events.segments import SegmentMembershipChanged
from libs.kit.auth import ensure_dev_keys
from libs.kit.clock import write_file_clock
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import consumer_lag, ensure_topics
from libs.messaging.kafka_source import KafkaSource
from services.segmentation.main import Deps, build, create_app, run_worker
from services.segmentation.settings import Settings
from tests.builders.changes import make_change, make_touchpoint
from tests.support.backing import Stack
from tests.support.brokers import Recorder
from tests.support.databases import create_database, drop_database
from tests.support.eventually import eventually
from tests.support.receiver import run_receiver
from tests.support.services import open_schema

RECENT = {"did": "Order Completed", "within": "P30D"}


@pytest.fixture
async def settings(stack: Stack, tmp_path: Path) -> AsyncIterator[Settings]:
    """A database and topics of each test's own: it counts all that is told."""
    name = f"test_{uuid4().hex[:12]}"
    platform = PlatformSettings(
        env="test",
        kafka=stack.kafka,
        postgres=create_database(stack.postgres, name),
        topic_prefix=f"{name}-",
        home=tmp_path,
        identity_key=bytes(32).hex(),
        clock=tmp_path / "clock.json",
    )
    await ensure_topics(platform, [topics.PROFILE_CHANGES, topics.SEGMENT_CHANGES], {"profile-changes": ["segmentation"]})
    async with open_schema(platform.postgres, "segmentation"):
        pass
    yield Settings(platform=platform)
    drop_database(stack.postgres, name)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Deps, httpx.AsyncClient]]:
    async with build(settings) as deps:
        await ensure_dev_keys(deps.runtime.database, env="test")
        await deps.runtime.access.refresh()
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(deps, stop))
        transport = httpx.ASGITransport(create_app(deps))
        staff = {"Authorization": "Bearer dev-api-key"}
        async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=staff, timeout=20) as client:
            yield deps, client
        stop.set()
        await worker


async def publish(deps: Deps, *changes: ProfileChanged) -> None:
    await deps.runtime.publisher.publish(
        [
            codec.encode(
                change,
                topic=topics.PROFILE_CHANGES,
                key=change.profile_id,
                event_id=f"{change.profile_id}:{change.version}",
                source="profile",
                time=change.changed_at,
                received_ms=int(deps.runtime.clock.now().timestamp() * 1000),
            )
            for change in changes
        ]
    )


async def read_edges(settings: Settings, *, at_least: int) -> list[SegmentMembershipChanged]:
    source = KafkaSource(settings.platform, group=f"reader-{uuid4().hex[:6]}")
    await source.start([topics.SEGMENT_CHANGES.name], Recorder())
    edges: list[SegmentMembershipChanged] = []

    async def read() -> int:
        records = await source.poll(topics.SEGMENT_CHANGES.name, max_records=500, max_bytes=1 << 20, timeout_s=0.2)
        edges.extend(event for event in map(codec.decode, records) if isinstance(event, SegmentMembershipChanged))
        return len(edges)

    try:
        await eventually(read, until=lambda count: count >= at_least)
    finally:
        await source.close()
    return edges


def bought(at: datetime, name: str = "Order Completed") -> Any:
    return msgspec.structs.replace(make_touchpoint(name), occurred_at=at, received_at=at)


async def test_edges_go_out_timers_fire_when_the_clock_says_so_and_a_replay_tells_nothing(settings: Settings) -> None:
    clock = settings.platform.clock
    assert clock is not None
    write_file_clock(clock, offset_s=0)
    profiles = [uuid4() for _ in range(20)]
    fragments = {profile: uuid4() for profile in profiles}
    touchpoints = {profile: bought(datetime.now(UTC)) for profile in profiles}
    changes = [
        make_change(profile, 1, fragments=(fragments[profile],), applied=((fragments[profile], touchpoints[profile]),))
        for profile in profiles
    ]
    async with running(settings) as (deps, client):
        made = await client.post("/v1/segments", json={"id": "recent", "name": "Recent", "rule": RECENT})
        assert made.status_code == 201, made.text
        await publish(deps, *changes)
        last = touchpoints[profiles[-1]].id
        waited = await client.get("/v1/segments/recent/members", params={"wait_for": str(last), "wait_ms": 10_000})
        assert str(profiles[-1]) in [item["profile_id"] for item in waited.json()["items"]]
        edges = await read_edges(settings, at_least=20)
        assert {(edge.profile_id, edge.action, edge.seq) for edge in edges} == {(profile, "entered", 1) for profile in profiles}

        write_file_clock(clock, offset_s=timedelta(days=31).total_seconds())
        edges = await read_edges(settings, at_least=40)
        assert len(edges) == 40
        exits = {edge.profile_id: edge for edge in edges if edge.action == "exited"}
        for profile in profiles:
            assert exits[profile].at == touchpoints[profile].occurred_at + timedelta(days=30)
            assert exits[profile].cause == "time"

    # The worker comes back with the same records before it, as after a reset of its offsets.
    async with running(settings) as (deps, client):
        await publish(deps, *changes)
        await eventually(lambda: consumer_lag(settings.platform, "segmentation"), until=lambda lag: not any(lag.values()))
        assert len(await read_edges(settings, at_least=40)) == 40
        assert (await client.get("/v1/segments/recent")).json()["members"] == 0
        assert (await client.get("/readyz")).status_code == 200


async def test_webhooks_are_called_files_are_written_and_all_is_right_in_the_end(settings: Settings, tmp_path: Path) -> None:
    """The receiver is away at first; the worker that queued the calls is gone when it comes back."""
    quick = {"webhook_allow_private": True, "webhook_poll_ms": 20, "export_poll_s": 0.05, "export_dir": tmp_path / "files"}
    settings = settings.model_copy(update=quick)
    clock = settings.platform.clock
    assert clock is not None
    write_file_clock(clock, offset_s=0)
    profiles = {uuid4(): uuid4() for _ in range(12)}
    changes = [
        make_change(profile, 1, fragments=(fragment,), applied=((fragment, bought(datetime.now(UTC), "Coffee Bought")),))
        for profile, fragment in profiles.items()
    ]
    async with run_receiver() as receiver:
        receiver.answers = [503]
        async with running(settings) as (deps, client):
            await client.post("/v1/segments", json={"id": "coffee", "name": "Coffee", "rule": {"did": "Coffee Bought"}})
            webhook = (await client.post("/v1/webhooks", json={"url": receiver.url, "segments": ["coffee"]})).json()
            await publish(deps, *changes)
            await eventually(lambda: len(receiver.received) > 0)
        receiver.answers = [200]
        write_file_clock(clock, offset_s=timedelta(hours=1).total_seconds())
        async with running(settings) as (_, client):

            async def count_deliveries() -> dict[str, int]:
                counts: dict[str, int] = (await client.get(f"/v1/webhooks/{webhook['id']}")).json()["deliveries"]
                return counts

            await eventually(count_deliveries, until=lambda counts: counts == {"pending": 0, "delivered": 12, "failed": 0})
            told = {got.headers["webhook-id"] for got in receiver.received}
            assert told == {f"coffee:{profile}:1" for profile in profiles}

            await client.post("/v1/exports", json={"segment": "coffee", "every": "P1D", "columns": ["profile_id"]})
            await eventually(lambda: list((tmp_path / "files").glob("coffee-*.csv")), until=bool)
            [file] = (tmp_path / "files").glob("coffee-*.csv")
            assert set(file.read_text().split()[1:]) == {str(profile) for profile in profiles}

            job = (await client.post("/v1/segments/verify")).headers["location"]

            async def find_result() -> Any:
                return (await client.get(job)).json()["result"]

            verdict = await eventually(find_result, until=lambda result: result is not None)
            assert verdict["compared"] >= 12
            assert verdict["examples"] == []
