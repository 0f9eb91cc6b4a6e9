"""`/v1/webhooks`: who is called when somebody enters or exits a segment, and what became of the calls."""

import secrets
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from libs.durable.cursors import cut_page, decode_cursor
from libs.durable.idempotency import StoredAnswer, answer_once
from libs.durable.webhooks import (
    Delivery,
    DeliveryState,
    Endpoint,
    Message,
    PostgresWebhooks,
    UrlRefused,
    check_url,
    make_secret,
    write_body,
)
from libs.durable.webhooks.model import SECRET_BYTES
from libs.events.segments import EdgeCause
from libs.kit.auth import Principal
from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel
from libs.kit.times import format_utc, from_micros, to_micros
from services.segmentation.api.deps import WRITE_SCOPE, ApiDeps, Cursor, IdempotencyKey, Limit, Reader, Writer
from services.segmentation.api.examples import DELIVERIES, QUEUED, SECRET, WEBHOOK_MADE, WEBHOOK_SHOWN, WEBHOOKS
from services.segmentation.errors import TooManyWebhooks, WebhookNotFound, WebhookUrlRefused

EventType = Literal["segment.entered", "segment.exited"]
MOST_WEBHOOKS: Final = 50
_TEST_TYPE: Final = "webhook.test"
_webhooks: Final = PostgresWebhooks()


class NewWebhook(StrictModel):
    url: Annotated[str, Field(max_length=2_000, description="https, a public host.", examples=["https://hooks.example.com/r"])]
    description: Annotated[str, Field(max_length=500)] = ""
    events: Annotated[list[EventType], Field(max_length=2, default_factory=list, description="None: all.")]
    segments: Annotated[list[str], Field(max_length=100, default_factory=list, description="Ids; none: all, later ones too.")]

    causes: Annotated[
        list[EdgeCause],
        Field(
            max_length=8, default_factory=list, description="None: all. `touchpoint` and `time` leave out back-fills and edits."
        ),
    ]


def build_webhooks_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
    _add_endpoint_routes(router, deps)
    _add_state_routes(router, deps)
    return router


def _add_endpoint_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("", status_code=201, responses=WEBHOOK_MADE, response_class=Response)
    async def create(body: NewWebhook, principal: Writer, key: IdempotencyKey = None) -> Response:
        """Call this address for each edge from now on, signed by the Standard Webhooks scheme. The secret is shown only here.

        A call is repeated with growing pauses until it is answered with a 2xx, and may come twice or out of order: `webhook-id`
        names the edge, `data.seq` its place.
        """
        return await _create(deps, body, principal, key)

    @router.get("", responses=WEBHOOKS)
    async def list_webhooks(principal: Reader) -> dict[str, Any]:
        """All of them, at most fifty.

        Of the URL only the host, unless the key has scope `segments:write`: what follows it is often a secret.
        """
        async with deps.database.connection() as connection:
            found = await _webhooks.load_all(connection)
            counts = [await _webhooks.count_by_state(connection, one.id) for one in found]
        items = [_show(one, count, principal) for one, count in zip(found, counts, strict=True)]
        return {"items": items, "next_cursor": None}

    @router.get("/{webhook_id}", responses=WEBHOOK_SHOWN)
    async def read(webhook_id: UUID, principal: Reader) -> dict[str, Any]:
        """Its state, and how many deliveries wait, came through and were given up. Of the URL as much as the list shows."""
        async with deps.database.connection() as connection:
            return await _describe(connection, webhook_id, principal)

    @router.delete("/{webhook_id}", status_code=204)
    async def delete(webhook_id: UUID, _: Writer) -> None:
        """It is called no more; what was on its way to it is forgotten."""
        async with deps.database.transaction() as tx:
            if not await _webhooks.begin_delete(tx, webhook_id):
                raise _not_found(webhook_id)
        is_empty = False
        while not is_empty:
            async with deps.database.transaction() as tx:
                is_empty = await _webhooks.forget(tx, webhook_id) == 0
        async with deps.database.transaction() as tx:
            await _webhooks.delete(tx, webhook_id)


