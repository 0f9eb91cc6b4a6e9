"""`/v1/tracking-plans`: what sources have agreed to send, in versions; trying one out, putting it in force, what breaks it."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, cut_page, decode_cursor
from libs.kit.auth import Principal
from libs.kit.errors import BadRequest
from libs.kit.http import StrictModel, requires
from services.ingest.api.deps import ApiDeps
from services.ingest.api.plan_trials import add_trials
from services.ingest.api.sources import Instant
from services.ingest.domain.plans import Mode
from services.ingest.errors import BodyInvalid, PlanNotFound
from services.ingest.handlers import plans as handlers
from services.ingest.ports import PlanEntry, PlanVersion

READ: Final = "tracking-plans:read"
WRITE: Final = "tracking-plans:write"
PlanId = Annotated[str, Path(max_length=64)]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
IfMatch = Annotated[str | None, Header(alias="If-Match")]
_ETAG: Final = re.compile(r'"(\d{1,9})"')


class EventIn(StrictModel):
    """`schema` judges `{"type", "event", "properties", "traits", "context"}`; `violations` is this event's own answer."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: dict[str, Any] = Field(alias="schema")
    violations: Mode | None = None


class PlanIn(StrictModel):
    """`events` go by the touchpoint's standard name (`Page Viewed`, `Identified` for calls that have none of their own).

    `common` holds for every planned event. `violations`: what becomes of one that isn't as planned; `unplanned`: of one that
    the plan doesn't name. `block` parks it as `plan_violation`, `flag` takes it with a flag, `omit-unknown` drops members of
    properties and traits that no schema names, `allow` doesn't judge.
    """

    name: str = Field(min_length=1, max_length=200)
    events: dict[str, EventIn] = Field(default_factory=dict)
    common: dict[str, Any] | None = None
    violations: Mode = "flag"
    unplanned: Mode = "allow"


class NewPlanIn(PlanIn):
    id: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")


class ActivationIn(StrictModel):
    version: int = Field(ge=1, le=2**31 - 1)


class PlanSummaryOut(BaseModel):
    """`version` is the latest; `active_version` the one that judges, null until one is put in force."""

    id: str
    version: int
    active_version: int | None
    sources: list[str]


class PlansOut(BaseModel):
    items: list[PlanSummaryOut]
    next_cursor: str | None


class VersionOut(BaseModel):
    plan: str
    version: int
    created_at: Instant
    created_by: str
    document: dict[str, Any]


class VersionsOut(BaseModel):
    items: list[VersionOut]
    next_cursor: None = None


class PlanOut(PlanSummaryOut):
    document: dict[str, Any]


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/tracking-plans", tags=["tracking plans"])
    _add_reading(router, deps)
    _add_writing(router, deps)
    _add_force(router, deps)
    add_trials(router, deps)
    return router


