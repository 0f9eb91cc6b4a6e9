"""HTTP of engagement: templates, campaigns, policies, and what was sent."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, Field

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.events.segments import EdgeCause
from libs.kit.auth import Principal
from libs.kit.db import Tx
from libs.kit.errors import FieldError
from libs.kit.http import StrictModel, requires
from libs.kit.pages import Table, render_page
from libs.kit.times import format_utc
from libs.subscriber import OUTCOME_HEADER, resolve_ref
from libs.subscriber.store import load_members
from libs.subscriber.waiting import DEFAULT_WAIT_MS, MAX_WAIT_MS
from services.engagement.api.deps import ApiDeps
from services.engagement.api.preferences import add_preferences
from services.engagement.domain.addresses import is_sender
from services.engagement.domain.campaigns import DEFAULT_CAUSES
from services.engagement.domain.templates import Template, find_fault
from services.engagement.errors import CampaignNotFound, TemplateInvalid, TemplateNotFound
from services.engagement.ports import MessageState
from services.engagement.store import MessageRow

STATES = ("sent", "queued", "skipped", "uncertain", "failed")
SHOWN_CAMPAIGNS = 200
ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def _check_sender(text: str) -> str:
    if not is_sender(text):
        raise ValueError("no e-mail address, alone or as `Name <address>`")
    return text


Sender = Annotated[str, AfterValidator(_check_sender)]


class TemplateInput(StrictModel):
    id: Annotated[str, Field(pattern=ID_PATTERN)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    subject: Annotated[str, Field(min_length=1, max_length=1_000, description="Liquid")]
    text: Annotated[str, Field(min_length=1, max_length=200_000, description="Liquid, plain text")]
    html: Annotated[str | None, Field(max_length=500_000, description="Liquid; what is inserted is escaped")] = None


class CampaignInput(StrictModel):
    id: Annotated[str, Field(pattern=ID_PATTERN)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    segment_id: Annotated[str, Field(min_length=1, max_length=200, description="Sends when a profile enters this segment.")]
    template_id: Annotated[str, Field(min_length=1, max_length=200)]
    purpose: Annotated[str, Field(min_length=1, max_length=100, description="The consent it needs, for channel email.")] = (
        "marketing"
    )
    sender: Annotated[Sender | None, Field(max_length=320, description="From header: `Shop <news@shop.example>`")] = None
    active: bool = True
    causes: Annotated[
        set[EdgeCause] | None,
        Field(min_length=1, description="Which entries start it; merges, splits, edits and back-fills only if named."),
    ] = None


class CampaignChange(StrictModel):
    active: bool


class PolicyInput(StrictModel):
    daily_cap: Annotated[int | None, Field(ge=0, le=10_000, description="Messages a profile gets per UTC day; null: no cap.")]


IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=500)]
WaitMs = Annotated[int, Query(ge=0, le=MAX_WAIT_MS)]


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter()
    _add_templates(router, deps)
    _add_campaigns(router, deps)
    _add_policies(router, deps)
    _add_messages(router, deps)
    add_preferences(router, deps)
    _add_page(router, deps)
    return router


def _add_page(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        async with deps.database.connection() as tx:
            campaigns = await deps.library.list_campaigns(tx, "", SHOWN_CAMPAIGNS)
        rows = [
            (
                one["name"],
                one["segment_id"],
                "active" if one["active"] else "paused",
                *(one["messages"].get(s, 0) for s in STATES),
            )
            for one in campaigns
        ]
        tables: list[Table] = [("Campaigns", ("campaign", "segment", "state", *STATES), rows)]
        return HTMLResponse(render_page("Rapport engagement", "Consented messages, and what became of each.", tables))


def _add_templates(router: APIRouter, deps: ApiDeps) -> None:
    @router.put("/v1/templates/{template_id}", tags=["templates"])
    @router.post("/v1/templates", status_code=201, tags=["templates"])
    async def save_template(
        body: TemplateInput,
        request: Request,
        _: Annotated[Principal, requires("engagement:write")],
        template_id: str | None = None,
        key: IdempotencyKey = None,
    ) -> Response:
        """Make or replace a Liquid template. 422 `template_invalid` points at the field that doesn't parse."""
        if template_id not in (None, body.id):
            raise TemplateInvalid("The id in the body isn't the one in the path.", errors=[FieldError("#/id", "differs")])
        template = Template(body.id, body.name, body.subject, body.text, body.html)
        if (fault := find_fault(template)) is not None:
            raise TemplateInvalid(fault.detail, errors=[FieldError(f"#/{fault.field}", fault.detail)])

        async def save(tx: Tx) -> dict[str, Any]:
            return await deps.library.save_template(tx, template, deps.engagement.clock.now())

        return await _run_command(deps, request, key, body, save)

    @router.get("/v1/templates", tags=["templates"])
    async def list_templates(
        _: Annotated[Principal, requires("engagement:read")], limit: Limit = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """All templates by id."""
        after = decode_cursor(cursor, str)[0] if cursor else ""
        async with deps.database.connection() as tx:
            rows = await deps.library.list_templates(tx, after, limit + 1)
        page = cut_page(rows, limit, lambda row: (row["id"],))
        return {"items": page.items, "next_cursor": page.next_cursor}


def _add_campaigns(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/v1/campaigns", status_code=201, tags=["campaigns"])
    async def create_campaign(
        body: CampaignInput,
        request: Request,
        _: Annotated[Principal, requires("engagement:write")],
        key: IdempotencyKey = None,
    ) -> Response:
        """Make or replace a campaign: who enters the segment from now on gets the message, once."""

        async def save(tx: Tx) -> dict[str, Any]:
            if not await deps.library.has_template(tx, body.template_id):
                raise TemplateNotFound("Make the template first.", errors=[FieldError("#/template_id", "is not known")])
            return await deps.library.save_campaign(
                tx,
                body.model_dump(exclude={"sender", "causes"})
                | {"sender": body.sender or deps.default_sender, "causes": sorted(body.causes or DEFAULT_CAUSES)},
                deps.engagement.clock.now(),
            )

        return await _run_command(deps, request, key, body, save)

    @router.get("/v1/campaigns", tags=["campaigns"])
    async def list_campaigns(
        _: Annotated[Principal, requires("engagement:read")], limit: Limit = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """All campaigns by id, with how many messages are in which state."""
        after = decode_cursor(cursor, str)[0] if cursor else ""
        async with deps.database.connection() as tx:
            rows = await deps.library.list_campaigns(tx, after, limit + 1)
        page = cut_page(rows, limit, lambda row: (row["id"],))
        return {"items": page.items, "next_cursor": page.next_cursor}

    @router.patch("/v1/campaigns/{campaign_id}", tags=["campaigns"])
    async def change_campaign(
        campaign_id: str,
        body: CampaignChange,
        request: Request,
        _: Annotated[Principal, requires("engagement:write")],
        key: IdempotencyKey = None,
    ) -> Response:
        """Pause or resume."""

        async def change(tx: Tx) -> dict[str, Any]:
            changed = await deps.library.set_active(tx, campaign_id, active=body.active)
            if changed is None:
                raise CampaignNotFound("No campaign has this id.")
            return changed

        return await _run_command(deps, request, key, body, change)


def _add_policies(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/v1/policies", tags=["policies"])
    async def read_policies(_: Annotated[Principal, requires("engagement:read")]) -> dict[str, Any]:
        """What holds for all campaigns together."""
        async with deps.database.connection() as tx:
            return {"daily_cap": await deps.engagement.outreach.daily_cap(tx)}

    @router.put("/v1/policies", tags=["policies"])
    async def write_policies(
        body: PolicyInput,
        request: Request,
        _: Annotated[Principal, requires("engagement:write")],
        key: IdempotencyKey = None,
    ) -> Response:
        """Set the cap of messages a profile gets per UTC day."""

        async def write(tx: Tx) -> dict[str, Any]:
            await deps.library.set_daily_cap(tx, body.daily_cap)
            return {"daily_cap": body.daily_cap}

        return await _run_command(deps, request, key, body, write)


async def _run_command(
    deps: ApiDeps, request: Request, key: str | None, body: StrictModel, run: Callable[[Tx], Awaitable[dict[str, Any]]]
) -> Response:
    """One transaction: claim the key, do it, remember the answer. What is posted makes something: 201."""
    given = f"{request.method} {request.url.path}\n{body.model_dump_json()}".encode()
    async with deps.database.transaction() as tx:

        async def answer() -> StoredAnswer:
            return StoredAnswer(201 if request.method == "POST" else 200, msgspec.json.encode(await run(tx)))

        answered = await answer_once(tx, key, "engagement", given, deps.engagement.clock.now(), answer)
    return answered.to_response()


def _add_messages(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/v1/messages", tags=["messages"])
    async def list_messages(
        response: Response,
        _: Annotated[Principal, requires("engagement:read")],
        profile: Annotated[str | None, Query(description="A profile id or kind:value")] = None,
        campaign: str | None = None,
        state: MessageState | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
        wait_for: Annotated[UUID | None, Query(description="A touchpoint id: answer once its effects are in.")] = None,
        wait_ms: WaitMs = DEFAULT_WAIT_MS,
    ) -> dict[str, Any]:
        """What was sent, is meant to be sent, or was decided against (state `skipped`, with the reason), newest first."""
        if wait_for is not None:
            response.headers[OUTCOME_HEADER] = await deps.arrivals.wait_for(wait_for, wait_ms)
        before = decode_cursor(cursor, datetime.fromisoformat, UUID) if cursor else None
        async with deps.database.transaction() as tx:
            fragments = await _fragments_of(tx, profile, deps) if profile is not None else None
            rows = await deps.library.list_messages(
                tx, fragments=fragments, campaign=campaign, state=state, limit=limit + 1, before=before
            )
        page = cut_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id))
        return {"items": [_message(row) for row in page.items], "next_cursor": page.next_cursor}


async def _fragments_of(tx: Tx, ref: str, deps: ApiDeps) -> list[UUID]:
    profile_id = (await resolve_ref(tx, ref, deps.identity_key)).profile_id
    return (await load_members(tx, [profile_id]))[profile_id]


def _message(row: MessageRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "campaign_id": row.campaign_id,
        "profile_id": str(row.profile_id),
        "segment_id": row.segment_id,
        "channel": "email",
        "state": row.state,
        "reason": row.reason,
        "recipient": row.recipient,
        "subject": row.subject,
        "created_at": format_utc(row.created_at),
        "updated_at": format_utc(row.updated_at),
    }
