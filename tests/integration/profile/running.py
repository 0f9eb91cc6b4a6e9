"""The whole service in the test's process: consumer, upkeep and API over real PostgreSQL and a fake broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from libs.consent import Defaults
from libs.durable.outbox import PostgresOutbox
from libs.events import codec
from libs.events.envelope import Outgoing
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.events.profiles import ProfileChanged
from libs.events.segments import SegmentMembershipChanged, SegmentsJudged
from libs.events.topics import LOYALTY_EVENTS, SEGMENT_CHANGES, Topic
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.auth import FixedAccess, Principal, Source
from libs.kit.clock import Clock, SystemClock
from libs.kit.db import Database
from libs.kit.health import Health
from libs.kit.ids import build_id_factory
from libs.messaging.consumer import BatchConsumer
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.policy import ConsumerPolicy
from libs.subscriber import Arrivals
from services.profile.adapters.dismissals import DismissingOutbox
from services.profile.api.app import create_profile_app
from services.profile.api.deps import ApiDeps
from services.profile.api.reading import Reader
from services.profile.consumer import GROUP, build_handlers
from services.profile.domain.lead import LeadStages
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.regroup_profiles import Regrouping
from services.profile.main import load_current
from services.profile.store.commands import PostgresCommands
from services.profile.store.outcomes import find_outcomes
from services.profile.store.rules import PostgresRules
from services.profile.upkeep import FacetFlusher, RulesKeeper, Upkeep
from tests.integration.profile.driving import KEY, START, encode_touchpoint, make_applying

READ_KEY, WRITE_KEY, RULES_KEY, OTHER_KEY = "read-key", "write-key", "rules-key", "other-key"
BROWSER_KEY, SHOP_KEY, SERVER_KEY, CLOSED_KEY = "browser-key", "shop-key", "server-key", "closed-key"
ACCESS = FixedAccess(
    sources={
        BROWSER_KEY: Source("web", "Any website", "web", verified=False),
        SHOP_KEY: Source("shop", "Shop", "mobile", verified=False, allowed_origins=("https://shop.example",)),
        SERVER_KEY: Source("server", "Server", "server", verified=True),
        CLOSED_KEY: Source("closed", "Closed", "web", verified=False, enabled=False),
    },
    principals={
        READ_KEY: Principal("reader", frozenset({"profiles:read"})),
        WRITE_KEY: Principal("writer", frozenset({"profiles:read", "profiles:write"})),
        RULES_KEY: Principal("steward", frozenset({"profiles:read", "identity:write"})),
        OTHER_KEY: Principal("other", frozenset({"segments:write"})),
    },
)


@dataclass
class Service:
    """`client` carries a key that may read and write. `answer_probes`: stands for the subscribers."""

    broker: FakeBroker
    database: Database
    app: FastAPI
    client: httpx.AsyncClient
    consumer: BatchConsumer
    outbox: DismissingOutbox
    deps: ApiDeps

    async def send(self, *touchpoints: TouchpointRecorded) -> None:
        await self.broker.publisher().publish([encode_touchpoint(one) for one in touchpoints])

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query)

    async def view(self, ref: str, touchpoint: TouchpointRecorded | None = None, **query: Any) -> dict[str, Any]:
        if touchpoint is not None:
            query["wait_for"] = str(touchpoint.id)
        answer = await self.get(f"/v1/profiles/{ref}", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def told(self) -> list[ProfileChanged]:
        events = [codec.decode(record) for record in self.broker.records("profile-changes")]
        return [event for event in events if isinstance(event, ProfileChanged)]


def make_etag(view: dict[str, Any], version: int | None = None) -> str:
    return f'"{view["id"]}-{view["version"] if version is None else version}"'


def _encode(event: Any, topic: Topic) -> Outgoing:
    return codec.encode(
        event,
        topic=topic,
        key=event.profile_id,
        event_id="test",
        source="test",
        time=START,
        received_ms=int(START.timestamp() * 1000),
    )


def make_edge(profile_id: UUID | str, segment: str, seq: int, *, entered: bool = True, version: int = 1) -> Outgoing:
    event = SegmentMembershipChanged(
        segment_id=segment,
        segment_name=segment.title(),
        segment_version=1,
        profile_id=UUID(str(profile_id)),
        profile_version=version,
        action="entered" if entered else "exited",
        seq=seq,
        at=START,
        cause="touchpoint",
    )
    return _encode(event, SEGMENT_CHANGES)


def make_judged(profile_id: UUID | str, version: int) -> Outgoing:
    return _encode(SegmentsJudged(profile_id=UUID(str(profile_id)), profile_version=version), SEGMENT_CHANGES)


def make_balance(profile_id: UUID | str, version: int, balance: int, *, profile_version: int = 1) -> Outgoing:
    event = LoyaltyBalanceChanged(
        profile_id=UUID(str(profile_id)),
        profile_version=profile_version,
        version=version,
        program="default",
        balance=balance,
        cause="order",
        at=START,
    )
    return _encode(event, LOYALTY_EVENTS)


DEFAULTS: Defaults = {"US": "granted"}
STAGES = LeadStages(
    start=("lead", "customer"), moves={"lead": ("sales-qualified",), "sales-qualified": ("lead", "customer"), "customer": ()}
)


@asynccontextmanager
async def run_service(
    database: Database, *, env: str = "test", broker: FakeBroker | None = None, longest_stream_s: float = 60
) -> AsyncIterator[Service]:
    clock: Clock = SystemClock()
    broker = broker or FakeBroker()
    publisher = broker.publisher()
    outbox = DismissingOutbox(PostgresOutbox(database, publisher, current=load_current))
    arrivals = Arrivals(database, clock, find=find_outcomes)
    rules = RulesKeeper(database, PostgresRules(), LiveRules())
    await rules.refresh()
    applying = make_applying(clock, rules.live)
    flusher = FacetFlusher(database, outbox, applying.graph, applying.facets, clock, 0)
    consumer = BatchConsumer(
        group=GROUP,
        handlers=build_handlers(applying, arrivals),
        source=broker.source(GROUP),
        database=database,
        outbox=outbox,
        clock=clock,
        policy=ConsumerPolicy(backoff_min_s=0.02, backoff_max_s=0.2, sweep_interval_s=0.5),
    )
    reader = Reader(
        database=database,
        outbox=outbox,
        arrivals=arrivals,
        flusher=flusher,
        identity_key=KEY,
        clock=clock,
        region="DE",
        batch_max=100,
    )
    regrouping = Regrouping(applying, PostgresCommands())
    new_id = build_id_factory(clock)
    deps = ApiDeps(
        database,
        publisher,
        reader,
        ACCESS,
        KEY,
        clock,
        new_id,
        env,
        "DE",
        outbox,
        regrouping,
        longest_stream_s,
        rules,
        STAGES,
        DEFAULTS,
    )
    app = create_profile_app(deps, Health(), clock)
    stop = asyncio.Event()
    upkeep = Upkeep(database, flusher, clock, 0.11)
    work = [asyncio.create_task(consumer.run(stop)), asyncio.create_task(upkeep.run(stop))]
    headers = {"Authorization": f"Bearer {WRITE_KEY}"}
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://profile.test", headers=headers) as client:
        try:
            yield Service(broker, database, app, client, consumer, outbox, deps)
        finally:
            stop.set()
            await asyncio.gather(*work)
            await reader.close()
            await arrivals.close()


@asynccontextmanager
async def answering_probes(service: Service, answer: Callable[[ProfileChanged], list[Outgoing]]) -> AsyncIterator[None]:
    """Subscribers, as far as they answer: what `answer` gives for each change, probes included."""

    async def follow() -> None:
        seen = 0
        while True:
            told = service.told()
            for event in told[seen:]:
                await service.broker.publisher().publish(answer(event))
            seen = len(told)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Probe = Callable[[], Awaitable[Any]]
