"""Edits: `PATCH traits`, `PUT consent`, `POST lead/stage`. Each appends a touchpoint, waits until it is in, shows the view."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Request, Response
from msgspec import Raw
from pydantic import ConfigDict, Field, model_validator

from libs.durable.idempotency import REPLAYED, StoredAnswer, claim, store_answer
from libs.events import codec
from libs.events.topics import TOUCHPOINTS
from libs.events.touchpoints import ConsentStatement, Identifier, TouchpointRecorded, compute_touchpoint_id
from libs.identity import normalise, strength_key
from libs.kit.auth import Principal
from libs.kit.errors import BadRequest, FieldError, Invalid, NotYetVisible, PreconditionFailed, Unavailable
from libs.kit.http import StrictModel, read_body, requires
from libs.kit.json_values import find_fault
from libs.kit.times import to_micros
from libs.kit.trace import current_traceparent
from libs.messaging.errors import PublishFailed
from libs.subscriber import OUTCOME_HEADER
from services.profile.api.deps import ApiDeps
from services.profile.api.preconditions import is_expected, render_etag
from services.profile.api.reading import Wait
from services.profile.domain.edits import (
    SOURCE,
    Known,
    choose_identifier,
    compute_consent_time,
    compute_edit_time,
    read_lead_stage,
)
from services.profile.domain.lead import NOTE_CHARS, LeadStages
from services.profile.domain.values import KEY_CHARS
from services.profile.errors import EditNotApplied, LeadMoveNotAllowed, LeadStageUnknown, ProfileNotFound
from services.profile.handlers.tell_profiles import render_stored
from services.profile.ports import StoredProfile
from services.profile.store.outcomes import find_outcomes

MAX_TRAITS_BYTES = 32 * 1024
WAIT_MS = 2000
_CONTACTS = ("email", "phone", "loyalty_card")
_ENVELOPE = "traits"
_WORD = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"

Writes = Annotated[Principal, requires("profiles:write")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Kept 48 hours: the same key with the same input gets the same answer, with another input 422.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag of the view that the edit is based on; 412 `precondition_failed` where the profile has another "
        "version, or another profile answers, when the edit is accepted. What comes in between that moment and its application "
        "isn't looked at.",
        examples=['"5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10-42"'],
    ),
]
_traits = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class Consent(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "purpose": "marketing",
                    "channel": "email",
                    "status": "granted",
                    "wording_version": "2026-01",
                    "proof": "form 17",
                }
            ]
        }
    )

    purpose: Annotated[str, Field(max_length=100, pattern=_WORD)]
    channel: Annotated[str, Field(max_length=100, pattern=rf"^\*$|{_WORD}", description="`*`: every channel.")] = "*"
    status: Literal["granted", "denied"]
    wording_version: Annotated[str | None, Field(max_length=100)] = None
    proof: Annotated[str | None, Field(max_length=500, description="How it can be shown that this was said.")] = None


class LeadChange(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"stage": "sales-qualified", "owner": "grace@shop.example", "note": "Asked for an offer"}],
            "anyOf": [{"required": ["stage"]}, {"required": ["owner"]}],
        }
    )

    stage: Annotated[str | None, Field(max_length=100, pattern=_WORD)] = None
    owner: Annotated[str | None, Field(min_length=1, max_length=KEY_CHARS, description="Who has the lead; null: nobody.")] = None
    note: Annotated[str | None, Field(max_length=NOTE_CHARS, description="For who takes the lead over.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.stage is None and "owner" not in self.model_fields_set:
            raise ValueError("say a stage, an owner, or both")
        return self


@dataclass(frozen=True, slots=True)
class _Command:
    """What the caller asked for: whose, under which conditions, and the bytes that an Idempotency-Key stands for."""

    ref: str
    caller: str
    key: str | None
    if_match: str | None
    content: bytes

    @property
    def input_hash(self) -> bytes:
        return hashlib.sha256(f"{self.ref}\n".encode() + self.content).digest()


Build = Callable[[StoredProfile, Known, datetime], dict[str, Any]]
"""Fields of the touchpoint, given the profile as it is, the identifier it belongs to, and the time."""


def build_edits_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["profiles"])

    @router.patch("/profiles/{ref}/traits", openapi_extra=_TRAITS_BODY, responses=_ANSWERS)
    async def patch_traits(
        ref: str, request: Request, principal: Writes, key: IdempotencyKey = None, if_match: IfMatch = None
    ) -> Response:
        """Set traits, or delete them with null (JSON Merge Patch of the first level). `{"traits": {…}}` is taken as well."""
        body = await read_body(request.scope, request.receive, MAX_TRAITS_BYTES)
        traits = _read_traits(body)

        def build(profile: StoredProfile, owner: Known, now: datetime) -> dict[str, Any]:
            at = compute_edit_time(now, profile.core)
            named = [Identifier(owner.kind, owner.value, owner.fragment), *_find_contacts(traits, deps)]
            unique = {(one.kind, one.value): one for one in named}
            strongest_first = sorted(unique.values(), key=lambda one: strength_key(one.kind, one.value))
            return {
                "kind": "identify",
                "name": "Identified",
                "occurred_at": at,
                "identifiers": tuple(strongest_first),
                "traits": Raw(_encode(traits)),
            }

        return await _run(deps, _Command(ref, principal.name, key, if_match, b"traits\n" + body), build)

    @router.put("/profiles/{ref}/consent", responses=_ANSWERS)
    async def put_consent(
        ref: str, body: Consent, principal: Writes, key: IdempotencyKey = None, if_match: IfMatch = None
    ) -> Response:
        """The person's newest word on a purpose and channel: it wins over everything said before."""

        def build(profile: StoredProfile, _owner: Known, now: datetime) -> dict[str, Any]:
            at = compute_consent_time(now, profile.core, body.purpose)
            statement = ConsentStatement(**body.model_dump())
            return {"name": "Consent Changed", "occurred_at": at, "received_at": max(now, at), "consent": (statement,)}

        # Keys outlive a deployment: what came to the body later is part of the input only where it is said.
        content = body.model_dump_json(exclude={"proof"} if body.proof is None else None)
        return await _run(deps, _Command(ref, principal.name, key, if_match, b"consent\n" + content.encode()), build)

    @router.post("/profiles/{ref}/lead/stage", responses=_ANSWERS | _MOVE_REFUSED)
    async def post_lead_stage(
        ref: str, body: LeadChange, principal: Writes, key: IdempotencyKey = None, if_match: IfMatch = None
    ) -> Response:
        """Move the lead to a stage, hand it over to somebody, or both. Whether it may move there is judged as it is accepted."""
        said = body.model_dump(exclude_unset=True)

        def build(profile: StoredProfile, _owner: Known, now: datetime) -> dict[str, Any]:
            if body.stage is not None:
                _check_move(read_lead_stage(profile.core), body.stage, deps.lead_stages)
            at = compute_edit_time(now, profile.core)
            return {"name": "Lead Stage Changed", "occurred_at": at, "properties": Raw(_encode(said))}

        return await _run(deps, _Command(ref, principal.name, key, if_match, b"stage\n" + _encode(said)), build)

    return router


