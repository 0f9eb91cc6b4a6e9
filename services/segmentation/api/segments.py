"""`/v1/segments`: definitions, who would be in, and why somebody is."""

import re
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Response

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.kit.db import Tx
from libs.kit.errors import BadRequest
from libs.kit.times import format_utc, from_micros
from services.segmentation.api.deps import (
    ApiDeps,
    Cursor,
    IdempotencyKey,
    Limit,
    Reader,
    WaitFor,
    WaitMs,
    Writer,
    await_touchpoint,
    find_segment,
    resolve,
)
from services.segmentation.api.shapes import ChangedSegment, NewSegment, PreviewRequest, show_segment, show_warnings
from services.segmentation.handlers.ask_rules import explain_membership, preview_rule
from services.segmentation.handlers.context import parse_stored
from services.segmentation.handlers.define_segments import (
    Wanted,
    change_segment,
    check_references,
    create_segment,
    delete_segment,
    find_warnings,
    read_rule,
)
from services.segmentation.ports import Definition
from services.segmentation.store.reading import count_members

IfMatch = Annotated[str | None, Header(alias="If-Match")]
_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,9})"')
_PLAIN: Final = msgspec.json.Encoder(decimal_format="number")
_PREVIEWED: Final = "preview"


def build_segments_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/segments", tags=["segments"])
    _add_definition_routes(router, deps)
    _add_question_routes(router, deps)
    return router


def _add_definition_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("", status_code=201)
    async def create(body: NewSegment, _: Writer, key: IdempotencyKey = None) -> Response:
        """Save a segment and fill it from everybody known. It is `live` once that is done; what happens meanwhile is in, too."""
        return await _create(deps, body, key)

    @router.put("/{segment_id}")
    async def change(
        segment_id: str, body: ChangedSegment, response: Response, _: Writer, if_match: IfMatch = None
    ) -> dict[str, Any]:
        """Make the next version. Only members who differ are told, with the cause `edit`. The same again changes nothing."""
        wanted = Wanted(body.name, body.description, body.rule)
        async with deps.database.transaction() as tx:
            version = _read_version(if_match)
            definition = await change_segment(tx, segment_id, wanted, deps.seg, deps.jobs, version=version)
        async with deps.database.connection() as connection:
            return await _show_changed(connection, definition, deps, response)

    @router.delete("/{segment_id}", status_code=204)
    async def delete(segment_id: str, _: Writer) -> None:
        """Take a segment out of force; its members are told that they exited. 409 while other segments name it."""
        async with deps.database.transaction() as tx:
            await delete_segment(tx, segment_id, deps.seg, deps.jobs)

    @router.get("")
    async def list_segments(
        response: Response, _: Reader, limit: Limit = 50, cursor: Cursor = None, wait_for: WaitFor = None, wait_ms: WaitMs = 2000
    ) -> dict[str, Any]:
        """All segments by id, with how many are in each now."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        after = decode_cursor(cursor, str)[0] if cursor else ""
        async with deps.database.connection() as connection:
            definitions = [one for one in await deps.seg.definitions.load_all(connection) if one.id > after]
            page = cut_page(definitions[: limit + 1], limit, lambda one: (one.id,))
            members = await count_members(connection)
            items = [await _show(connection, one, members.get(one.id, 0), deps) for one in page.items]
        return {"items": items, "next_cursor": page.next_cursor}

    @router.get("/{segment_id}")
    async def read(
        segment_id: str, response: Response, _: Reader, wait_for: WaitFor = None, wait_ms: WaitMs = 2000
    ) -> dict[str, Any]:
        """One segment with its rule, its version as ETag, and how far its back-fill is."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.connection() as connection:
            definition = await find_segment(connection, segment_id, deps)
            members = await count_members(connection, segment_id)
            response.headers["ETag"] = f'"{definition.version}"'
            return await _show(connection, definition, members.get(segment_id, 0), deps)


