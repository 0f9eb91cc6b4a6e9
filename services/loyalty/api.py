"""HTTP of loyalty: what a member has, what moved it, and spending it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from libs.durable.cursors import decode_cursor, encode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.events.envelope import Outgoing
from libs.identity import IdentityKey
from libs.kit.auth import Principal
from libs.kit.db import Database, Tx
from libs.kit.errors import BadRequest, Invalid
from libs.kit.http import StrictModel, requires
from libs.kit.pages import Table, render_page
from libs.kit.times import format_utc
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox
from libs.subscriber import OUTCOME_HEADER, Affected, Arrivals, ProfileNotFound, resolve_ref
from libs.subscriber.roots import lock_roots
from libs.subscriber.store import load_members
from libs.subscriber.waiting import DEFAULT_WAIT_MS, MAX_WAIT_MS
from services.loyalty.domain.ledger import InsufficientPoints
from services.loyalty.errors import InsufficientPointsError
from services.loyalty.handlers import Loyalty, Redeemed, adjust_points, redeem_points
from services.loyalty.ports import StatementLine

MAX_POINTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the routes work with."""

    database: Database
    outbox: Outbox
    loyalty: Loyalty
    identity_key: IdentityKey
    arrivals: Arrivals


class Redemption(StrictModel):
    points: Annotated[int, Field(gt=0, le=MAX_POINTS, description="Points to burn, at once and as a whole.")]
    reason: Annotated[str | None, Field(max_length=500)] = None


class Adjustment(StrictModel):
    points: Annotated[int, Field(ge=-MAX_POINTS, le=MAX_POINTS, description="Points to give; negative takes them.")]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


