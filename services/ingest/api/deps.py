"""What the API's endpoints are built with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from libs.kit.clock import Clock
from libs.kit.db import Database
from services.ingest.api.gate import Gate
from services.ingest.handlers.governance import Governance
from services.ingest.handlers.imports import Imports
from services.ingest.handlers.parked import Replay
from services.ingest.handlers.take_touchpoints import Intake
from services.ingest.handlers.take_webhooks import WebhookIntake
from services.ingest.ports import PlanStore, RejectionStore, SourceLog, Sources, SourceStore, TallyStore, WebhookStore
from services.ingest.settings import Settings


class Refreshed(Protocol):
    """Brings this process and the database together at once; by itself that happens every 2 s."""

    async def refresh(self) -> None: ...

    async def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """`refresh_access` makes a change of sources or keys count in this process at once (elsewhere within 5 s).

    So does `refresh_webhooks` with a change of webhooks.
    """

    settings: Settings
    clock: Clock
    database: Database
    sources: Sources
    intake: Intake
    gate: Gate
    replay: Replay
    rejections: RejectionStore
    source_store: SourceStore
    imports: Imports
    refresh_access: Callable[[], Awaitable[None]]
    webhook_store: WebhookStore
    webhook_intake: WebhookIntake
    refresh_webhooks: Callable[[], Awaitable[None]]
    governance: Governance
    upkeep: Refreshed
    plans: PlanStore
    tallies: TallyStore
    log: SourceLog
