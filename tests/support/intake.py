"""Ingest on a fake broker: the real pipeline and the real HTTP surface, everything outside in memory."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import httpx
from fastapi import FastAPI

from libs.durable.jobs import PostgresJobs
from libs.events.codec import decode, decoder_for
from libs.events.touchpoints import Identifier, TouchpointRecorded, TouchpointRejected
from libs.identity import IdentityKey
from libs.kit.auth import FixedAccess, Principal, Source
from libs.kit.clock import FakeClock
from libs.kit.http import Health, create_app
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.ports import Publisher
from services.ingest.api import ApiDeps
from services.ingest.api.gate import Gate
from services.ingest.api.routes import add_desk, add_doors
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.requests import Batch, read_batch, read_single
from services.ingest.domain.vocabulary import Kind
from services.ingest.handlers.governance import Governance
from services.ingest.handlers.imports import Imports
from services.ingest.handlers.parked import Replay
from services.ingest.handlers.take_touchpoints import Intake, Receipt
from services.ingest.handlers.take_webhooks import WebhookIntake
from services.ingest.settings import Settings
from services.ingest.store.fake_webhooks import FakeSns, FakeWebhooks
from services.ingest.store.imports import PostgresImports
from services.ingest.store.plans import PostgresPlans
from services.ingest.store.rejections import PostgresRejections
from services.ingest.store.sources import PostgresSources
from services.ingest.store.tallies import PostgresTallies
from services.ingest.store.webhooks import PostgresWebhooks

if TYPE_CHECKING:
    from libs.kit.db import Database
    from services.ingest.api.deps import Refreshed
    from services.ingest.ports import SourceLog

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
KEY = IdentityKey(b"an identity key of tests only...")
SERVER = Source(id="dev-server", name="Server", kind="server", verified=True)
BROWSER = Source(id="dev-web", name="Website", kind="web", verified=False)
DISABLED = Source(id="old-shop", name="Old shop", kind="server", verified=True, enabled=False)
SOURCES = {"dev-write-key": SERVER, "dev-browser-key": BROWSER, "old-key": DISABLED}


def make_ids() -> Iterator[UUID]:
    return (UUID(int=number) for number in count(1))


@dataclass
class World:
    """One ingest process. `clock` stands at NOW until moved."""

    broker: FakeBroker = field(default_factory=FakeBroker)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))
    settings: Settings = field(default_factory=Settings)
    sources: Mapping[str, Source] = field(default_factory=lambda: dict(SOURCES))
    max_pending_bytes: int = 64 * 1024 * 1024
    publisher: Publisher | None = None
    webhooks: FakeWebhooks = field(default_factory=FakeWebhooks)
    sns: FakeSns = field(default_factory=FakeSns)
    governance: Governance = field(default_factory=Governance)
    log: "SourceLog | None" = None

    def __post_init__(self) -> None:
        self.access = FixedAccess(sources=self.sources, principals={"dev-api-key": Principal("dev", frozenset({"*"}))})
        ids = make_ids()
        self.intake = Intake(
            KEY,
            region="DE",
            publisher=self.publisher or self.broker.publisher(),
            new_id=lambda: next(ids),
            governance=self.governance,
        )
        self.webhook_intake = WebhookIntake(self.intake, self.webhooks, self.access, self.sns)

    def judge(
        self, body: object, *, source: Source = SERVER, kind: Kind | None = None, received_at: datetime | None = None
    ) -> Receipt:
        """What becomes of a request's body, before anything is published. `kind` makes it a single call."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        batch = read_single(data) if kind else read_batch(data)
        assert isinstance(batch, Batch), batch
        arrival = Arrival(source, f"/v1/{kind or 'batch'}", received_at or self.clock.now())
        return self.intake.judge_calls(arrival, batch, kind=kind)

    def recorded(self) -> list[TouchpointRecorded]:
        return [cast("TouchpointRecorded", decode(record)) for record in self.broker.records("touchpoints")]

    def rejected(self) -> list[TouchpointRejected]:
        return [cast("TouchpointRejected", decode(record)) for record in self.broker.records("touchpoint-rejections")]

    def build_app(self, *, with_desk: bool = True) -> FastAPI:
        """Most tests stand at the doors only: the operators' routes are most of what an app takes to build."""
        app = create_app(service="ingest", title="ingest", description="", health=Health(), access=self.access, clock=self.clock)
        rejections = PostgresRejections()

        async def refresh() -> None:
            return None

        deps = ApiDeps(
            settings=self.settings,
            clock=self.clock,
            database=cast("Database", None),
            sources=self.access,
            intake=self.intake,
            gate=Gate(self.max_pending_bytes),
            replay=Replay(rejections, self.intake, self.access, self.clock, self.webhook_intake),
            rejections=rejections,
            source_store=PostgresSources(),
            imports=Imports(PostgresImports(), PostgresJobs()),
            refresh_access=refresh,
            webhook_store=PostgresWebhooks(),
            webhook_intake=self.webhook_intake,
            refresh_webhooks=refresh,
            governance=self.governance,
            upkeep=cast("Refreshed", None),
            plans=PostgresPlans(),
            tallies=PostgresTallies(),
            log=cast("SourceLog", self.log),
        )
        add_doors(app, deps)
        if with_desk:
            add_desk(app, deps)
        return app

    @asynccontextmanager
    async def client(self, *, with_desk: bool = False, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.build_app(with_desk=with_desk), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest.test", **options) as client:
            yield client


def decode_outgoing(receipt: Receipt) -> list[Any]:
    """The events a receipt is about to publish, read back from their bytes."""
    types = {b"rapport.touchpoint.recorded.v1": TouchpointRecorded, b"rapport.touchpoint.rejected.v1": TouchpointRejected}
    return [decoder_for(types[dict(record.headers)["ce_type"]]).decode(record.value or b"") for record in receipt.outgoing]


def take(
    call: Mapping[str, Any], *, source: Source = SERVER, received_at: datetime | None = None, **envelope: Any
) -> TouchpointRecorded:
    """The one touchpoint that a call in a batch becomes."""
    receipt = World().judge({"batch": [call], **envelope}, source=source, received_at=received_at)
    assert receipt.rejected == []
    return cast("TouchpointRecorded", decode_outgoing(receipt)[0])


def refuse(call: object, *, source: Source = SERVER) -> Refusal:
    """Why a call in a batch is refused."""
    body = b'{"batch":[' + call + b"]}" if isinstance(call, bytes) else {"batch": [call]}
    receipt = World().judge(body, source=source)
    assert receipt.accepted == [], "it was accepted"
    return Refusal(receipt.rejected[0].reason, receipt.rejected[0].detail)


def make_track(**changes: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Product Viewed", "userId": "u1", "messageId": "m1", **changes}


def make_order(name: str = "Order Completed", /, **properties: Any) -> dict[str, Any]:
    return make_track(event=name, properties={"order_id": "o1", "currency": "EUR", **properties})


def name_all(identifiers: Sequence[Identifier]) -> list[str]:
    return [f"{identifier.kind}:{identifier.value}" for identifier in identifiers]