Ref = str
WaitFor = Annotated[UUID | None, Query(description="A touchpoint id: answer once its effects are in.")]
WaitMs = Annotated[int, Query(ge=0, le=MAX_WAIT_MS)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Command = Callable[[Tx, Affected], Awaitable[tuple[Redeemed | InsufficientPoints, list[Outgoing]]]]


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(tags=["points"])
    _add_views(router, deps)
    _add_commands(router, deps)
    _add_page(router, deps)
    return router


def _add_views(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/v1/members/{ref}")
    async def read_member(
        ref: Ref,
        response: Response,
        _: Annotated[Principal, requires("loyalty:read")],
        wait_for: WaitFor = None,
        wait_ms: WaitMs = DEFAULT_WAIT_MS,
    ) -> dict[str, Any]:
        """Balance of a member. Anybody known is a member; one without points has zeros."""
        await _await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.transaction() as tx:
            profile_id = await _resolve(tx, ref, deps, response)
            fragments = (await load_members(tx, [profile_id]))[profile_id]
            balances = await deps.loyalty.ledger.load_balances(tx, fragments)
        return {
            "profile_id": str(profile_id),
            "program": deps.loyalty.program.id,
            "balance": sum(entry.balance for entry, _ in balances.values()),
            "pending": 0,
            "expiring": [],
            "lifetime": sum(lifetime for _, lifetime in balances.values()),
            "tier": None,
        }

    @router.get("/v1/members/{ref}/statement")
    async def read_statement(
        ref: Ref,
        response: Response,
        _: Annotated[Principal, requires("loyalty:read")],
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: str | None = None,
        wait_for: WaitFor = None,
        wait_ms: WaitMs = DEFAULT_WAIT_MS,
    ) -> dict[str, Any]:
        """Everything that moved the balance, newest first."""
        await _await_touchpoint(deps, response, wait_for, wait_ms)
        before = _decode_position(cursor) if cursor else None
        async with deps.database.transaction() as tx:
            profile_id = await _resolve(tx, ref, deps, response)
            fragments = (await load_members(tx, [profile_id]))[profile_id]
            lines = await deps.loyalty.ledger.load_statement(tx, fragments, limit=limit + 1, before=before)
        page, more = lines[:limit], len(lines) > limit
        last = page[-1] if more else None
        position = (format_micros(last.posted_at), str(last.id), last.line) if last else None
        return {"items": [_line(line) for line in page], "next_cursor": encode_cursor(position) if position else None}

    @router.get("/v1/programs")
    async def list_programs(_: Annotated[Principal, requires("loyalty:read")]) -> dict[str, Any]:
        """The programs in force."""
        program = deps.loyalty.program
        item = {"id": program.id, "name": program.name, "minor_per_point": program.currencies}
        return {"items": [item], "next_cursor": None}


def _add_commands(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/v1/members/{ref}/redemptions", status_code=201)
    async def create_redemption(
        ref: Ref,
        body: Redemption,
        request: Request,
        _: Annotated[Principal, requires("loyalty:burn")],
        key: IdempotencyKey = None,
    ) -> Response:
        """Burn points. Needs an `Idempotency-Key`; 409 `insufficient_points` when the balance doesn't cover it."""

        async def burn(tx: Tx, member: Affected) -> tuple[Redeemed | InsufficientPoints, list[Outgoing]]:
            return await redeem_points(tx, member, body.points, body.reason, deps.loyalty)

        return await _run_command(deps, request, ref, body, key, burn)

    @router.post("/v1/members/{ref}/adjustments", status_code=201)
    async def create_adjustment(
        ref: Ref,
        body: Adjustment,
        request: Request,
        _: Annotated[Principal, requires("loyalty:adjust")],
        key: IdempotencyKey = None,
    ) -> Response:
        """Give or take points by hand, with a reason that the statement shows. Needs an `Idempotency-Key`."""
        if body.points == 0:
            raise Invalid("An adjustment moves at least one point.")

        async def adjust(tx: Tx, member: Affected) -> tuple[Redeemed | InsufficientPoints, list[Outgoing]]:
            return await adjust_points(tx, member, body.points, body.reason, deps.loyalty)

        return await _run_command(deps, request, ref, body, key, adjust)


def _add_page(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        async with deps.database.connection() as tx:
            kinds = await deps.loyalty.ledger.load_totals(tx)
        program = deps.loyalty.program
        rates = [(currency, minor / 100) for currency, minor in program.currencies.items()]
        tables: list[Table] = [
            ("Points moved", ("kind", "transfers", "points"), kinds),
            (f"Program {program.name}", ("currency", "units a point"), rates),
        ]
        return HTMLResponse(render_page("Rapport loyalty", "Points: what members have, what moved it, and spending it.", tables))


async def _await_touchpoint(deps: ApiDeps, response: Response, touchpoint_id: UUID | None, wait_ms: int) -> None:
    if touchpoint_id is not None:
        response.headers[OUTCOME_HEADER] = await deps.arrivals.wait_for(touchpoint_id, wait_ms)


async def _resolve(tx: Tx, ref: str, deps: ApiDeps, response: Response) -> UUID:
    resolved = await resolve_ref(tx, ref, deps.identity_key)
    if resolved.asked_id is not None:
        response.headers["Content-Location"] = f"/v1/members/{resolved.profile_id}"
    return resolved.profile_id


async def _lock_member(tx: Tx, ref: str, identity_key: IdentityKey) -> Affected:
    """The profile behind `ref`, locked, with its fragments read under the lock."""
    profile_id = (await resolve_ref(tx, ref, identity_key)).profile_id
    member = (await lock_roots(tx, [profile_id])).get(profile_id)
    if member is None:
        raise ProfileNotFound("The profile has no identifiers left.")
    return member


async def _run_command(deps: ApiDeps, request: Request, ref: str, body: StrictModel, key: str | None, run: Command) -> Response:
    """One transaction: claim the key, lock, move, remember the answer, stage the event; publish after the commit."""
    if key is None:
        raise BadRequest("Send an `Idempotency-Key`, so that a retry can't move points twice.")
    given = f"{request.method} {request.url.path}\n{body.model_dump_json()}".encode()
    outgoing: list[Outgoing] = []
    async with deps.database.transaction() as tx:

        async def move() -> StoredAnswer:
            member = await _lock_member(tx, ref, deps.identity_key)
            outcome, told = await run(tx, member)
            if isinstance(outcome, InsufficientPoints):
                raise InsufficientPointsError(f"The balance is {outcome.balance}, {outcome.asked} are needed.")
            outgoing.extend(told)
            moved = {"id": str(outcome.transaction_id), "profile_id": str(member.profile_id), "balance": outcome.balance}
            return StoredAnswer(201, msgspec.json.encode({**moved, "points": body.model_dump()["points"]}))

        answer = await answer_once(tx, key, "points", given, deps.loyalty.clock.now(), move)
        staged = await deps.outbox.stage(tx, outgoing)
    if staged is not None:
        # The points have moved; while the broker is away the worker's sweep tells it later.
        with suppress(PublishFailed):
            await deps.outbox.publish(staged, outgoing)
    return answer.to_response()


def _line(line: StatementLine) -> dict[str, Any]:
    return {
        "id": str(line.id),
        "kind": line.kind,
        "points": line.points,
        "order_id": line.order_id,
        "reason": line.reason,
        "at": format_utc(line.at),
        "posted_at": format_utc(line.posted_at),
    }


def format_micros(at: datetime) -> str:
    """Microseconds kept: a position must name its row exactly."""
    return at.isoformat()


def _decode_position(cursor: str) -> tuple[datetime, UUID, int]:
    try:
        at, transaction_id, line = decode_cursor(cursor)
        return datetime.fromisoformat(str(at)), UUID(str(transaction_id)), int(str(line))
    except ValueError as error:
        raise Invalid("The cursor is not one of ours.") from error