def _add_question_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/preview")
    async def preview(body: PreviewRequest, _: Reader) -> dict[str, Any]:
        """Who would be in, before anything is saved: how many of how many, some of them, and what they share with others."""
        return await _preview(deps, body)

    @router.get("/{segment_id}/explain/{ref}")
    async def explain(
        segment_id: str, ref: str, response: Response, _: Reader, wait_for: WaitFor = None, wait_ms: WaitMs = 2000
    ) -> dict[str, Any]:
        """Why somebody is in it or not: each condition with the facts, and when the answer changes if only time goes on."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.transaction() as tx:
            definition = await find_segment(tx, segment_id, deps)
            location = f"/v1/segments/{segment_id}/explain/{{id}}"
            profile_id = await resolve(tx, ref, deps, response, location=location)
            return _show_explained(profile_id, definition, await explain_membership(tx, profile_id, definition, deps.seg))


async def _create(deps: ApiDeps, body: NewSegment, key: str | None) -> Response:
    wanted = Wanted(body.name, body.description, body.rule, body.id)
    async with deps.database.transaction() as tx:

        async def create() -> StoredAnswer:
            definition = await create_segment(tx, wanted, deps.seg, deps.jobs)
            warnings = await find_warnings(tx, parse_stored(definition), deps.seg, deps.trait_names)
            shown = show_segment(definition, 0, None, rule=body.rule, warnings=warnings)
            headers = (("Location", f"/v1/segments/{definition.id}"), ("ETag", f'"{definition.version}"'))
            return StoredAnswer(201, msgspec.json.encode(shown), headers)

        answer = await answer_once(tx, key, "segments", body.model_dump_json().encode(), deps.seg.clock.now(), create)
    return answer.to_response()


async def _show_changed(tx: Tx, definition: Definition, deps: ApiDeps, response: Response) -> dict[str, Any]:
    members = await count_members(tx, definition.id)
    warnings = await find_warnings(tx, parse_stored(definition), deps.seg, deps.trait_names)
    response.headers["ETag"] = f'"{definition.version}"'
    shown = await _show(tx, definition, members.get(definition.id, 0), deps)
    return {**shown, "warnings": show_warnings(warnings)}


async def _show(tx: Tx, definition: Definition, members: int, deps: ApiDeps) -> dict[str, Any]:
    job = await deps.jobs.get(tx, definition.job_id)
    return show_segment(definition, members, job, rule=msgspec.json.decode(definition.rule))


async def _preview(deps: ApiDeps, body: PreviewRequest) -> dict[str, Any]:
    rule = read_rule(body.rule)
    async with deps.database.connection() as connection:
        definitions = {one.id: one for one in await deps.seg.definitions.load_all(connection)}
        others = {id_: one for id_, one in definitions.items() if id_ != _PREVIEWED}
        await check_references(connection, _PREVIEWED, rule, others, deps.seg)
        warnings = await find_warnings(connection, rule, deps.seg, deps.trait_names)
    found = await preview_rule(deps.database, rule, deps.seg, deps.preview_source, max_profiles=deps.preview_max_profiles)
    return {
        "count": found.count,
        "of": found.of,
        "estimated": found.one_in > 1,
        "sample": [{"profile_id": str(profile_id)} for profile_id in found.sample],
        "overlaps": _show_overlaps(found.overlaps, {id_: one.name for id_, one in definitions.items()}),
        "warnings": show_warnings(warnings),
    }


def _show_overlaps(overlaps: dict[str, int], names: dict[str, str]) -> list[dict[str, Any]]:
    """The largest first."""
    known = [(segment_id, count) for segment_id, count in overlaps.items() if segment_id in names]
    known.sort(key=lambda pair: (-pair[1], pair[0]))
    return [{"id": segment_id, "name": names[segment_id], "count": count} for segment_id, count in known]


def _show_explained(profile_id: UUID, definition: Definition, found: dict[str, Any]) -> dict[str, Any]:
    told, due_us = found["told"], found["due_us"]
    is_member = told is not None and told.is_member
    return {
        "segment": {"id": definition.id, "name": definition.name, "version": definition.version, "state": definition.state},
        "profile_id": str(profile_id),
        "at": format_utc(from_micros(found["at_us"])),
        "member": is_member,
        "since": format_utc(from_micros(told.since_us)) if is_member else None,
        "result": found["result"],
        "changes_at": format_utc(from_micros(due_us)) if due_us is not None else None,
        "rule": _to_plain(found["tree"]),
    }


def _to_plain(value: Any) -> Any:
    """Exact decimals as JSON numbers."""
    return msgspec.json.decode(_PLAIN.encode(value))


def _read_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise BadRequest("`If-Match` holds the ETag of the version you have seen.")
    return int(found[1])
