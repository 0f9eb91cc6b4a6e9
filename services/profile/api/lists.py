"""Lists: a profile's timeline and history, many profiles at once, search, refusals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Raw
from pydantic import BaseModel, Field

from libs.consent import decide
from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, Page, decode_cursor, encode_cursor
from libs.kit.auth import Principal
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel, requires
from libs.kit.times import from_micros, parse_utc, to_micros
from services.profile.api.deps import ApiDeps
from services.profile.api.reading import Found, build_wait
from services.profile.api.searching import Search, decode_place, find_all, find_by_id, find_sorted
from services.profile.api.shapes import show_consent, show_history, show_origin, show_refusal, show_touchpoint
from services.profile.domain.provenance import trace_traits
from services.profile.handlers.tell_profiles import render_stored
from services.profile.ports import StoredProfile
from services.profile.store.provenance import load_member_states, load_sources
from services.profile.store.timeline import (
    END_OF_TIME,
    LAST_ID,
    TimelineFilter,
    load_consents,
    load_history,
    load_refusals,
    load_timeline,
)

_TRAIT = "trait."
_ORIGIN = {
    "name": "first_name",
    "value": "Ada",
    "original": " ADA",
    "at": "2026-01-01T00:00:00.000Z",
    "touchpoint_id": "5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10",
    "source": "dev-server",
    "fragment": "0f17f1f0-a6d7-8201-a6de-b40723a8f9af",
}
_WORD = {"purpose": "marketing", "channel": "email", "status": "granted", "wording_version": "2026-01", "proof": "form 17"}
_CONSENT = {
    "touchpoint_id": "5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10",
    "name": "Consent Changed",
    "at": "2026-01-01T00:00:00.000Z",
    "received_at": "2026-01-01T00:00:00.120Z",
    "source": "profile-api",
    "fragment": "0f17f1f0-a6d7-8201-a6de-b40723a8f9af",
    "words": [_WORD],
}
_EFFECTIVE = {
    "purpose": "marketing",
    "channel": "email",
    "status": "granted",
    "because": "word",
    "country": "*",
    "word": {**_WORD, "at": "2026-01-01T00:00:00.000Z", "source": "profile-api"},
}
_CONSENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Newest first",
        "content": {"application/json": {"example": {"items": [_CONSENT], "next_cursor": None, "effective": _EFFECTIVE}}},
    }
}
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Views",
        "content": {
            "application/json": {
                "example": {
                    "items": [{"id": "5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10", "version": 42, "traits": {"first_name": "Ada"}}],
                    "next_cursor": None,
                }
            }
        },
    }
}
_TRAITS: dict[int | str, dict[str, Any]] = {
    200: {"description": "By name", "content": {"application/json": {"example": {"items": [_ORIGIN], "next_cursor": None}}}}
}
LAST_APPLIED = (1 << 63) - 1
_LAST_REASON = "\U0010ffff"
_encode = msgspec.json.Encoder().encode

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query()]
Reads = Annotated[Principal, requires("profiles:read")]
WaitFor = Annotated[str | None, Query(description="A touchpoint id: answer once its effects are in.")]
WaitMs = Annotated[str | None, Query(description="How long to wait, 2000 by default, at most 10000.")]


class BatchRequest(StrictModel):
    refs: Annotated[list[str], Field(min_length=1, max_length=MAX_LIMIT)]


class TimelineQuery(BaseModel):
    channel: str | None = None
    name: str | None = None
    since: Annotated[str | None, Field(alias="from", description="Inclusive.")] = None
    until: Annotated[str | None, Field(alias="to", description="Exclusive.")] = None
    text: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Stands in the touchpoint's properties, in any letter case.")
    ] = None
    include: Annotated[Literal["context"] | None, Field(description="Also the context as sent.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: str | None = None
    wait_for: str | None = None
    wait_ms: str | None = None


class SearchQuery(BaseModel):
    q: Annotated[
        str | None,
        Field(
            max_length=1000,
            description="A profile id, an identifier's value (e-mail, phone, …) or `kind:value`, exact; or how the words of "
            "a name begin, each with at least 2 letters: `ada lov`.",
            examples=["ada lov"],
        ),
    ] = None
    fuzzy: Annotated[bool, Field(description="A word of `q` may also be a name's but for one slip: `jonh smiht`.")] = False
    sort: Annotated[
        str | None,
        Field(
            pattern=r"^-?(name|first_seen_at|last_seen_at|orders|net\.[A-Z]{3})$",
            description="`name`, `first_seen_at`, `last_seen_at`, `orders` or `net.EUR`; `-` in front: descending. Without `q` "
            "or a trait only `name`, of those who have one; the others sort up to 2000 matches, of more 422 `too_many_to_sort`.",
            examples=["-last_seen_at"],
        ),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: str | None = None
    wait_for: str | None = None
    wait_ms: str | None = None


class ConsentQuery(BaseModel):
    purpose: Annotated[str | None, Field(description="Only words on this purpose.")] = None
    channel: Annotated[str | None, Field(description="Only words on this channel; with a purpose, `effective` answers too.")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: str | None = None
    wait_for: str | None = None
    wait_ms: str | None = None


class _Shown(msgspec.Struct):
    """Of a view what lists and decisions are made of."""

    consent: list[dict[str, Any]] = []
    traits: dict[str, Any] = {}
    accounts: Raw = Raw(b"[]")


_shown = msgspec.json.Decoder(_Shown)


def build_lists_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["profiles"])
    _add_profile_lists(router, deps)
    _add_consent(router, deps)
    _add_searches(router, deps)

    @router.get("/identity/refusals", tags=["identity"])
    async def list_refusals(
        _: Reads, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, wait_for: WaitFor = None, wait_ms: WaitMs = None
    ) -> Response:
        """Identifiers that gave way, with the reason and the touchpoint, newest first."""
        headers = await deps.reader.wait(build_wait(wait_for, wait_ms, None))
        before = decode_cursor(cursor, int, str) if cursor else (LAST_APPLIED, _LAST_REASON)
        async with deps.database.connection() as connection:
            rows = await load_refusals(connection, (before[0], before[1]), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return answer_page([show_refusal(row) for row in rows[:limit]], (last[0], last[2]) if last else None, headers)

    return router


def _add_profile_lists(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/profiles/{ref}/timeline")
    async def list_timeline(ref: str, _: Reads, query: Annotated[TimelineQuery, Query()]) -> Response:
        """What the customer did, newest first, over all identifiers of the profile."""
        since, until = _parse_instant("from", query.since), _parse_instant("to", query.until)
        before = (until, UUID(int=0)) if until is not None else (END_OF_TIME, LAST_ID)
        if query.cursor:
            before = min(before, decode_cursor(query.cursor, from_micros, UUID))
        found = await deps.reader.get(ref, build_wait(query.wait_for, query.wait_ms, None))
        wanted = TimelineFilter(query.channel, query.name, since, query.text)
        async with deps.database.connection() as connection:
            rows = await load_timeline(connection, found.profile.id, wanted, before, query.limit + 1)
        last = rows[query.limit - 1] if len(rows) > query.limit else None
        items = [show_touchpoint(row, with_context=query.include == "context") for row in rows[: query.limit]]
        return answer_page(items, (to_micros(last[1]), last[2]) if last else None, _list_headers(found, "timeline"))

    @router.get("/profiles/{ref}/traits", responses=_TRAITS)
    async def list_traits(ref: str, _: Reads, wait_for: WaitFor = None, wait_ms: WaitMs = None) -> Response:
        """Each trait of the view with where it comes from: the touchpoint that had the last word, its time and its source.

        `source` is null where the touchpoint is in the timeline no more.
        """
        found = await deps.reader.get(ref, build_wait(wait_for, wait_ms, None))
        async with deps.database.snapshot() as connection:
            origins = trace_traits(await load_member_states(connection, found.profile.id))
            sources = await load_sources(connection, origins)
        items = [show_origin(one, sources.get(one.touchpoint_id)) for one in origins]
        return answer_page(items, None, _list_headers(found, "traits"))

    @router.get("/profiles/{ref}/identifiers")
    async def list_identifiers(ref: str, _: Reads, wait_for: WaitFor = None, wait_ms: WaitMs = None) -> Response:
        """Every live identifier of the profile once, the strongest first, as the view shows them."""
        found = await deps.reader.get(ref, build_wait(wait_for, wait_ms, None))
        return _answer_all(found.profile.identifiers, _list_headers(found, "identifiers"))

    @router.get("/profiles/{ref}/accounts")
    async def list_accounts(ref: str, _: Reads, wait_for: WaitFor = None, wait_ms: WaitMs = None) -> Response:
        """The accounts that the profile's own group calls have named, as the view shows them."""
        found = await deps.reader.get(ref, build_wait(wait_for, wait_ms, None))
        shown = _shown.decode(b"{%b}" % found.profile.core)
        return _answer_all(bytes(shown.accounts), _list_headers(found, "accounts"))

    @router.get("/profiles/{ref}/history")
    async def list_history(
        ref: str, _: Reads, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, wait_for: WaitFor = None, wait_ms: WaitMs = None
    ) -> Response:
        """The merges and splits that made the profile, each with its cause, newest first."""
        before = decode_cursor(cursor, int, UUID) if cursor else (LAST_APPLIED, LAST_ID)
        found = await deps.reader.get(ref, build_wait(wait_for, wait_ms, None))
        async with deps.database.connection() as connection:
            rows = await load_history(connection, found.profile.id, (before[0], before[1]), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        items = [show_history(row) for row in rows[:limit]]
        return answer_page(items, (last[0], last[1]) if last else None, _list_headers(found, "history"))


def _add_consent(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/profiles/{ref}/consent", responses=_CONSENTS)
    async def list_consent(ref: str, _: Reads, query: Annotated[ConsentQuery, Query()]) -> Response:
        """Every word that was ever said of consent, newest first: an append-only history with source, wording and proof.

        `effective` answers for the purpose and channel asked for, and why: the `word` that decides, the latest of the channel's
        own and `*`; or, where nobody said anything, what silence means in the customer's `country` (`RAPPORT_CONSENT_DEFAULTS`).
        """
        before = decode_cursor(query.cursor, from_micros, UUID) if query.cursor else (END_OF_TIME, LAST_ID)
        found = await deps.reader.get(ref, build_wait(query.wait_for, query.wait_ms, None))
        async with deps.database.connection() as connection:
            rows = await load_consents(connection, found.profile.id, (before[0], before[1]), query.limit + 1)
        last = rows[query.limit - 1] if len(rows) > query.limit else None
        items = [show_consent(row, query.purpose, query.channel) for row in rows[: query.limit]]
        effective = _decide(found.profile, query.purpose, query.channel, deps) if query.purpose and query.channel else None
        page = {
            "items": [one for one in items if one.words],
            "next_cursor": encode_cursor((to_micros(last[1]), last[2])) if last else None,
            "effective": effective,
        }
        return Response(_encode(page), media_type="application/json", headers=_list_headers(found, "consent"))


def _add_searches(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/profiles/batch")
    async def read_batch(body: BatchRequest, _: Reads) -> Response:
        """Up to 500 profiles at once, in the order asked for; `profile` is null where nobody answers to the reference."""
        found = await find_all(deps, body.refs)
        items = [
            {"ref": ref, "profile": Raw(render_stored(profile)) if profile is not None else None}
            for ref, profile in zip(body.refs, found, strict=True)
        ]
        return answer_page(items, None, {})

    @router.get("/profiles", responses=_FOUND)
    async def search_profiles(request: Request, _: Reads, query: Annotated[SearchQuery, Query()]) -> Response:
        """Profiles by identifier or name (`q`) and by traits (`trait.country=DE`), else all. Sorted by id, or by `sort`."""
        headers = await deps.reader.wait(build_wait(query.wait_for, query.wait_ms, None))
        traits = {name.removeprefix(_TRAIT): value for name, value in request.query_params.items() if name.startswith(_TRAIT)}
        search = Search(query.q, traits, fuzzy=query.fuzzy)
        place = decode_place(query.cursor, query.sort)
        if query.sort is None:
            found = await find_by_id(deps, search, place, query.limit)
        else:
            found = await find_sorted(deps, search, query.sort, place, query.limit)
        return answer_page([Raw(view) for view in found.views], found.last, headers)


def _decide(profile: StoredProfile, purpose: str, channel: str, deps: ApiDeps) -> dict[str, Any]:
    shown = _shown.decode(b"{%b}" % profile.core)
    decided = decide(shown.consent, purpose, channel, shown.traits, deps.consent_defaults)
    return {
        "purpose": purpose,
        "channel": channel,
        "status": decided.status,
        "because": "default" if decided.word is None else "word",
        "country": decided.country,
        "word": decided.word,
    }


def _list_headers(found: Found, name: str) -> dict[str, str]:
    headers = {key: value for key, value in found.headers.items() if key != "ETag"}
    if found.asked_id is not None:
        headers["Content-Location"] = f"/v1/profiles/{found.profile.id}/{name}"
    return headers


def answer_page(items: Sequence[Any], last: Sequence[str | int | UUID] | None, headers: dict[str, str]) -> Response:
    page = Page(items, encode_cursor(last) if last is not None else None)
    return Response(_encode(page), media_type="application/json", headers=headers)


def _answer_all(items: bytes, headers: dict[str, str]) -> Response:
    """A list that fits on one page."""
    return Response(b'{"items":%b,"next_cursor":null}' % items, media_type="application/json", headers=headers)


def _parse_instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_utc(text)
    except ValueError as error:
        raise Invalid(f"`{name}` isn't a time.", errors=[FieldError(f"#/query/{name}", str(error))]) from error
