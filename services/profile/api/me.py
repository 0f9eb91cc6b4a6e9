"""`GET /v1/me`: what a website may read of its own visitor. Answers for any well-formed id alike: it tells nobody who exists."""

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import FastAPI

from libs.kit.auth import Source
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import Receive, Scope, Send, add_raw_route, document_raw_route, get_header, send_json
from libs.kit.origins import BROWSER_KINDS, is_origin_allowed
from libs.kit.problems import to_rapport_error
from services.profile.api.deps import ApiDeps
from services.profile.domain.identity import ANONYMOUS_ID
from services.profile.domain.visitors import NOBODY, is_only_anonymous, is_unguessable, may_see, read_seen, show_visitor
from services.profile.errors import InvalidWriteKey, KeyNotForBrowsers, OriginNotAllowed, VisitorIdGuessable
from services.profile.store.visitors import load_vouched

_PATH: Final = "/v1/me"
_VISITOR: Final = "anonymous_id"
_MOST_PARAMETERS: Final = 20
_MOST_IDENTIFIERS: Final = 200
"""Nobody has more; a profile that was given more by claims isn't looked through at every call."""
_PRIVATE: Final = {"cache-control": "private, no-store", "vary": "origin"}
_PREFLIGHT: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, OPTIONS"),
    (b"access-control-allow-headers", b"x-write-key, traceparent"),
    (b"access-control-max-age", b"900"),
]
_encode = msgspec.json.Encoder().encode


def add_visitor_routes(app: FastAPI, deps: ApiDeps) -> None:
    async def read_me(scope: Scope, _receive: Receive, send: Send) -> None:
        origin = get_header(scope, b"origin")
        headers = {"access-control-allow-origin": origin or "*", **_PRIVATE}
        try:
            shown = await _show(scope, deps, origin)
        except Exception as error:
            # A page may read why it got nothing, too, whatever the reason; nobody keeps any of it.
            answer = to_rapport_error(error)
            answer.headers.update(headers)
            if answer is error:
                raise
            raise answer from error
        await send_json(send, 200, _encode(shown), [(name.encode(), value.encode("latin-1")) for name, value in headers.items()])

    async def preflight(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
        await send({"type": "http.response.body", "body": b""})

    add_raw_route(app, _PATH, ["GET"], read_me)
    add_raw_route(app, _PATH, ["OPTIONS"], preflight)
    document_raw_route(app, _PATH, "GET", _ME)


async def _show(scope: Scope, deps: ApiDeps, origin: str | None) -> dict[str, Any]:
    given = _read_query(scope["query_string"])
    source = _find_source(get_header(scope, b"x-write-key") or given.get("writeKey"), deps)
    if source.allowed_origins and origin is not None and not is_origin_allowed(origin.lower(), source.allowed_origins):
        raise OriginNotAllowed("The source of this key doesn't name this website among its origins.")
    visitor = given.get(_VISITOR)
    if visitor is None:
        raise Invalid(f"Send the visitor's `{_VISITOR}`.", errors=[FieldError(f"#/query/{_VISITOR}", "is missing")])
    if not is_unguessable(visitor):
        detail = "must be a UUIDv4, 32 or more hexadecimal digits, or 22 or more random characters of base64url"
        raise VisitorIdGuessable(f"`{_VISITOR}` {detail}.", errors=[FieldError(f"#/query/{_VISITOR}", detail)])
    return await _show_known(visitor, deps)


async def _show_known(visitor: str, deps: ApiDeps) -> dict[str, Any]:
    profile = await deps.reader.find(f"{ANONYMOUS_ID}:{visitor}")
    if profile is None:
        return NOBODY
    address = deps.identity_key.fragment_id(ANONYMOUS_ID, visitor)
    seen = read_seen(profile.identifiers)
    if len(seen) > _MOST_IDENTIFIERS:
        return NOBODY
    if not is_only_anonymous(seen):
        async with deps.database.connection() as connection:
            vouched = await load_vouched(connection, [one.fragment for one in seen])
        if not may_see(seen, address, vouched):
            return NOBODY
    return show_visitor(profile.facets)


def _read_query(query: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_PARAMETERS))
    except ValueError as error:
        raise Invalid(f"A query has at most {_MOST_PARAMETERS} parameters.") from error


def _find_source(key: str | None, deps: ApiDeps) -> Source:
    source = deps.access.source_for(key.strip()) if key else None
    if source is None:
        raise InvalidWriteKey(
            "No write key, or one that is unknown, revoked, or of a disabled source.",
            headers={"WWW-Authenticate": 'Basic realm="rapport write key"'},
        )
    if source.kind not in BROWSER_KINDS:
        raise KeyNotForBrowsers("This write key isn't a website's or an app's.")
    return source


_ME: Final[dict[str, Any]] = {
    "tags": ["visitors"],
    "summary": "What a website may read of its own visitor",
    "description": "With a write key of a web or mobile source, from its allowed origins. The visitor is known by an anonymous "
    "id that nobody can guess, and by nothing else. Segments, tier and points are shown where nobody but the shop itself can "
    "have tied the id to the profile: while all that is known of the visitor are anonymous ids, or once servers have named the "
    "id together with all that is known of the person, at once or one after the other. Everybody else reads the same empty "
    "answer.",
    "security": [],
    "parameters": [
        {
            "name": _VISITOR,
            "in": "query",
            "required": True,
            "description": "A UUIDv4, 32 to 128 hexadecimal digits, or 22 to 128 characters of base64url in both letter cases.",
            "schema": {"type": "string", "example": "8f14e45f-ceea-467f-9575-2d4b0e6e1a3c"},
        },
        {"name": "X-Write-Key", "in": "header", "required": False, "schema": {"type": "string", "example": "dev-browser-key"}},
        {
            "name": "writeKey",
            "in": "query",
            "required": False,
            "description": "Instead of the header.",
            "schema": {"type": "string"},
        },
    ],
    "responses": {
        "200": {
            "description": "Empty and zero where nobody is known, or nothing may be shown",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "required": ["segments", "tier", "points"]},
                    "example": {"segments": [{"id": "vip", "name": "Very important"}], "tier": "silver", "points": 120},
                }
            },
        },
        "401": {"description": "`invalid_write_key`"},
        "403": {"description": "`origin_not_allowed`, `key_not_for_browsers`"},
        "422": {"description": "`visitor_id_guessable`, or `invalid` without an id"},
    },
}
