"""What the API's endpoints are built with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.kit.clock import Clock
from libs.kit.db import Database
from services.ingest.api.gate import Gate
from services.ingest.handlers.imports import Imports
from services.ingest.handlers.parked import Replay
from services.ingest.handlers.take_touchpoints import Intake
from services.ingest.ports import RejectionStore, Sources, SourceStore
from services.ingest.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """`refresh_access` makes a change of sources or keys count in this process at once (elsewhere within 5 s)."""

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
