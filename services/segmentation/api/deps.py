"""What all routes work with, and what several of them do alike."""

from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import Header, Query, Response

from libs.durable.idempotency import StoredAnswer
from libs.durable.jobs import Job, Jobs
from libs.durable.jobs.api import describe_job
from libs.identity import IdentityKey
from libs.kit.auth import Principal
from libs.kit.db import Database, Tx
from libs.kit.errors import FieldError, Forbidden, Invalid
from libs.kit.http import requires
from libs.subscriber import OUTCOME_HEADER, Arrivals, resolve_ref
from libs.subscriber.waiting import MAX_WAIT_MS
from services.segmentation.domain.exporting import Column, read_columns
from services.segmentation.errors import SegmentNotFound
from services.segmentation.handlers.context import Segmentation
from services.segmentation.ports import Definition, PreviewSource, TraitNames

WRITE_SCOPE: Final = "segments:write"
Reader = Annotated[Principal, requires("segments:read")]
Writer = Annotated[Principal, requires(WRITE_SCOPE)]
WaitFor = Annotated[UUID | None, Query(description="A touchpoint id: answer once its effects are in.")]
WaitMs = Annotated[int, Query(ge=0, le=MAX_WAIT_MS)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]
Ids = Annotated[str, Query(description="Segment ids with commas between, 1 to 50.", examples=["vip,repeat-buyers"])]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query()]
_MOST_SEGMENTS: Final = 50
_PERSONAL_SCOPE: Final = "profiles:read"


@dataclass(frozen=True, slots=True)
class ApiDeps:
    database: Database
    seg: Segmentation
    jobs: Jobs
    arrivals: Arrivals
    identity_key: IdentityKey
    preview_source: PreviewSource
    trait_names: TraitNames
    preview_max_profiles: int
    list_max_refs: int
    list_max_bytes: int
    longest_stream_s: float
    allow_private_webhooks: bool
    has_export_folder: bool


async def await_touchpoint(deps: ApiDeps, response: Response, touchpoint_id: UUID | None, wait_ms: int) -> None:
    """Wait until the touchpoint's effects are in here, and say what became of it. Raises NotYetVisible."""
    if touchpoint_id is not None:
        response.headers[OUTCOME_HEADER] = await deps.arrivals.wait_for(touchpoint_id, wait_ms)


async def resolve(tx: Tx, ref: str, deps: ApiDeps, response: Response, *, location: str) -> UUID:
    """The profile of a reference. Where an absorbed id was asked for, `Content-Location` names the root's own resource."""
    resolved = await resolve_ref(tx, ref, deps.identity_key)
    if resolved.asked_id is not None:
        response.headers["Content-Location"] = location.format(id=resolved.profile_id)
    return resolved.profile_id


async def find_segment(tx: Tx, segment_id: str, deps: ApiDeps, *, even_deleted: bool = False) -> Definition:
    """Raises SegmentNotFound."""
    definition = await deps.seg.definitions.find(tx, segment_id, even_deleted=even_deleted) if "\0" not in segment_id else None
    if definition is None:
        raise SegmentNotFound(f"There is no segment {segment_id}.")
    return definition


def accept(job: Job) -> StoredAnswer:
    """202 with where to look, to be given again for the same `Idempotency-Key`."""
    return StoredAnswer(202, msgspec.json.encode(describe_job(job)), (("Location", f"/v1/jobs/{job.id}"),))


def parse_columns(text: str, principal: Principal, pointer: str) -> tuple[Column, ...]:
    """Raises Invalid, or Forbidden where a column shows what the key mustn't see."""
    try:
        columns = read_columns([name.strip() for name in text.split(",")])
    except ValueError as error:
        raise Invalid(f"`columns` {error}.", errors=[FieldError(pointer, str(error))]) from error
    if any(column.is_personal for column in columns) and not principal.has(_PERSONAL_SCOPE):
        raise Forbidden(f"Identifiers and traits need the scope {_PERSONAL_SCOPE}, too.")
    return columns


async def find_segments(tx: Tx, ids: str, deps: ApiDeps) -> list[Definition]:
    """The segments of a list with commas, each once, in its order. Raises Invalid, SegmentNotFound."""
    names = list(dict.fromkeys(name.strip() for name in ids.split(",")))
    if len(names) > _MOST_SEGMENTS:
        detail = f"has {len(names)} segments; {_MOST_SEGMENTS} are possible"
        raise Invalid(f"`ids` {detail}.", errors=[FieldError("#/query/ids", detail)])
    return [await find_segment(tx, name, deps) for name in names]
