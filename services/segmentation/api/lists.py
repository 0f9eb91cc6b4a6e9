"""`/v1/lists`: groups of customers that somebody wrote down. Rules name them like segments."""

import asyncio
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.kit.errors import UnsupportedMediaType
from libs.kit.times import format_utc
from services.segmentation.api.deps import ApiDeps, Cursor, IdempotencyKey, Limit, Reader, Writer
from services.segmentation.api.shapes import NewList
from services.segmentation.domain.ref_files import RefFile
from services.segmentation.handlers.keep_lists import Uploaded, create_list, delete_list, find_list, upload_refs
from services.segmentation.ports import ManualList

_TYPES: Final = ("text/csv", "text/plain", "application/octet-stream")
_FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "ref\nemail:ada@example.com\nuser_id:u1\n0b0c4c9e-3d55-8f6e-9a53-0d9f6f8d2f11\n",
            }
        },
    }
}


def build_lists_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/lists", tags=["lists"])
    _add_definition_routes(router, deps)
    _add_entry_routes(router, deps)
    return router


def _add_definition_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("", status_code=201)
    async def create(body: NewList, _: Writer, key: IdempotencyKey = None) -> Response:
        """An empty list, to be filled with a file."""
        async with deps.database.transaction() as tx:

            async def create() -> StoredAnswer:
                made = await create_list(tx, body.name, body.description, body.id, deps.seg)
                return StoredAnswer(201, msgspec.json.encode(_show(made)), (("Location", f"/v1/lists/{made.id}"),))

            answer = await answer_once(tx, key, "lists", body.model_dump_json().encode(), deps.seg.clock.now(), create)
        return answer.to_response()

    @router.get("")
    async def list_lists(_: Reader, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """All lists by id."""
        after = decode_cursor(cursor, str)[0] if cursor else ""
        async with deps.database.connection() as connection:
            found = [one for one in await deps.seg.lists.load_all(connection) if one.id > after]
        page = cut_page(found[: limit + 1], limit, lambda one: (one.id,))
        return {"items": [_show(one) for one in page.items], "next_cursor": page.next_cursor}

    @router.get("/{list_id}")
    async def read(list_id: str, _: Reader) -> dict[str, Any]:
        """One list, with how many references are on it."""
        async with deps.database.connection() as connection:
            return _show(await find_list(connection, list_id, deps.seg))

    @router.delete("/{list_id}", status_code=204)
    async def delete(list_id: str, _: Writer) -> None:
        """409 while a segment names it."""
        async with deps.database.transaction() as tx:
            await delete_list(tx, list_id, deps.seg)


def _add_entry_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{list_id}/entries", openapi_extra=_FILE)
    async def append(list_id: str, request: Request, _: Writer) -> dict[str, Any]:
        """Add whom the file names: `kind:value` or a profile id a line. Nobody known by one yet joins when they appear."""
        return await _upload(deps, list_id, request, is_replacing=False)

    @router.put("/{list_id}/entries", openapi_extra=_FILE)
    async def replace(list_id: str, request: Request, _: Writer) -> dict[str, Any]:
        """The same, and take everybody off the list whom the file doesn't name."""
        return await _upload(deps, list_id, request, is_replacing=True)


async def _upload(deps: ApiDeps, list_id: str, request: Request, *, is_replacing: bool) -> dict[str, Any]:
    content_type = request.headers.get("content-type", _TYPES[0]).partition(";")[0].strip().lower()
    if content_type not in _TYPES:
        raise UnsupportedMediaType("Send the file as it is: text/csv.")
    async with deps.database.connection() as connection:
        await find_list(connection, list_id, deps.seg)
    file = RefFile(deps.identity_key.fragment_id, most_refs=deps.list_max_refs, most_bytes=deps.list_max_bytes)
    async for chunk in request.stream():
        await asyncio.to_thread(file.feed, chunk)  # identifiers are normalised: thousands of them keep everybody else waiting
    file.finish()
    async with deps.database.transaction() as tx:
        uploaded = await upload_refs(tx, list_id, file, deps.seg, deps.jobs, is_replacing=is_replacing)
    return _show_upload(uploaded, file)


def _show(one: ManualList) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "entries": one.entries,
        "created_at": format_utc(one.created_at),
        "updated_at": format_utc(one.updated_at),
    }


def _show_upload(uploaded: Uploaded, file: RefFile) -> dict[str, Any]:
    """Lines are counted from 1; of those that are told the first hundred."""
    change = uploaded.change
    return {
        "list": _show(uploaded.kept),
        "added": change.added,
        "removed": change.removed,
        "unknown": {"count": change.unknown, "lines": list(change.unknown_lines)},
        "unreadable": {
            "count": file.unreadable,
            "lines": [{"line": line, "detail": detail} for line, detail in file.unreadable_lines],
        },
        "job_id": str(uploaded.job_id) if uploaded.job_id is not None else None,
    }
