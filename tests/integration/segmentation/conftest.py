"""Segmentation on the real database, without a broker: polls are handed to its handler, what it would publish is kept."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from libs.durable.jobs import JobRunner, PostgresJobs, jobs_router
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import ProfileChanged
from libs.events.segments import SegmentMembershipChanged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.auth import FixedAccess, Principal
from libs.kit.clock import FakeClock
from libs.kit.db import Database, Tx
from libs.kit.health import Health
from libs.kit.http import create_app
from libs.kit.ids import build_id_factory
from libs.messaging.ports import StagedId, TopicPartition
from libs.subscriber import Arrivals
from services.segmentation.adapters.progress import ConsumedProgress
from services.segmentation.api import ROUTERS, ApiDeps
from services.segmentation.consumer import Checks, Fills, TimerLoop, build_handlers
from services.segmentation.handlers.context import Registries, Segmentation
from services.segmentation.handlers.define_segments import Wanted, change_segment, create_segment, delete_segment
from services.segmentation.handlers.verify_segments import Verdict, verify_memberships
from services.segmentation.ports import Definition
from services.segmentation.store import (
    PostgresBehaviours,
    PostgresDefinitions,
    PostgresLists,
    PostgresMemberships,
    PostgresProfilePages,
    PostgresViewHistory,
)
from services.segmentation.store.reading import load_trait_names
from tests.builders.changes import KEY, NOON, make_change, read_events, to_record
from tests.support.databases import run_apart
from tests.support.services import open_schema

TABLES = (
    "segments, segment_versions, behaviours, behaviour_names, memberships, edges, timers, view_values, lists, list_entries,"
    " jobs, idempotency_keys,"
    " webhook_endpoints, webhook_deliveries, exports, export_runs, sub_touchpoints, sub_fragments, sub_profiles, sub_dead"
)
PARTITIONS = 6


@dataclass
class KeptOutbox:
    """Publishes into a list."""

    published: list[Outgoing] = field(default_factory=list)

    async def stage(self, tx: Tx, messages: Sequence[Outgoing]) -> StagedId | None:
        return 1 if messages else None

    async def publish(self, staged: StagedId, messages: Sequence[Outgoing]) -> None:
        self.published += messages

    async def sweep(self) -> int:
        return 0


class AllPartitions:
    """A source of which only the assignment is asked."""

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition("profile-changes", number) for number in range(PARTITIONS))


Meanwhile = Callable[[], Awaitable[None]]


class InterruptedPages(PostgresProfilePages):
    """Before each page something happens, while the chunk's transaction is open but holds no lock yet."""

    def __init__(self, between: Meanwhile | None) -> None:
        self._between = between

    async def load_known_ids(self, tx: Tx, after: UUID | None, limit: int) -> list[UUID]:
        if self._between is not None:
            await self._between()
        return await super().load_known_ids(tx, after, limit)


