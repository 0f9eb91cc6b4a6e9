"""`POST /v1/cloudevents`: CloudEvents 1.0 over HTTP, in binary, structured and batched mode. Plain ASGI, documented by hand."""

from typing import Final
from urllib.parse import unquote

import msgspec

from libs.kit.http import Receive, Scope, Send, send_json
from services.ingest.api.arriving import Arrivals
from services.ingest.api.bodies import read_body
from services.ingest.api.cors import PREFLIGHT
from services.ingest.api.deps import ApiDeps
from services.ingest.api.write_keys import Headers, find_key
from services.ingest.domain.cloud_events import read_cloud_batch, read_cloud_event, to_structured
from services.ingest.domain.limits import BATCH_BYTES
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.requests import Batch
from services.ingest.domain.routes import CLOUD_EVENTS
from services.ingest.errors import BatchTooLarge, BodyInvalid, BodyUnreadable

_BATCHED: Final = "application/cloudevents-batch"
_STRUCTURED: Final = "application/cloudevents"
_PREFIX: Final = b"ce-"


class CloudEvents:
    """The endpoint."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._arrivals = Arrivals(deps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await read_body(receive, self._deps.gate)
        with self._deps.gate.admit(len(body.data)):
            arrival = self._arrivals.arrive(scope, headers, find_key(scope, headers, _no_key), CLOUD_EVENTS)
            if not body.complete:
                raise BatchTooLarge(f"The body is larger than {BATCH_BYTES} bytes.")
            batch = read_events(headers, body.data)
            if isinstance(batch, Refusal):
                await self._deps.intake.park_body(arrival, batch, body.data)
                kind = BodyUnreadable if batch.reason is Reason.NOT_JSON else BodyInvalid
                raise kind(f"The body is unreadable: {batch.detail}.")
            receipt = await self._deps.intake.take_cloud_events(arrival, batch)
        await send_json(send, 200, msgspec.json.encode({"accepted": receipt.accepted, "rejected": receipt.rejected}))


async def allow_webhooks(scope: Scope, _receive: Receive, send: Send) -> None:
    """`OPTIONS`: a browser's preflight, or a sender of webhooks that asks first (CloudEvents' "HTTP 1.1 Web Hooks", section 4).

    Every origin may send, as fast as it likes: the write key decides.
    """
    asks = any(name == b"webhook-request-origin" for name, _ in scope["headers"])
    allowed = [(b"webhook-allowed-origin", b"*"), (b"webhook-allowed-rate", b"*"), (b"allow", b"POST, OPTIONS")] if asks else []
    await send({"type": "http.response.start", "status": 200 if asks else 204, "headers": [*allowed, *PREFLIGHT]})
    await send({"type": "http.response.body"})


def read_events(headers: Headers, data: bytes) -> Batch | Refusal:
    """The mode is the Content-Type's: a batch, one event, or (with any other) one event whose attributes are headers.

    Where no header names an attribute either, the body is what it looks like: a list is a batch.
    """
    content_type = headers.get(b"content-type", b"").decode("latin-1").strip()
    attributes = {
        name.removeprefix(_PREFIX).decode("latin-1"): unquote(value.decode("latin-1").strip(), errors="replace")
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    if content_type.lower().startswith(_BATCHED):
        return read_cloud_batch(data)
    if content_type.lower().startswith(_STRUCTURED):
        return read_cloud_event(data)
    if not attributes:
        return read_cloud_batch(data) if data.lstrip().startswith(b"[") else read_cloud_event(data)
    return read_cloud_event(to_structured(attributes, content_type or None, data))


def _no_key() -> None:
    """Here the key stands in a header or the query: the body has no member for it."""
