"""Commands of identity: merge, split, and the bans that splits leave. Each may be tried as a dry run first."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from msgspec import Raw
from pydantic import Field

from libs.durable.cursors import DEFAULT_LIMIT, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.events.envelope import Outgoing
from libs.identity import RefMalformed, parse_ref
from libs.kit.auth import Principal
from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel
from libs.messaging.errors import PublishFailed
from services.profile.api.deps import ApiDeps
from services.profile.api.edits import IdempotencyKey, Writes
from services.profile.api.lists import LAST_APPLIED, Cursor, Limit, Reads, answer_page
from services.profile.api.shapes import show_ban
from services.profile.handlers.regroup_profiles import (
    Command,
    Regroupment,
    count_command,
    lift_ban,
    merge_profiles,
    split_profile,
)
from services.profile.store.commands import describe_fragments, load_bans

_SCOPE = "identity"
_encode = msgspec.json.Encoder().encode

Reason = Annotated[
    str,
    Field(max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$", description="Why; the history of the profile shows it."),
]
DryRun = Annotated[bool, Field(description="Show what would come of it, and change nothing.")]


class MergeRequest(StrictModel):
    other: Annotated[str, Field(max_length=2000, description="A profile id or `kind:value`.")]
    reason: Reason
    dry_run: DryRun = False


class IdentifierNamed(StrictModel):
    kind: Annotated[str, Field(max_length=64)]
    value: Annotated[str, Field(max_length=2000)]


class SplitRequest(StrictModel):
    identifier: IdentifierNamed
    reason: Reason
    dry_run: DryRun = False


class _UndoneError(Exception):
    """Rolls a dry run back, with what it answers."""

    def __init__(self, answer: StoredAnswer) -> None:
        self.answer = answer


def _undo(answer: StoredAnswer) -> NoReturn:
    raise _UndoneError(answer)


Run = Callable[[Tx, Command], Awaitable[tuple[dict[str, Any], list[Outgoing]]]]


def build_identity_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["identity"])
    _add_commands(router, deps)

    @router.get("/identity/bans")
    async def list_bans(_: Reads, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """Bans in force: identifiers that were split off, and from what they are kept, newest first."""
        before = decode_cursor(cursor, int)[0] if cursor else LAST_APPLIED
        async with deps.database.connection() as connection:
            rows = await load_bans(connection, before, limit + 1)
            described = await describe_fragments(connection, {one for row in rows for one in (row[5], *row[6])})
        last = rows[limit - 1] if len(rows) > limit else None
        return answer_page([show_ban(row, described) for row in rows[:limit]], (last[0],) if last else None, {})

    @router.delete("/identity/bans/{ban_id}", status_code=204)
    async def delete_ban(ban_id: UUID, principal: Writes) -> Response:
        """Lift a ban: touchpoints received from now on may link the identifiers again. What came before stays void.

        It stands in the history of the profiles concerned, as `unban` with the id of the ban and who lifted it.
        """
        async with deps.database.transaction() as tx:
            await lift_ban(tx, ban_id, principal.name, deps.regrouping)
        return Response(status_code=204)

    return router


def _add_commands(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/profiles/{ref}/merge")
    async def post_merge(ref: str, body: MergeRequest, principal: Writes, key: IdempotencyKey = None) -> Response:
        """Make one profile of two. The one founded first survives; the other's id leads to it from then on."""
        one, other = deps.reader.parse(ref), deps.reader.parse(body.other)

        async def run(tx: Tx, command: Command) -> tuple[dict[str, Any], list[Outgoing]]:
            made = await merge_profiles(tx, one, other, command, deps.regrouping)
            return {"profile": Raw(made.profile), "absorbed_id": made.other_id}, made.outgoing

        return await _run(deps, ("merge", ref), body, principal, key, run)

    @router.post("/profiles/{ref}/split")
    async def post_split(ref: str, body: SplitRequest, principal: Writes, key: IdempotencyKey = None) -> Response:
        """Take an identifier out of a profile, with all that was folded under it, and ban it from what stays."""
        target, identifier = deps.reader.parse(ref), _parse_identifier(body.identifier, deps.region)

        async def run(tx: Tx, command: Command) -> tuple[dict[str, Any], list[Outgoing]]:
            made: Regroupment = await split_profile(tx, target, identifier, command, deps.regrouping)
            return {"profile": Raw(made.profile), "split": Raw(made.other or b"null"), "ban_id": command.id}, made.outgoing

        return await _run(deps, ("split", ref), body, principal, key, run)


def _parse_identifier(named: IdentifierNamed, region: str) -> tuple[str, str]:
    try:
        parsed = parse_ref(f"{named.kind}:{named.value}", region=region)
    except RefMalformed as error:
        raise Invalid("The identifier can't be one.", errors=[FieldError("#/identifier", str(error))]) from error
    if isinstance(parsed, UUID):
        raise Invalid("The identifier can't be one.", errors=[FieldError("#/identifier", "is a profile id")])
    return parsed


async def _run(
    deps: ApiDeps,
    route: tuple[Literal["merge", "split"], str],
    body: MergeRequest | SplitRequest,
    principal: Principal,
    key: str | None,
    run: Run,
) -> Response:
    """One transaction: claim the key, lock, regroup, remember the answer, stage the records; publish after the commit.

    A dry run does the same and is rolled back; no key is claimed for it.
    """
    command = Command(deps.new_id(), principal.name, body.reason)
    outgoing: list[Outgoing] = []

    async def regroup() -> StoredAnswer:
        said, told = await run(tx, command)
        outgoing.extend(told)
        return StoredAnswer(200, _encode({"id": command.id, "dry_run": body.dry_run, **said}))

    try:
        async with deps.database.transaction() as tx:
            if body.dry_run:
                _undo(await regroup())
            given = f"{' '.join(route)}\n{body.model_dump_json()}".encode()
            answer = await answer_once(tx, key, f"{_SCOPE}:{principal.name}", given, deps.clock.now(), regroup)
            staged = await deps.outbox.stage(tx, outgoing)
    except _UndoneError as undone:
        return undone.answer.to_response()
    if staged is not None:
        count_command(route[0])
        # It is done; while the broker is away the worker's sweep tells it later.
        with suppress(PublishFailed):
            await deps.outbox.publish(staged, outgoing)
    return answer.to_response()
