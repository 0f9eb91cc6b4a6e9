"""`/v1/rejections`: what was refused, why, and sending it through again."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor
from libs.kit.auth import Principal
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel, requires
from libs.kit.times import format_utc, from_micros, to_micros
from libs.messaging.errors import PublishFailed
from services.ingest.api.deps import ApiDeps
from services.ingest.domain.reasons import Reason
from services.ingest.errors import BrokerAway
from services.ingest.ports import ParkedRejection, Place, RejectionFilter, RejectionGroup

_REPLAY_PAGE = 100
_REPLAY_PAGES = 20


def _check_moment(moment: datetime) -> datetime:
    """Raises ValueError for one that lies beyond all years in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("no instant that UTC has a year for") from error


Moment = Annotated[AwareDatetime, AfterValidator(_check_moment)]


class RejectionOut(BaseModel):
    """`body` is a whole request's body, which `POST path` would send again; base64 where it isn't UTF-8 text."""

    id: UUID
    source: str
    received_at: str
    reason: str
    detail: str
    path: str
    body: str
    encoding: Literal["utf-8", "base64"]


class RejectionsOut(BaseModel):
    """`counts` holds all that match, by reason; on the first page only."""

    items: list[RejectionOut]
    next_cursor: str | None
    counts: dict[str, int] | None = None


class GroupOut(BaseModel):
    """`samples` are the newest."""

    source: str
    reason: str
    count: int
    first_at: str
    last_at: str
    samples: list[RejectionOut]


class SummaryOut(BaseModel):
    """The most first."""

    items: list[GroupOut]
    next_cursor: None = None


class ReplayIn(StrictModel):
    """Which rejections: by id, or by all other conditions given."""

    ids: list[UUID] | None = Field(default=None, min_length=1, max_length=1000)
    source: str | None = None
    reason: Reason | None = None
    received_from: Moment | None = None
    received_to: Moment | None = None
    cursor: str | None = None


class ReplayOut(BaseModel):
    """`rejected` were refused again and stay parked. Go on with `next_cursor` until it is null."""

    replayed: int
    rejected: int
    next_cursor: str | None


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/rejections", tags=["rejections"])

    @router.get("")
    async def list_rejections(
        _principal: Annotated[Principal, requires("rejections:read")],
        source: str | None = None,
        reason: Reason | None = None,
        received_from: Annotated[Moment | None, Query(alias="from")] = None,
        received_to: Annotated[Moment | None, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> RejectionsOut:
        """Refused touchpoints, newest first. They may hold personal data."""
        where = RejectionFilter(source, reason, received_from, received_to)
        after = _read_place(cursor)
        async with deps.database.connection() as connection:
            rows = await deps.rejections.find(connection, where, after=after, limit=limit + 1)
            counts = await deps.rejections.count_reasons(connection, where) if after is None else None
        page = rows[:limit]
        more = _write_place(Place(page[-1].received_at, page[-1].id)) if len(rows) > limit else None
        return RejectionsOut(
            items=[_show(row) for row in page], next_cursor=more, counts=dict(counts) if counts is not None else None
        )

    @router.get("/summary")
    async def summarise_rejections(
        _principal: Annotated[Principal, requires("rejections:read")],
        source: str | None = None,
        reason: Reason | None = None,
        received_from: Annotated[Moment | None, Query(alias="from")] = None,
        received_to: Annotated[Moment | None, Query(alias="to")] = None,
        samples: Annotated[int, Query(ge=0, le=10)] = 1,
    ) -> SummaryOut:
        """What is refused why, by source, with the newest of each. Samples may hold personal data."""
        where = RejectionFilter(source, reason, received_from, received_to)
        async with deps.database.connection() as connection:
            groups = await deps.rejections.summarise(connection, where, samples=samples)
        return SummaryOut(items=[_show_group(group) for group in groups])

    @router.post("/replay")
    async def replay_rejections(body: ReplayIn, _principal: Annotated[Principal, requires("rejections:write")]) -> ReplayOut:
        """Judge parked touchpoints again, as of their receipt, and take those that are good now. Repeating it is harmless."""
        where = RejectionFilter(body.source, body.reason, body.received_from, body.received_to, body.ids)
        if where == RejectionFilter():
            raise Invalid("Say which rejections.", errors=[FieldError("#", "at least one condition is needed")])
        after = _read_place(body.cursor)
        replayed = rejected = 0
        for _ in range(_REPLAY_PAGES):
            try:
                async with deps.database.transaction() as tx:
                    page = await deps.replay.replay_page(tx, where, after=after, limit=_REPLAY_PAGE)
            except PublishFailed as error:
                raise BrokerAway from error
            replayed, rejected, after = replayed + page.replayed, rejected + page.rejected, page.next_place
            if after is None:
                break
        return ReplayOut(replayed=replayed, rejected=rejected, next_cursor=None if after is None else _write_place(after))

    return router


def _show_group(group: RejectionGroup) -> GroupOut:
    return GroupOut(
        source=group.source_id,
        reason=group.reason,
        count=group.total,
        first_at=format_utc(group.first_at),
        last_at=format_utc(group.last_at),
        samples=[_show(row) for row in group.samples],
    )


def _show(row: ParkedRejection) -> RejectionOut:
    body, encoding = _show_body(row.body)
    return RejectionOut(
        id=row.id,
        source=row.source_id,
        received_at=format_utc(row.received_at),
        reason=row.reason,
        detail=row.detail,
        path=row.path,
        body=body,
        encoding=encoding,
    )


def _show_body(body: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _write_place(place: Place) -> str:
    return encode_cursor((to_micros(place.received_at), place.id))


def _read_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    return Place(*decode_cursor(cursor, from_micros, UUID))
