"""`/v1/memberships/{ref}`: which segments somebody is in."""

from typing import Any

from fastapi import APIRouter, Response

from libs.kit.errors import FieldError
from libs.kit.times import format_utc, from_micros
from services.segmentation.api.deps import ApiDeps, Reader, WaitFor, WaitMs, await_touchpoint, resolve
from services.segmentation.errors import PastNotKept
from services.segmentation.store.reading import load_memberships_of


def build_memberships_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/memberships", tags=["memberships"])

    @router.get("/{ref}")
    async def read_memberships(
        ref: str,
        response: Response,
        _: Reader,
        at: str | None = None,
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> dict[str, Any]:
        """The segments of a profile now, and since when. Asking for the past comes with a later version."""
        if at is not None:
            raise PastNotKept("Only the present can be asked for.", errors=[FieldError("#/query/at", "isn't supported yet")])
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.transaction() as tx:
            profile_id = await resolve(tx, ref, deps, response, location="/v1/memberships/{id}")
            rows = await load_memberships_of(tx, profile_id)
        segments = [
            {"id": id_, "since": format_utc(from_micros(since_us)), "version": version} for id_, since_us, version in rows
        ]
        return {"profile_id": str(profile_id), "at": format_utc(deps.seg.clock.now()), "segments": segments}

    return router
