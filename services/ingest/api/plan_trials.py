"""What a version of a tracking plan would do to what came lately, and what broke the versions in force."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT
from libs.events.topics import TOUCHPOINTS
from libs.kit.auth import Principal
from libs.kit.http import StrictModel, requires
from libs.messaging.errors import SourceUnavailable
from services.ingest.api.debugger import PERSONAL_DATA
from services.ingest.api.deps import ApiDeps
from services.ingest.api.sources import Instant
from services.ingest.domain.masking import mask
from services.ingest.domain.plans import Message
from services.ingest.domain.tallies import Breaches, Broken
from services.ingest.errors import BodyInvalid, LogUnreadable
from services.ingest.handlers import plans as handlers

PlanId = Annotated[str, Path(max_length=64)]


class DryRunIn(StrictModel):
    """`version`: the latest where it is missing. `sources`: those the plan is given to. `events`: how many at most."""

    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    sources: list[str] | None = Field(default=None, min_length=1, max_length=100)
    events: int = Field(default=1000, ge=1, le=10_000)


class SampleOut(BaseModel):
    """`message` is masked without the scope `sources:personal-data`, and null where it was too large to keep."""

    touchpoint_id: UUID
    message: dict[str, Any] | None


class FindingOut(BaseModel):
    """`place` is the word of the plan that was broken."""

    event: str
    place: str
    count: int
    samples: list[SampleOut]


class DryRunOut(BaseModel):
    """`judged` = `passed` + `blocked` + `flagged` + `omitted`: members left out, and nothing else wrong."""

    version: int
    judged: int
    passed: int
    blocked: int
    flagged: int
    omitted: int
    violations: list[FindingOut]


class ViolationOut(FindingOut):
    version: int
    source: str
    first_at: Instant
    last_at: Instant


class ViolationsOut(BaseModel):
    items: list[ViolationOut]
    next_cursor: None = None


def add_trials(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{plan_id}/dry-run")
    async def dry_run(
        plan_id: PlanId, body: DryRunIn, principal: Annotated[Principal, requires("tracking-plans:read")]
    ) -> DryRunOut:
        """Judge the last touchpoints that were taken, as far back as the log is looked through, without any effect."""
        async with deps.database.connection() as connection:
            entry = await handlers.find_plan(connection, deps.plans, plan_id)
            stored = await handlers.find_version(connection, deps.plans, plan_id, body.version or entry.version)
        sources = body.sources or list(entry.sources)
        if not sources:
            raise BodyInvalid("The plan is given to no source: say whose touchpoints to judge.")
        plan = handlers.compile_version(stored)
        async with deps.log.open_view(sources, [TOUCHPOINTS.name]) as view:
            try:
                records = await view.look_back(body.events)
            except SourceUnavailable as error:
                raise LogUnreadable from error
        run = await asyncio.to_thread(handlers.dry_run, plan, records)
        is_masked = not principal.has(PERSONAL_DATA)
        outcomes = {outcome: run.outcomes[outcome] for outcome in ("passed", "blocked", "flagged", "omitted")}
        return DryRunOut(
            version=stored.version,
            judged=run.judged,
            **outcomes,
            violations=[
                FindingOut(
                    event=finding.event,
                    place=finding.place,
                    count=finding.count,
                    samples=[
                        SampleOut(touchpoint_id=one, message=_show(said, is_masked=is_masked)) for one, said in finding.samples
                    ],
                )
                for finding in handlers.sort_findings(run.findings.values())
            ],
        )

    @router.get("/{plan_id}/violations")
    async def list_violations(
        plan_id: PlanId,
        principal: Annotated[Principal, requires("tracking-plans:read")],
        source: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    ) -> ViolationsOut:
        """What broke the versions that were in force, most frequent first, with samples. Kept as long as rejections."""
        await deps.upkeep.flush()
        async with deps.database.connection() as connection:
            await handlers.find_plan(connection, deps.plans, plan_id)
            found = await deps.plans.list_violations(connection, plan_id, source_id=source, limit=limit)
        is_masked = not principal.has(PERSONAL_DATA)
        return ViolationsOut(items=[_show_violation(broken, breaches, is_masked=is_masked) for broken, breaches in found.items()])


def _show_violation(broken: Broken, breaches: Breaches, *, is_masked: bool) -> ViolationOut:
    return ViolationOut(
        event=broken.event,
        place=broken.place,
        version=broken.version,
        source=broken.source_id,
        count=breaches.count,
        first_at=breaches.first_at,
        last_at=breaches.last_at,
        samples=[
            SampleOut(touchpoint_id=sample.touchpoint_id, message=_show_sample(sample.message, is_masked=is_masked))
            for sample in breaches.samples
        ],
    )


def _show(message: Message, *, is_masked: bool) -> dict[str, Any]:
    encoded = msgspec.json.encode({"properties": message.properties, "traits": message.traits})
    return {"event": message.name, "type": message.kind, **(_show_sample(encoded, is_masked=is_masked) or {})}


def _show_sample(encoded: bytes, *, is_masked: bool) -> dict[str, Any] | None:
    if not encoded:
        return None
    members: dict[str, Any] = msgspec.json.decode(encoded)
    payloads = {name: mask(members[name]) if is_masked else members[name] for name in ("properties", "traits")}
    return {**members, **payloads}
