"""`/v1/segments/{id}/members`, `/history`, `/overlap`, `/export`: who is in, how many were, what segments share."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.kit.db import Tx
from libs.kit.errors import BadRequest, FieldError, Invalid
from libs.kit.times import format_utc, from_micros, parse_duration, parse_utc, to_micros
from libs.subscriber import OUTCOME_HEADER
from services.segmentation.api.deps import (
    ApiDeps,
    Cursor,
    IdempotencyKey,
    Ids,
    Limit,
    Reader,
    WaitFor,
    WaitMs,
    Writer,
    accept,
    await_touchpoint,
    find_segment,
    find_segments,
    parse_columns,
)
from services.segmentation.api.examples import HISTORY, JOB_ACCEPTED, MATRIX, MEMBERS, OVERLAP
from services.segmentation.api.streaming import SNAPSHOT_HEADER, SnapshotResponse, Streams
from services.segmentation.domain.exporting import DEFAULT_COLUMNS, MEDIA_TYPES, Form
from services.segmentation.domain.segments import Registry
from services.segmentation.domain.sizes import show_sizes
from services.segmentation.handlers.context import compile_definition
from services.segmentation.handlers.recount_sizes import RECOUNT, Span, check_recountable
from services.segmentation.store.exports import write_members
from services.segmentation.store.reading import count_members, load_edges_by_interval, load_overlaps

_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_US: Final = timedelta(days=1) // _MICROSECOND
_MOST_POINTS: Final = 1_000
_FIRST_US: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_DAYS_SHOWN: Final = 30
_HOURS_SHOWN: Final = 72
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One line a member, by profile id",
        "headers": {SNAPSHOT_HEADER: {"description": "The moment of the snapshot.", "schema": {"type": "string"}}},
        "content": {"text/csv": {"example": "profile_id,since\r\n"}, "application/x-ndjson": {"schema": {"type": "string"}}},
    },
    429: {"description": "`too_many_streams`"},
}


def build_members_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/segments", tags=["segments"])
    _add_counts(router, deps)
    _add_members(router, deps)
    return router


def _add_counts(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/overlap", responses=MATRIX)
    async def read_matrix(
        ids: Ids, response: Response, _: Reader, wait_for: WaitFor = None, wait_ms: WaitMs = 2000
    ) -> dict[str, Any]:
        """How many members each two of these segments share: `counts[row][column]`, on the diagonal each one's size."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.snapshot() as snapshot:
            found = await find_segments(snapshot, ids, deps)
            names = [one.id for one in found]
            shared = await load_overlaps(snapshot, names, names)
        segments = [{"id": one.id, "name": one.name, "members": shared.get((one.id, one.id), 0)} for one in found]
        return {"segments": segments, "counts": [[shared.get((row, column), 0) for column in names] for row in names]}

    @router.get("/{segment_id}/history", responses=HISTORY)
    async def read_history(
        segment_id: str,
        response: Response,
        _: Reader,
        from_: Annotated[str | None, Query(alias="from")] = None,
        to: str | None = None,
        interval: str = "P1D",
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> dict[str, Any]:
        """How many were in at the end of each interval, and how many entered and exited in it, each at the instant it was true.

        By default the last 30 UTC days, or of a shorter interval the last 72. What is told late counts where it was true.
        """
        await await_touchpoint(deps, response, wait_for, wait_ms)
        return await _read_history(deps, segment_id, _parse_span(to_micros(deps.seg.clock.now()), from_, to, interval))

    @router.post("/{segment_id}/history/recount", status_code=202, responses=JOB_ACCEPTED)
    async def recount_history(
        segment_id: str,
        _: Writer,
        from_: Annotated[str | None, Query(alias="from")] = None,
        to: str | None = None,
        interval: str = "P1D",
        key: IdempotencyKey = None,
    ) -> Response:
        """The same by all that is known now: what came late counts when it was done. A job; see `result`.

        Of rules on touchpoints, and segments of such; others are 422. Everybody counts from when they were first seen.
        """
        given = msgspec.json.encode((segment_id, from_, to, interval))
        return await _queue_recount(
            deps, segment_id, _parse_span(to_micros(deps.seg.clock.now()), from_, to, interval), key, given
        )

    @router.get("/{segment_id}/overlap", responses=OVERLAP)
    async def read_overlap(
        segment_id: str, response: Response, _: Reader, wait_for: WaitFor = None, wait_ms: WaitMs = 2000
    ) -> dict[str, Any]:
        """What it shares with each other segment: members in both, only in this one, only in the other."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        async with deps.database.snapshot() as snapshot:
            await find_segment(snapshot, segment_id, deps)
            names = {one.id: one.name for one in await deps.seg.definitions.load_all(snapshot)}
            members = await count_members(snapshot)
            shared = await load_overlaps(snapshot, [segment_id], list(names))
        own = members.get(segment_id, 0)
        items = [
            {"id": id_, "name": names[id_], "count": count, "only_here": own - count, "only_there": members[id_] - count}
            for (_, id_), count in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0][1]))
            if id_ != segment_id
        ]
        return {"items": items, "members": own, "next_cursor": None}


def _add_members(router: APIRouter, deps: ApiDeps) -> None:
    streams = Streams()

    @router.get("/{segment_id}/members", responses=MEMBERS)
    async def list_members(
        segment_id: str,
        response: Response,
        _: Reader,
        since: Annotated[str | None, Query(description="Only those who entered after this instant.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> dict[str, Any]:
        """Who is in now, and since when, by profile id."""
        await await_touchpoint(deps, response, wait_for, wait_ms)
        after = decode_cursor(cursor, UUID)[0] if cursor else None
        since_us = _parse_instant("since", since)
        async with deps.database.connection() as connection:
            await find_segment(connection, segment_id, deps)
            rows = await deps.seg.memberships.load_members(connection, segment_id, after, limit + 1, since_us=since_us)
        page = cut_page(rows, limit, lambda row: (row[0],))
        items = [
            {"profile_id": str(profile_id), "since": format_utc(from_micros(since_us))} for profile_id, since_us in page.items
        ]
        return {"items": items, "next_cursor": page.next_cursor}

    @router.get("/{segment_id}/export", responses=_FILE, response_class=Response)
    async def export_members(
        segment_id: str,
        principal: Reader,
        form: Annotated[Form, Query(alias="format")] = "csv",
        columns: Annotated[
            str,
            Query(
                description="With commas between: `profile_id`, `since`, `version`, `identifier.<kind>`, `trait.<name>`."
                " The last two need scope `profiles:read`, too."
            ),
        ] = ",".join(DEFAULT_COLUMNS),
        after: Annotated[UUID | None, Query(description="The `profile_id` of the last line already read.")] = None,
        wait_for: WaitFor = None,
        wait_ms: WaitMs = 2000,
    ) -> Response:
        """All members as they stand at the moment that `Rapport-Snapshot-At` names, streamed in the order of profile ids.

        A file that was cut is gone on with by `after`, from a snapshot of its own (CSV then has no header). In CSV a text that a
        spreadsheet would run as a formula begins with an apostrophe.
        """
        chosen = parse_columns(columns, principal, "#/query/columns")
        said = Response()
        await await_touchpoint(deps, said, wait_for, wait_ms)
        async with deps.database.connection() as connection:
            await find_segment(connection, segment_id, deps)

        def read(snapshot: Tx) -> AsyncIterator[bytes]:
            return write_members(snapshot, segment_id, chosen, form, after)

        headers = {"Content-Disposition": f'attachment; filename="{segment_id}.{form}"', **_outcome_of(said)}
        return SnapshotResponse(
            deps.database, read, streams, longest_s=deps.longest_stream_s, media_type=MEDIA_TYPES[form], headers=headers
        )


async def _read_history(deps: ApiDeps, segment_id: str, span: Span) -> dict[str, Any]:
    async with deps.database.snapshot() as snapshot:
        await find_segment(snapshot, segment_id, deps)
        size, edges = await load_edges_by_interval(snapshot, segment_id, **span._asdict())
    entered = {start_us: came for start_us, came, _ in edges}
    exited = {start_us: left for start_us, _, left in edges}
    return {"items": show_sizes(size, entered, exited, *span), "next_cursor": None}


async def _queue_recount(deps: ApiDeps, segment_id: str, span: Span, key: str | None, given: bytes) -> Response:
    now = deps.seg.clock.now()
    async with deps.database.transaction() as tx:

        async def queue() -> StoredAnswer:
            await find_segment(tx, segment_id, deps)
            definitions = await deps.seg.definitions.load_all(tx)
            check_recountable(Registry(map(compile_definition, definitions)), segment_id)
            job_input = {"segment_id": segment_id, "span": list(span)}
            return accept(await deps.jobs.create(tx, job_id=deps.seg.new_id(), kind=RECOUNT, input=job_input, now=now))

        answer = await answer_once(tx, key, RECOUNT, given, now, queue)
    return answer.to_response()


def _parse_span(now_us: int, from_: str | None, to: str | None, interval: str) -> Span:
    """Raises BadRequest, Invalid."""
    try:
        interval_us = parse_duration(interval) // _MICROSECOND
    except ValueError as error:
        raise BadRequest(f"`interval` is a duration: {error}.") from error
    to_us = _parse_instant("to", to)
    if to_us is None:
        to_us = now_us + 1
    from_us = _parse_instant("from", from_)
    if from_us is None and interval_us > 0:
        # Whole days and hours: the last one is the one that runs.
        shown = _DAYS_SHOWN if interval_us >= _DAY_US else _HOURS_SHOWN
        from_us = (to_us - 1) // interval_us * interval_us - (shown - 1) * interval_us
    points = -(-(to_us - from_us) // interval_us) if from_us is not None and interval_us > 0 else 0
    if from_us is None or not 0 < points <= _MOST_POINTS:
        raise _refuse_interval(f"gives {points} intervals; 1 to {_MOST_POINTS} are possible")
    if from_us < _FIRST_US or interval_us > to_us - _FIRST_US:
        raise _refuse_interval("is so long that the history would begin before the year 1")
    return Span(from_us, to_us, interval_us)


def _refuse_interval(detail: str) -> Invalid:
    return Invalid(f"`interval` {detail}.", errors=[FieldError("#/query/interval", detail)])


def _parse_instant(name: str, text: str | None) -> int | None:
    try:
        return to_micros(parse_utc(text)) if text else None
    except ValueError as error:
        raise BadRequest(f"`{name}` is a time: {error}.") from error


def _outcome_of(said: Response) -> dict[str, str]:
    """What `wait_for` had to say, for an answer of its own kind."""
    return {name: value for name, value in said.headers.items() if name == OUTCOME_HEADER.lower()}
