"""Reading your own write: wait until a touchpoint's effects are in this service."""

from typing import Literal
from uuid import UUID

from libs.kit.clock import Clock
from libs.kit.db import Database

AppliedOutcome = Literal["applied", "ignored", "dead_lettered"]


async def wait_for(database: Database, touchpoint_id: UUID, wait_ms: int, clock: Clock) -> AppliedOutcome:
    raise NotImplementedError