def _read_traits(body: bytes) -> dict[str, Raw]:
    try:
        traits = _traits.decode(body)
        if set(traits) == {_ENVELOPE} and bytes(traits[_ENVELOPE]).startswith(b"{"):
            traits = _traits.decode(traits[_ENVELOPE])
    except msgspec.ValidationError as error:
        raise Invalid("The body must be a JSON object of traits.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body isn't valid JSON, or is nested too deep.") from error
    if not traits:
        raise Invalid("Name at least one trait.")
    for name, raw in traits.items():
        _check_trait(name, raw)
    return traits


def _check_move(now: str | None, to: str, stages: LeadStages) -> None:
    """Raises LeadStageUnknown, LeadMoveNotAllowed. To where it is already is no move."""
    if to not in stages.moves:
        known = ", ".join(stages.moves)
        raise LeadStageUnknown("The stage isn't known.", errors=[FieldError("#/stage", f"is none of {known}")])
    allowed = stages.list_allowed(now)
    if to != now and to not in allowed:
        at = f"in {now}" if now is not None else "in no stage yet"
        fault = FieldError("#/stage", f"must be one of {', '.join(allowed)}")
        raise LeadMoveNotAllowed(f"The lead is {at}, from where it can't move there.", errors=[fault])


def _check_trait(name: str, raw: Raw) -> None:
    """Raises Invalid: what is appended to the log must be readable by all who follow it."""
    try:
        fault = find_fault({name: _any.decode(raw)})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = "can't be read: it isn't UTF-8, holds a number beyond all bounds, or is nested too deep"
    if fault is None and not name.strip():
        fault = "has no name"
    if fault is not None:
        raise Invalid(f"A trait {fault}.", errors=[FieldError("#/traits", fault)])


def _find_contacts(traits: dict[str, Raw], deps: ApiDeps) -> list[Identifier]:
    """E-mail, phone and loyalty card identify whoever has them, by whichever way they come."""
    found = []
    for kind in _CONTACTS:
        sent = msgspec.json.decode(traits[kind]) if kind in traits else None
        value = normalise(kind, sent, region=deps.region) if sent is not None else None
        if value is not None:
            found.append(Identifier(kind, value, deps.identity_key.fragment_id(kind, value)))
    return found


async def _run(deps: ApiDeps, command: _Command, build: Build) -> Response:
    """Claim the key, append the touchpoint, wait until it is applied, remember the answer.

    A crash in between repeats harmlessly: with a key the touchpoint's id is the same again.
    """
    scope, input_hash = f"edit:{command.caller}", command.input_hash
    if command.key is not None:
        async with deps.database.transaction() as tx:
            stored = await claim(tx, command.key, scope, input_hash, deps.clock.now())
        if stored is not None:
            return msgspec.structs.replace(stored, headers=(*stored.headers, REPLAYED)).to_response()
    touchpoint_id = await _append(deps, command, build)
    answer = await _answer(deps, command.ref, touchpoint_id)
    if command.key is not None and answer.status == 200:  # noqa: PLR2004 - a 202 isn't the end of it
        async with deps.database.transaction() as tx:
            await store_answer(tx, command.key, scope, answer)
    return answer.to_response()


