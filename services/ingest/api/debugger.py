"""`GET /v1/sources/{id}/events`: the last hundred events of a source, then those that come, as server-sent events.

It reads the log, not this process: whichever gateway took an event, every gateway shows it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse

from libs.events.codec import EventMalformed, decode
from libs.events.topics import TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.events.touchpoints import TouchpointRecorded, TouchpointRejected
from libs.kit.auth import Principal
from libs.kit.http import requires
from libs.messaging.errors import SourceUnavailable
from services.ingest.api.deps import ApiDeps
from services.ingest.domain.masking import mask, mask_body
from services.ingest.errors import DebuggerBusy, SourceNotFound

if TYPE_CHECKING:
    from libs.events.envelope import Incoming

PERSONAL_DATA: Final = "sources:personal-data"
TOPICS: Final = (TOUCHPOINTS.name, TOUCHPOINT_REJECTIONS.name)
_LAST: Final = 100
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_EVENT: Final = {
    "type": "object",
    "description": "One server-sent event.",
    "properties": {
        "event": {"type": "string", "enum": ["accepted", "rejected", "live", "unavailable"]},
        "data": {"type": "string"},
    },
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "`event: accepted` and `event: rejected`, each with JSON in `data`; `event: live` once history is over, "
        "`event: unavailable` where the log can't be read: ask again.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/sources", tags=["sources"])
    watchers = _Watchers(deps.settings.max_watchers)

    @router.get("/{source_id}/events", response_class=StreamingResponse, responses=_STREAM)
    async def watch_events(
        source_id: Annotated[str, Path(max_length=64)],
        request: Request,
        principal: Annotated[Principal, requires("sources:read")],
    ) -> StreamingResponse:
        """What is taken and what is refused, with the reason. Personal data is masked without the scope `sources:personal-data`.

        First the last hundred among the newest records of the log, where others' may stand too, then what comes. At thousands of
        events a second a part of them is shown. Suppressed touchpoints are in no log and never shown.
        """
        if deps.sources.source_by_id(source_id) is None:
            raise SourceNotFound("There is no source of that id.")
        watchers.check()
        events = _watch(deps, request, source_id, is_masked=not principal.has(PERSONAL_DATA))
        return StreamingResponse(watchers.count(events), media_type="text/event-stream", headers=_HEADERS)

    return router


class _Watchers:
    """How many look at once: each of them reads the whole topic. One who never gets to read isn't counted."""

    def __init__(self, most: int) -> None:
        self._left = most

    def check(self) -> None:
        if self._left <= 0:
            raise DebuggerBusy("As many debuggers are open as one process serves.", headers={"Retry-After": "5"})

    async def count(self, events: AsyncGenerator[str, None]) -> AsyncIterator[str]:
        self._left -= 1
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            self._left += 1


async def _watch(deps: ApiDeps, request: Request, source_id: str, *, is_masked: bool) -> AsyncGenerator[str, None]:
    """Until the reader goes or the process stops. A comment each round finds out whether anybody still reads."""
    stopping = request.app.state.stopping
    yield "retry: 1000\n\n"
    async with deps.log.open_view([source_id], TOPICS) as view:
        try:
            last = await view.look_back(_LAST)
        except SourceUnavailable:
            yield "event: unavailable\ndata: {}\n\n"
            return
        for record in last:
            yield show_event(record, is_masked=is_masked)
        yield "event: live\ndata: {}\n\n"
        while not stopping.is_set():
            for record in await view.read_on():
                yield show_event(record, is_masked=is_masked)
            yield ":\n\n"


def show_event(record: "Incoming", *, is_masked: bool) -> str:
    """One record as a server-sent event; nothing for one that can't be read."""
    try:
        event = decode(record)
    except EventMalformed:
        return ""
    if isinstance(event, TouchpointRecorded):
        shown = _show_accepted(event, is_masked=is_masked)
        return f"event: accepted\nid: {event.id}\ndata: {msgspec.json.encode(shown).decode()}\n\n"
    if isinstance(event, TouchpointRejected):
        shown = _show_rejected(event, is_masked=is_masked)
        return f"event: rejected\nid: {event.id}\ndata: {msgspec.json.encode(shown).decode()}\n\n"
    return ""


def _show_accepted(event: TouchpointRecorded, *, is_masked: bool) -> dict[str, object]:
    identifiers = [
        {"kind": one.kind, "value": mask(one.value) if is_masked else one.value, "verified": one.verified}
        for one in event.identifiers
    ]
    payloads = {name: msgspec.json.decode(getattr(event, name)) for name in ("properties", "traits", "context")}
    return {
        "id": event.id,
        "message_id": event.message_id,
        "received_at": event.received_at,
        "occurred_at": event.occurred_at,
        "kind": event.kind,
        "name": event.name,
        "channel": event.channel,
        "identifiers": identifiers,
        **{name: mask(payload) if is_masked else payload for name, payload in payloads.items()},
        "flags": event.flags,
    }


def _show_rejected(event: TouchpointRejected, *, is_masked: bool) -> dict[str, object]:
    return {
        "id": event.id,
        "received_at": event.received_at,
        "reason": event.reason,
        "detail": event.detail,
        "path": event.path,
        "body": mask_body(event.body) if is_masked else event.body.decode("utf-8", "replace"),
    }