def _add_state_routes(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{webhook_id}/test", status_code=202, responses=QUEUED)
    async def test(webhook_id: UUID, _: Writer, key: IdempotencyKey = None) -> Response:
        """Queue a call of type `webhook.test`; what becomes of it stands among the deliveries."""
        now, message_id = deps.seg.clock.now(), f"test:{deps.seg.new_id()}"
        async with deps.database.transaction() as tx:

            async def queue() -> StoredAnswer:
                await _find(tx, webhook_id)
                message = Message(message_id, _TEST_TYPE, "", "", write_body(_TEST_TYPE, now, b"{}"))
                await _webhooks.enqueue(tx, [message], now, only=webhook_id)
                return StoredAnswer(202, msgspec.json.encode({"message_id": message_id}))

            answer = await answer_once(tx, key, "webhook_tests", webhook_id.bytes, now, queue)
        return answer.to_response()

    @router.post("/{webhook_id}/secret", responses=SECRET)
    async def rotate(webhook_id: UUID, _: Writer, key: IdempotencyKey = None) -> Response:
        """A new secret. For a day calls are signed with the one before, too, so that receivers can change over."""
        secret, now = make_secret(secrets.token_bytes(SECRET_BYTES)), deps.seg.clock.now()
        async with deps.database.transaction() as tx:

            async def rotate() -> StoredAnswer:
                await _find(tx, webhook_id)
                await _webhooks.rotate(tx, webhook_id, secret, now)
                until = (await _find(tx, webhook_id)).previous_until
                return StoredAnswer(200, msgspec.json.encode({"secret": secret, "previous_valid_until": _show_time(until)}))

            answer = await answer_once(tx, key, "webhook_secrets", webhook_id.bytes, now, rotate)
        return answer.to_response()

    @router.post("/{webhook_id}/resume", responses=WEBHOOK_SHOWN)
    async def resume(webhook_id: UUID, principal: Writer) -> dict[str, Any]:
        """Call it again after it was disabled: all that waits or was given up is due at once.

        What happened while it was disabled was queued for nobody: `/v1/segments/{id}/members?since=` tells who entered.
        """
        async with deps.database.transaction() as tx:
            await _find(tx, webhook_id)
            await _webhooks.resume(tx, webhook_id, deps.seg.clock.now())
            return await _describe(tx, webhook_id, principal)

    @router.get("/{webhook_id}/deliveries", responses=DELIVERIES)
    async def list_deliveries(
        webhook_id: UUID,
        _: Reader,
        state: Annotated[DeliveryState | None, Query()] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> dict[str, Any]:
        """What was to be told and what became of it, the newest first. Kept for thirty days unless set otherwise."""
        before = decode_cursor(cursor, _read_instant, str) if cursor else None
        async with deps.database.connection() as connection:
            await _find(connection, webhook_id)
            rows = await _webhooks.load_deliveries(
                connection, webhook_id, state, (before[0], before[1]) if before else None, limit + 1
            )
        page = cut_page(rows, limit, lambda one: (to_micros(one.created_at), one.message_id))
        return {"items": [_show_delivery(one) for one in page.items], "next_cursor": page.next_cursor}


async def _create(deps: ApiDeps, body: NewWebhook, principal: Principal, key: str | None) -> Response:
    try:
        check_url(body.url, allow_private=deps.allow_private_webhooks)
    except UrlRefused as error:
        raise WebhookUrlRefused(f"The URL {error}.", errors=[FieldError("#/url", str(error))]) from error
    async with deps.database.transaction() as tx:

        async def create() -> StoredAnswer:
            if len(await _webhooks.load_all(tx)) >= MOST_WEBHOOKS:
                raise TooManyWebhooks(f"There are {MOST_WEBHOOKS} already: delete one first.")
            known = {one.id for one in await deps.seg.definitions.load_all(tx)}
            for place, segment_id in enumerate(body.segments):
                if segment_id not in known:
                    error = FieldError(f"#/segments/{place}", f'no segment "{segment_id}" exists')
                    raise Invalid("The webhook names a segment that doesn't exist.", errors=[error])
            endpoint = Endpoint(
                id=deps.seg.new_id(),
                url=body.url,
                description=body.description,
                types=body.events,
                subjects=body.segments,
                causes=body.causes,
                secret=make_secret(secrets.token_bytes(SECRET_BYTES)),
                state="active",
                created_at=deps.seg.clock.now(),
            )
            await _webhooks.create(tx, endpoint)
            shown = {**_show(endpoint, await _webhooks.count_by_state(tx, endpoint.id), principal), "secret": endpoint.secret}
            return StoredAnswer(201, msgspec.json.encode(shown), (("Location", f"/v1/webhooks/{endpoint.id}"),))

        answer = await answer_once(tx, key, "webhooks", body.model_dump_json().encode(), deps.seg.clock.now(), create)
    return answer.to_response()


async def _find(tx: Tx, webhook_id: UUID) -> Endpoint:
    found = await _webhooks.find(tx, webhook_id)
    if found is None:
        raise _not_found(webhook_id)
    return found


def _not_found(webhook_id: UUID) -> WebhookNotFound:
    return WebhookNotFound(f"There is no webhook {webhook_id}.")


async def _describe(tx: Tx, webhook_id: UUID, principal: Principal) -> dict[str, Any]:
    return _show(await _find(tx, webhook_id), await _webhooks.count_by_state(tx, webhook_id), principal)


def _show(one: Endpoint, deliveries: dict[str, int], principal: Principal) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "url": one.url if principal.has(WRITE_SCOPE) else _mask(one.url),
        "description": one.description,
        "events": list(one.types),
        "segments": list(one.subjects),
        "causes": list(one.causes),
        "state": one.state,
        "disabled_reason": one.disabled_reason,
        "failing_since": _show_time(one.failing_since),
        "deliveries": deliveries,
        "created_at": format_utc(one.created_at),
    }


def _show_delivery(one: Delivery) -> dict[str, Any]:
    return {
        "message_id": one.message_id,
        "type": one.type,
        "state": one.state,
        "attempts": one.attempts,
        "next_attempt_at": _show_time(one.due_at),
        "last_status": one.last_status,
        "last_error": one.last_error,
        "created_at": format_utc(one.created_at),
        "finished_at": _show_time(one.finished_at),
    }


def _mask(url: str) -> str:
    """Scheme and host: paths and queries of webhooks are often what lets one post there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/***"


def _show_time(instant: datetime | None) -> str | None:
    return format_utc(instant) if instant is not None else None


def _read_instant(value: Any) -> datetime:
    return from_micros(int(value))