async def _append(deps: ApiDeps, command: _Command, build: Build) -> UUID:
    """The id of the touchpoint, which is in the log by then. Raises PreconditionFailed, ProfileNotFound, Unavailable."""
    parsed = deps.reader.parse(command.ref)
    profile = (await deps.reader.get(command.ref)).profile
    message_id = str(deps.new_id())
    if command.key is not None:
        message_id = f"{command.caller}:{command.key}:{command.input_hash.hex()[:16]}"
    touchpoint_id = compute_touchpoint_id(SOURCE, message_id)
    etag = render_etag(profile.id, profile.version)
    if command.if_match is not None and not is_expected(command.if_match, etag):
        # A repetition whose first try was applied, but not answered: the version it was based on is gone by its own doing.
        if command.key is not None and await _is_applied(deps, touchpoint_id):
            return touchpoint_id
        raise PreconditionFailed(
            f"The reference leads to version {profile.version} of profile {profile.id} by now.", headers={"ETag": etag}
        )
    owner = choose_identifier(profile.identifiers, profile.founding, parsed if isinstance(parsed, tuple) else None)
    if owner is None:
        raise ProfileNotFound("The profile has no identifier that an edit could belong to.")
    now = deps.clock.now()
    address = deps.identity_key.fragment_id(owner.kind, owner.value)
    fields: dict[str, Any] = {
        "id": touchpoint_id,
        "message_id": message_id,
        "source_id": SOURCE,
        "kind": "track",
        "channel": "server",
        "received_at": now,
        "identifiers": (Identifier(owner.kind, owner.value, address),),
    }
    fields |= build(profile, msgspec.structs.replace(owner, fragment=address), now)
    await _publish(deps, TouchpointRecorded(**fields))
    return touchpoint_id


async def _is_applied(deps: ApiDeps, touchpoint_id: UUID) -> bool:
    async with deps.database.connection() as connection:
        return (await find_outcomes(connection, [touchpoint_id])).get(touchpoint_id) == "applied"


async def _publish(deps: ApiDeps, touchpoint: TouchpointRecorded) -> None:
    record = codec.encode(
        touchpoint,
        topic=TOUCHPOINTS,
        key=touchpoint.identifiers[0].fragment,
        event_id=str(touchpoint.id),
        source=SOURCE,
        time=touchpoint.occurred_at,
        received_ms=to_micros(touchpoint.received_at) // 1000,
        traceparent=current_traceparent(),
    )
    try:
        await deps.publisher.publish([record])
    except PublishFailed as error:
        raise Unavailable("The edit couldn't be appended to the log. Send it again, with the same Idempotency-Key.") from error


async def _answer(deps: ApiDeps, ref: str, touchpoint_id: UUID) -> StoredAnswer:
    named = ("Rapport-Touchpoint", str(touchpoint_id))
    try:
        found = await deps.reader.get(ref, Wait(touchpoint_id, WAIT_MS))
    except NotYetVisible:
        body = _encode({"touchpoint_id": touchpoint_id, "state": "appended"})
        return StoredAnswer(status=202, body=body, headers=(named,))
    if found.headers.get(OUTCOME_HEADER) == "dead_lettered":
        raise EditNotApplied("The edit was appended, but couldn't be applied. It lies among the dead letters of touchpoints.")
    return StoredAnswer(status=200, body=render_stored(found.profile), headers=(named, *found.headers.items()))


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The view with the edit in it; `Rapport-Touchpoint` names the touchpoint that it became."},
    202: {
        "description": "Appended to the log for good, but not applied within 2 seconds: `wait_for` its id.",
        "content": {
            "application/json": {"example": {"touchpoint_id": "3f0c2a4e-8d1b-8c55-b1d0-9f1f0a6b7c21", "state": "appended"}}
        },
    },
    412: {
        "description": "`If-Match` names another version than the profile has, or another profile; the ETag is the present one.",
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": {
                    "type": "urn:rapport:problem:precondition_failed",
                    "title": "The resource has changed",
                    "status": 412,
                    "detail": "The reference leads to version 43 of profile 5b1f0e0a-6c1d-8a54-9d8e-0d4f6f2f7f10 by now.",
                    "code": "precondition_failed",
                },
            }
        },
    },
}
_MOVE_REFUSED: dict[int | str, dict[str, Any]] = {
    409: {
        "description": "`lead_move_not_allowed`: from its present stage the lead can't move there; `errors` names where it can.",
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": {
                    "type": "urn:rapport:problem:lead_move_not_allowed",
                    "title": "The lead can't move there",
                    "status": 409,
                    "detail": "The lead is in subscriber, from where it can't move there.",
                    "code": "lead_move_not_allowed",
                    "errors": [{"pointer": "#/stage", "detail": "must be one of lead, marketing-qualified, customer"}],
                },
            }
        },
    },
}
_TRAITS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "additionalProperties": True, "minProperties": 1},
                "example": {"plan": "gold", "nickname": None},
            }
        },
    }
}
