"""`/v1/segments/analysis`: figures of the customers in each of some segments, side by side."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from libs.kit.times import format_utc
from services.segmentation.api.deps import ApiDeps, Ids, Reader, WaitFor, WaitMs, await_touchpoint, find_segments
from services.segmentation.api.examples import ANALYSIS
from services.segmentation.domain.analysis import KPIS, Tally, read_view_figures
from services.segmentation.store.reading import load_views_by_segment

_PAGE: Final = 1_000


def build_analysis_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/segments", tags=["segments"])

    @router.get("/analysis", responses=ANALYSIS)
    async def analyse(
        ids: Ids,
        response: Response,
        _: Reader,
        kpis: Annotated[str, Query(description=f"With commas between: {', '.join(KPIS)}.")] = ",".join(KPIS),
        purpose: Annotated[str, Query(max_length=100, description="Of the consents counted as reach.")] = "marketing",
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> dict[str, Any]:
        """Customers, revenue, average order, repeat rate, NPS, CSAT and consented reach of each segment, exact at one moment."""
        wanted = list(dict.fromkeys(name.strip() for name in kpis.split(",")))
        if unknown := [name for name in wanted if name not in KPIS]:
            detail = f'has no figure "{unknown[0][:50]}"; {", ".join(KPIS)}'
            raise Invalid(f"`kpis` {detail}.", errors=[FieldError("#/query/kpis", detail)])
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.snapshot() as snapshot:
            segments = await find_segments(snapshot, ids, deps)
            at = format_utc(await snapshot.fetchval("SELECT now()"))
            tallies = await _count(snapshot, [one.id for one in segments], purpose)
        items = [
            {
                "id": one.id,
                "name": one.name,
                "customers": tallies[one.id].customers,
                **{kpi: tallies[one.id].show(kpi) for kpi in KPIS if kpi in wanted},
            }
            for one in segments
        ]
        return {"at": at, "segments": items}

    return router


async def _count(snapshot: Tx, segment_ids: list[str], purpose: str) -> dict[str, Tally]:
    tallies = {segment_id: Tally(purpose) for segment_id in segment_ids}
    after = None
    while rows := await load_views_by_segment(snapshot, segment_ids, after, _PAGE):
        for _, own, raw in rows:
            view = read_view_figures(raw)
            for segment_id in own:
                tallies[segment_id].add(view)
        after = rows[-1][0]
    return tallies
