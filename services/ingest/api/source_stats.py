"""`/v1/sources/{id}/stats`: what became of what a source sent, by day."""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from libs.kit.auth import Principal
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import requires
from services.ingest.api.deps import ApiDeps
from services.ingest.domain.tallies import Count
from services.ingest.handlers import sources as handlers

_SHOWN = timedelta(days=30)
_MOST = timedelta(days=400)


class CountsOut(BaseModel):
    """Touchpoints accepted, rejected by reason, dropped for somebody who is suppressed, and flagged (they are accepted, too).

    `refused` counts whole requests by the code of the answer: nobody looked into them.
    """

    accepted: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    suppressed: int = 0
    flagged: dict[str, int] = Field(default_factory=dict)
    refused: dict[str, int] = Field(default_factory=dict)


class DayOut(CountsOut):
    day: date


class StatsOut(BaseModel):
    """Days on which something came, newest first."""

    items: list[DayOut]
    next_cursor: None = None


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/sources", tags=["sources"])

    @router.get("/{source_id}/stats")
    async def get_stats(
        source_id: Annotated[str, Path(max_length=64)],
        _principal: Annotated[Principal, requires("sources:read")],
        since: Annotated[date | None, Query(alias="from")] = None,
        until: Annotated[date | None, Query(alias="to", description="Inclusive.")] = None,
    ) -> StatsOut:
        """Days are UTC, by the time of receipt. Counts of other processes show within some seconds; one that is killed loses
        those of its last two seconds.
        """
        until = until or deps.clock.now().date()
        since = since or until - _SHOWN
        if not timedelta(0) <= until - since <= _MOST:
            raise Invalid("The days make no range.", errors=[FieldError("#/query/from", f"0 to {_MOST.days} days before `to`")])
        await deps.upkeep.flush()
        async with deps.database.connection() as connection:
            await handlers.get_source(connection, deps.source_store, source_id)
            counts = await deps.tallies.list_counts(connection, source_id, since=since, until=until)
        days = groupby(counts, key=lambda one: one.day)
        return StatsOut(items=[DayOut(day=day, **show_counts(of_day).model_dump()) for day, of_day in days])

    return router


def show_counts(counts: Iterable[Count]) -> CountsOut:
    shown = CountsOut()
    for _, _, (name, reason), count in counts:
        match name:
            case "accepted":
                shown.accepted += count
            case "suppressed":
                shown.suppressed += count
            case "rejected":
                shown.rejected[reason] = count
            case "flagged":
                shown.flagged[reason] = count
            case "refused":
                shown.refused[reason] = count
            case _:
                pass
    return shown
