"""`GET /v1/accounts/{id}`: an account as all its group calls speak of it, and who belongs to it."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from msgspec import Raw

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, cut_page, decode_cursor
from libs.kit.auth import Principal
from libs.kit.http import requires
from services.profile.api.deps import ApiDeps
from services.profile.api.reading import build_wait
from services.profile.domain.accounts import show_account
from services.profile.domain.values import render_time
from services.profile.errors import AccountNotFound
from services.profile.store.accounts import load_account, load_members

_FIRST_ID: Final = UUID(int=0)
_encode = msgspec.json.Encoder().encode
_EXAMPLE: Final = {
    "id": "acme",
    "name": "Acme",
    "since": "2026-01-01T00:00:00.000Z",
    "traits": {"name": "Acme", "plan": "enterprise"},
    "members": {
        "items": [{"profile_id": "5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10", "since": "2026-01-01T00:00:00.000Z"}],
        "next_cursor": None,
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The account", "content": {"application/json": {"example": _EXAMPLE}}},
    404: {"description": "`account_not_found`: no group call has named it."},
}


def build_accounts_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["accounts"])

    @router.get("/accounts/{account_id}", responses=_ANSWERS)
    async def read_account(
        account_id: str,
        _: Annotated[Principal, requires("profiles:read")],
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Members on a page.")] = DEFAULT_LIMIT,
        cursor: Annotated[str | None, Query(description="`members.next_cursor` of the page before.")] = None,
        wait_for: Annotated[str | None, Query(description="A touchpoint id: answer once its effects are in.")] = None,
        wait_ms: Annotated[str | None, Query(description="How long to wait, 2000 by default, at most 10000.")] = None,
    ) -> Response:
        """The account's traits, each the latest word of whichever group call named it, and a page of its members by profile id.

        A member's `since` is its own first group call, the account's the first of all.
        """
        after: UUID = decode_cursor(cursor, UUID)[0] if cursor else _FIRST_ID
        headers = await deps.reader.wait(build_wait(wait_for, wait_ms, None))
        async with deps.database.connection() as connection:
            stored = await load_account(connection, account_id)
            rows = await load_members(connection, account_id, after, limit + 1) if stored is not None else []
        if stored is None:
            raise AccountNotFound("No group call has named an account of this id.")
        page = cut_page(rows, limit, lambda row: (row[0],))
        members = {
            "items": [{"profile_id": row[0], "since": Raw(render_time(row[1]))} for row in page.items],
            "next_cursor": page.next_cursor,
        }
        body = _encode({**show_account(account_id, stored), "members": members})
        return Response(body, media_type="application/json", headers=headers)

    return router