class World:
    """The service's handlers with everything they need, and short words for what tests do with them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock(NOON + timedelta(minutes=20))
        self.lag = {TopicPartition("profile-changes", number): 0 for number in range(PARTITIONS)}
        self.outbox = KeptOutbox()
        self.jobs = PostgresJobs()
        self.progress = ConsumedProgress(AllPartitions(), self._measure, self.clock)  # type: ignore[arg-type]
        self.seg = self.make_segmentation()
        self.arrivals = Arrivals(database, self.clock)

    def make_segmentation(self) -> Segmentation:
        """Another process would have its own registry."""
        definitions = PostgresDefinitions()
        return Segmentation(
            definitions=definitions,
            behaviours=PostgresBehaviours("EUR"),
            memberships=PostgresMemberships(),
            view_history=PostgresViewHistory(),
            lists=PostgresLists(),
            registries=Registries(definitions),
            clock=self.clock,
            new_id=build_id_factory(self.clock),
        )

    async def _measure(self) -> dict[TopicPartition, int]:
        return self.lag

    async def poll(self, messages: Sequence[Incoming], seg: Segmentation | None = None) -> list[Any]:
        handlers = build_handlers(seg or self.seg, self.arrivals, self.progress)
        async with self.database.transaction() as tx:
            result = await handlers["profile-changes"](tx, messages)
        self.outbox.published += result.outgoing
        return read_events(list(result.outgoing))

    async def apply(self, *changes: ProfileChanged) -> list[Any]:
        """One poll; what it tells."""
        return await self.poll([to_record(change) for change in changes])

    async def define(self, rule: Any, id_: str | None = None, name: str = "S", *, fill: bool = True) -> Definition:
        async with self.database.transaction() as tx:
            made = await create_segment(tx, Wanted(name, "", rule, id_), self.seg, self.jobs)
        if fill:
            await self.run_jobs()
        return made

    async def change(self, id_: str, rule: Any, name: str = "S", *, version: int | None = None) -> Definition:
        async with self.database.transaction() as tx:
            return await change_segment(tx, id_, Wanted(name, "", rule), self.seg, self.jobs, version=version)

    async def delete(self, id_: str) -> None:
        async with self.database.transaction() as tx:
            await delete_segment(tx, id_, self.seg, self.jobs)

    def make_runner(self, chunk: int = 3, kinds: Sequence[str] = (), between: Meanwhile | None = None) -> JobRunner:
        """Of all kinds of jobs, or only some. `between`: what happens before each chunk of a back-fill."""
        fills = Fills(self.database, self.outbox, self.seg, InterruptedPages(between), chunk)
        checks = Checks(self.database, self.seg, PostgresProfilePages())
        known = {**fills.kinds(), **checks.kinds()}
        return JobRunner(self.database, {kind: known[kind] for kind in kinds or known}, clock=self.clock)

    async def run_jobs(self, chunk: int = 3) -> list[Any]:
        """All that wait; what they tell."""
        before = len(self.outbox.published)
        runner = self.make_runner(chunk)
        while await runner.run_next():
            pass
        return read_events(self.outbox.published[before:])

    async def fire(self) -> list[Any]:
        """Timers that are due; what they tell."""
        before = len(self.outbox.published)
        loop = TimerLoop(self.database, self.outbox, self.seg, self.progress, 0.01, 100)
        while await loop.fire_due():
            pass
        return read_events(self.outbox.published[before:])

    async def verify(self) -> Verdict:
        """Everything stored against what the rules say."""
        async with self.database.snapshot() as snapshot:
            return await verify_memberships(snapshot, self.seg, PostgresProfilePages())

    async def members(self, segment_id: str) -> set[UUID]:
        async with self.database.connection() as connection:
            rows = await self.seg.memberships.load_members(connection, segment_id, None, 10_000)
        return {profile_id for profile_id, _ in rows}

    async def is_anybody_waiting(self) -> bool:
        """Whether a transaction waits for a lock that another one holds."""
        async with self.database.connection() as connection:
            waiting: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"
            )
        return waiting

    def edges(self) -> list[SegmentMembershipChanged]:
        """Everything told so far."""
        return [event for event in read_events(self.outbox.published) if isinstance(event, SegmentMembershipChanged)]


async def _migrate(dsn: str) -> None:
    async with open_schema(dsn, "segmentation"):
        pass


@pytest.fixture(scope="module")
def segmentation_dsn(database_dsn: str) -> str:
    run_apart(_migrate(database_dsn))
    return database_dsn


@pytest.fixture
async def world(segmentation_dsn: str) -> AsyncIterator[World]:
    database = await Database.open(segmentation_dsn, schema="segmentation", application_name="test", max_size=6)
    async with database.transaction() as tx:
        await tx.execute(f"TRUNCATE {TABLES}")
    yield World(database)
    await database.close()


@pytest.fixture
async def app(world: World) -> AsyncIterator[FastAPI]:
    principals = {
        "staff": Principal("staff", frozenset({"*"})),
        "reader": Principal("reader", frozenset({"segments:read"})),
    }
    app = create_app(
        service="segmentation",
        title="t",
        description="d",
        health=Health(),
        access=FixedAccess(principals=principals),
        clock=world.clock,
    )
    deps = ApiDeps(
        database=world.database,
        seg=world.seg,
        jobs=world.jobs,
        arrivals=world.arrivals,
        identity_key=KEY,
        preview_source=PostgresProfilePages(),
        trait_names=load_trait_names,
        preview_max_profiles=1000,
        list_max_refs=10,
        list_max_bytes=1_000,
        longest_stream_s=60,
        allow_private_webhooks=True,
        has_export_folder=True,
    )
    for build in ROUTERS:
        app.include_router(build(deps))
    app.include_router(jobs_router(world.database, clock=world.clock, read_scope="segments:read", write_scope="segments:write"))
    yield app
    await world.arrivals.close()


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers={"Authorization": "Bearer staff"}) as client:
        yield client


class Customer:
    """A profile with one fragment, told version by version."""

    def __init__(self, world: World, *, fragments: Iterable[UUID] = ()) -> None:
        self.world = world
        self.id = uuid4()
        self.fragments = tuple(fragments) or (uuid4(),)
        self.version = 0
        self.membership = 1

    def record(self, *touchpoints: TouchpointRecorded, **changes: Any) -> ProfileChanged:
        self.version += 1
        applied = tuple((self.fragments[0], body) for body in touchpoints)
        fields: dict[str, Any] = {"parts": (), "membership": self.membership, "changed_at": self.world.clock.now()}
        return make_change(self.id, self.version, fragments=self.fragments, applied=applied, **(fields | changes))

    async def does(self, *touchpoints: TouchpointRecorded, **changes: Any) -> list[Any]:
        return await self.world.apply(self.record(*touchpoints, **changes))


def tell(events: Iterable[Any]) -> list[tuple[str, str, int, str]]:
    """(action, segment, seq, cause) of edges."""
    return [(event.action, event.segment_id, event.seq, event.cause) for event in events]