def _add_reading(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("")
    async def list_plans(
        _principal: Annotated[Principal, requires(READ)],
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> PlansOut:
        after = None if cursor is None else decode_cursor(cursor, str)[0]
        async with deps.database.connection() as connection:
            page = cut_page(await deps.plans.list_plans(connection, after=after, limit=limit + 1), limit, lambda one: (one.id,))
        return PlansOut(items=[_summarise(entry) for entry in page.items], next_cursor=page.next_cursor)

    @router.get("/{plan_id}")
    async def get_plan(plan_id: PlanId, response: Response, _principal: Annotated[Principal, requires(READ)]) -> PlanOut:
        """The latest version, in force or not; its number is the ETag."""
        return await _show_plan(deps, plan_id, response)

    @router.get("/{plan_id}/versions")
    async def list_versions(plan_id: PlanId, _principal: Annotated[Principal, requires(READ)]) -> VersionsOut:
        """Newest first. A version never changes."""
        async with deps.database.connection() as connection:
            await handlers.find_plan(connection, deps.plans, plan_id)
            versions = await deps.plans.list_versions(connection, plan_id)
        return VersionsOut(items=[_show_version(version) for version in versions])

    @router.get("/{plan_id}/versions/{version}")
    async def get_version(
        plan_id: PlanId, version: VersionNumber, _principal: Annotated[Principal, requires(READ)]
    ) -> VersionOut:
        async with deps.database.connection() as connection:
            return _show_version(await handlers.find_version(connection, deps.plans, plan_id, version))


def _add_writing(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("", status_code=201)
    async def create_plan(body: NewPlanIn, response: Response, principal: Annotated[Principal, requires(WRITE)]) -> PlanOut:
        """Its first version. It judges nothing until it is put in force and given to sources."""
        plan_id = body.id or _make_id(body.name)
        made = _build_version(deps, plan_id, 1, body, principal)
        async with deps.database.transaction() as tx:
            await handlers.create_plan(tx, deps.plans, made)
        response.headers["location"] = f"/v1/tracking-plans/{plan_id}"
        return await _show_plan(deps, plan_id, response)

    @router.put("/{plan_id}")
    async def change_plan(
        plan_id: PlanId,
        body: PlanIn,
        response: Response,
        principal: Annotated[Principal, requires(WRITE)],
        if_match: IfMatch = None,
    ) -> PlanOut:
        """The next version; the same again makes none. It isn't in force yet: try it out first."""
        made = _build_version(deps, plan_id, 1, body, principal)
        async with deps.database.transaction() as tx:
            await handlers.change_plan(tx, deps.plans, made, expected=_read_version(if_match))
        return await _show_plan(deps, plan_id, response)


def _add_force(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{plan_id}/activate")
    async def activate(
        plan_id: PlanId, body: ActivationIn, response: Response, _principal: Annotated[Principal, requires(WRITE)]
    ) -> PlanOut:
        """Put a version in force, an older one too; everywhere within 5 s. What was blocked can then be replayed."""
        async with deps.database.transaction() as tx:
            await handlers.activate_version(tx, deps.plans, plan_id, body.version)
        await deps.upkeep.refresh()
        return await _show_plan(deps, plan_id, response)

    @router.put("/{plan_id}/sources/{source_id}", status_code=204)
    async def assign(plan_id: PlanId, source_id: PlanId, _principal: Annotated[Principal, requires(WRITE)]) -> None:
        """Judge a source by this plan, instead of the one it had."""
        async with deps.database.transaction() as tx:
            await handlers.assign_source(tx, deps.plans, deps.source_store, plan_id, source_id)
        await deps.upkeep.refresh()

    @router.delete("/{plan_id}/sources/{source_id}", status_code=204)
    async def withdraw(plan_id: PlanId, source_id: PlanId, _principal: Annotated[Principal, requires(WRITE)]) -> None:
        async with deps.database.transaction() as tx:
            if not await deps.plans.withdraw(tx, plan_id, source_id):
                raise PlanNotFound("The source isn't judged by this plan.")
        await deps.upkeep.refresh()


def _build_version(deps: ApiDeps, plan_id: str, number: int, body: PlanIn, principal: Principal) -> PlanVersion:
    document = body.model_dump(by_alias=True, exclude_none=True, exclude={"id"})
    _, encoded = handlers.compile_document(plan_id, number, document)
    return PlanVersion(plan_id, number, encoded, deps.clock.now(), principal.name)


async def _show_plan(deps: ApiDeps, plan_id: str, response: Response) -> PlanOut:
    async with deps.database.connection() as connection:
        entry = await handlers.find_plan(connection, deps.plans, plan_id)
        latest = await handlers.find_version(connection, deps.plans, plan_id, entry.version)
    response.headers["etag"] = f'"{entry.version}"'
    return PlanOut(**_summarise(entry).model_dump(), document=handlers.read_document(latest))


def _summarise(entry: PlanEntry) -> PlanSummaryOut:
    return PlanSummaryOut(id=entry.id, version=entry.version, active_version=entry.active_version, sources=list(entry.sources))


def _show_version(version: PlanVersion) -> VersionOut:
    return VersionOut(
        plan=version.plan_id,
        version=version.version,
        created_at=version.created_at,
        created_by=version.created_by,
        document=handlers.read_document(version),
    )


def _read_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise BadRequest("`If-Match` holds the ETag of the version you have seen.")
    return int(found[1])


def _make_id(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")
    if not words:
        raise BodyInvalid("No id can be made of this name: give one.")
    return words
