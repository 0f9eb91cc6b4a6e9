"""`/v1/memberships/{ref}`: which segments somebody is in."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from libs.kit.errors import BadRequest, FieldError
from libs.kit.times import format_utc, from_micros, parse_utc, to_micros
from services.segmentation.api.deps import ApiDeps, Reader, WaitFor, WaitMs, await_touchpoint, resolve
from services.segmentation.errors import InstantAhead
from services.segmentation.handlers.ask_past import Past, ask_past
from services.segmentation.store.reading import load_memberships_of


def build_memberships_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/memberships", tags=["memberships"])

    @router.get("/{ref}")
    async def read_memberships(
        ref: str,
        response: Response,
        _: Reader,
        at: Annotated[str | None, Query(description="A date or time: what was true then, by all that is known now.")] = None,
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> dict[str, Any]:
        """The segments of a profile now, and since when.

        With `at`: those it was in at that instant by the rules of now and all that is known by now; `since` is null where the
        membership was told to nobody at the time, and `changes` are the first 500 told after the instant.
        """
        at_us = _read_instant(at, deps) if at is not None else None
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.transaction() as tx:
            profile_id = await resolve(tx, ref, deps, response, location="/v1/memberships/{id}")
            if at_us is not None:
                return _show_past(profile_id, at_us, await ask_past(tx, profile_id, at_us, deps.seg))
            rows = await load_memberships_of(tx, profile_id)
        segments = [
            {"id": id_, "since": format_utc(from_micros(since_us)), "version": version} for id_, since_us, version in rows
        ]
        return {"profile_id": str(profile_id), "at": format_utc(deps.seg.clock.now()), "segments": segments}

    return router


def _read_instant(at: str, deps: ApiDeps) -> int:
    """Raises BadRequest, InstantAhead."""
    try:
        at_us = to_micros(parse_utc(at))
    except ValueError as error:
        raise BadRequest(f"`at` is a date or time: {error}.") from error
    if at_us > to_micros(deps.seg.clock.now()):
        raise InstantAhead("Nobody knows what will be.", errors=[FieldError("#/query/at", "lies in the future")])
    return at_us


def _show_past(profile_id: UUID, at_us: int, past: Past) -> dict[str, Any]:
    segments = [
        {"id": one.segment.id, "since": _format(one.since_us), "version": one.segment.version} for one in past.memberships
    ]
    changes = [
        {
            "id": edge.segment_id,
            "action": "entered" if edge.seq % 2 else "exited",
            "seq": edge.seq,
            "at": _format(edge.at_us),
            "version": edge.version,
            "cause": edge.cause,
        }
        for edge in past.changes
    ]
    return {"profile_id": str(profile_id), "at": _format(at_us), "segments": segments, "changes": changes}


def _format(at_us: int | None) -> str | None:
    return format_utc(from_micros(at_us)) if at_us is not None else None
