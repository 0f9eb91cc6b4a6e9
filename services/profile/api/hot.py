"""The hot routes, outside the framework: one profile by any reference, and all of them as a stream."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import FastAPI
from starlette.requests import ClientDisconnect

from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import Receive, Scope, Send, add_raw_route, authorise_scope, get_header, send_json
from libs.kit.times import format_utc
from services.profile.api.deps import ApiDeps
from services.profile.api.preconditions import is_unchanged
from services.profile.api.reading import NO_WAIT, parse_wait
from services.profile.domain.views import MEMBERS, pick_members
from services.profile.errors import TooManyStreams
from services.profile.handlers.tell_profiles import render_stored
from services.profile.store.views import load_page

_PAGE: Final = 500
_NDJSON: Final = b"application/x-ndjson"
_FIRST_ID: Final = UUID(int=0)
_MOST_STREAMS: Final = 2
"""In one process: each holds a connection of the pool to its end."""
_LONGEST_STALL_S: Final = 30.0
SNAPSHOT_HEADER: Final = "Rapport-Snapshot-At"


def add_hot_routes(app: FastAPI, deps: ApiDeps) -> None:
    async def read_profile(scope: Scope, _receive: Receive, send: Send) -> None:
        authorise_scope(scope, deps.access, "profiles:read")
        query = scope["query_string"]
        found = await deps.reader.get(scope["path_params"]["ref"], parse_wait(query) if query else NO_WAIT)
        headers = [(name.lower().encode(), value.encode()) for name, value in found.headers.items()]
        known = get_header(scope, b"if-none-match")
        if known is not None and is_unchanged(known, found.headers["ETag"]):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        view = render_stored(found.profile)
        included = _parse_include(query) if b"include=" in query else None
        await send_json(send, 200, view if included is None else pick_members(view, included), headers)

    running = 0

    async def stream_profiles(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running
        authorise_scope(scope, deps.access, "profiles:read")
        after = _parse_after(scope["query_string"])
        if running >= _MOST_STREAMS:
            detail = f"{_MOST_STREAMS} streams run already. Come again when one has ended."
            raise TooManyStreams(detail, headers={"Retry-After": "10"})
        running += 1
        try:
            async with asyncio.timeout(deps.longest_stream_s):
                await _run_while_connected(stream(after, send), receive)
        finally:
            running -= 1

    async def stream(after: UUID, send: Send) -> None:
        async with deps.database.snapshot() as snapshot:
            await stream_views(snapshot, after, send, _LONGEST_STALL_S)

    add_raw_route(app, "/v1/profiles/stream", ["GET"], stream_profiles, _STREAM)
    add_raw_route(app, "/v1/profiles/{ref}", ["GET"], read_profile, _READ)


async def stream_views(snapshot: Tx, after: UUID, send: Send, longest_stall_s: float) -> None:
    """All views behind an id as they stand at one moment. Raises TimeoutError for a reader who stops reading."""
    at = format_utc(await snapshot.fetchval("SELECT now()"))
    headers = [(b"content-type", _NDJSON), (SNAPSHOT_HEADER.lower().encode(), at.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while page := await load_page(snapshot, after, _PAGE):
        lines = b"".join(b"%b\n" % render_stored(one) for one in page)
        # The snapshot keeps what has changed since from being cleaned up: it isn't held for somebody who went away.
        async with asyncio.timeout(longest_stall_s):
            await send({"type": "http.response.body", "body": lines, "more_body": True})
        after = page[-1].id
    await send({"type": "http.response.body", "body": b""})


async def _run_while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Raises ClientDisconnect as soon as the client goes away: nothing that is sent from then on says so."""
    working, watching = asyncio.create_task(work), asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        await working
    finally:
        working.cancel()
        watching.cancel()
        # Only when both have ended is the connection back in its pool.
        await asyncio.gather(working, watching, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _parse_include(query: bytes) -> frozenset[str]:
    """Raises Invalid."""
    given = dict(parse_qsl(query.decode("latin-1"))).get("include", "")
    names = frozenset(filter(None, given.split(",")))
    if not names <= frozenset(MEMBERS):
        fault = FieldError("#/query/include", f"names other than {', '.join(MEMBERS)}")
        raise Invalid("`include` names what the view doesn't have.", errors=[fault])
    return names


def _parse_after(query: bytes) -> UUID:
    given = dict(parse_qsl(query.decode("latin-1"))).get("after")
    try:
        return UUID(given) if given is not None else _FIRST_ID
    except ValueError:
        raise Invalid("`after` isn't a profile id.", errors=[FieldError("#/query/after", "isn't a profile id")]) from None


def _parameter(name: str, description: str, where: str = "query", **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": {"type": "string", **schema},
    }


WAIT_PARAMETERS: Final = [
    _parameter("wait_for", "A touchpoint id: answer once its effects are in, or 504 `not_yet_visible`.", format="uuid"),
    {"name": "wait_ms", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 10000, "default": 2000}},
    _parameter(
        "wait_for_facets",
        "`segments`, `loyalty`, or both with a comma: also wait until these have judged what the touchpoint made.",
    ),
]
_REF: Final = _parameter("ref", "A profile id, or `kind:value` percent-encoded (`email:ada%40example.com`).", "path")
_ETAG_EXAMPLE: Final = '"5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10-42"'
_VIEW_EXAMPLE: Final = {
    "id": "5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10",
    "version": 42,
    "identifiers": [{"kind": "email", "value": "ada@example.com", "verified": True}],
    "traits": {"first_name": "Ada"},
    "segments": [{"id": "vip", "name": "Very important", "since": "2026-01-01T00:00:00.000Z"}],
    "loyalty": {"program": "default", "balance": 120, "pending": 0, "tier": None},
}
_READ: Final[dict[str, Any]] = {
    "tags": ["profiles"],
    "summary": "The 360-degree view, by any identifier",
    "description": "An absorbed id answers with its root's view and a `Content-Location`. Needs scope `profiles:read`.",
    "security": [{"api_key": []}],
    "parameters": [
        _REF,
        *WAIT_PARAMETERS,
        _parameter(
            "include",
            f"Only these members, with commas between: {', '.join(MEMBERS)}. Id, version and times come along; all without it.",
            example="traits,consent",
        ),
        _parameter(
            "If-None-Match",
            "The ETag of what the caller has: 304 while that is the present version of the profile that answers.",
            "header",
            example=_ETAG_EXAMPLE,
        ),
    ],
    "responses": {
        "200": {
            "description": "The view as of `version`",
            "headers": {
                "ETag": {
                    "description": "The profile's id and the version, with a hyphen between, in quotes.",
                    "schema": {"type": "string", "example": _ETAG_EXAMPLE},
                }
            },
            "content": {"application/json": {"schema": {"type": "object"}, "example": _VIEW_EXAMPLE}},
        },
        "304": {"description": "The version named in `If-None-Match` is the present one of the profile that answers"},
    },
}
_STREAM: Final[dict[str, Any]] = {
    "tags": ["profiles"],
    "summary": "All views, one JSON object a line",
    "description": "In the order of ids, as all of them stand at the moment that `Rapport-Snapshot-At` names, whatever changes "
    "meanwhile. The `id` of the last whole line is the cursor: `after` goes on behind it, with a snapshot of its own; a profile "
    "that was merged in between may then stand in what was read before as well. A stream that is complete ends properly; one "
    "that is cut doesn't end its chunks. At most two run at once in a process, and a reader who takes nothing for 30 seconds, "
    "or takes longer than an hour (`PROFILE_LONGEST_STREAM_S`), is cut off. Needs scope `profiles:read`.",
    "security": [{"api_key": []}],
    "parameters": [_parameter("after", "The `id` of the last line already read.", format="uuid")],
    "responses": {
        "200": {
            "description": "Views",
            "headers": {
                SNAPSHOT_HEADER: {
                    "description": "The moment of the snapshot.",
                    "schema": {"type": "string", "format": "date-time", "example": "2026-03-01T12:00:00.000Z"},
                }
            },
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        "429": {"description": "`too_many_streams`"},
    },
}
