"""The tracking endpoints, as plain ASGI: one pipeline from the request's bytes to the answer the SDKs expect.

read the body -> find the key -> judge the calls -> publish -> 200 {"success": true}: nothing is answered with 200 before the log
has it. Every answer carries what browsers need (CORS), and every error the `code` and `message` without which python's SDK
resends for ever.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NoReturn

import msgspec

from libs.kit.errors import RapportError
from libs.kit.http import AsgiApp, Receive, Scope, Send, problem_response
from libs.kit.metrics import counter
from libs.kit.trace import current_trace
from services.ingest.api.arriving import Arrivals
from services.ingest.api.bodies import Body, read_body
from services.ingest.api.cors import ANSWER
from services.ingest.api.deps import ApiDeps
from services.ingest.api.write_keys import Headers, find_key
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.limits import BATCH_BYTES
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.requests import Batch, find_batch_key, find_write_key, is_not_json, read_batch, read_single
from services.ingest.domain.vocabulary import Kind
from services.ingest.errors import BatchTooLarge, BodyUnreadable, EventTooLarge, InvalidWriteKey
from services.ingest.handlers.take_touchpoints import Receipt

_SUCCESS: Final = b'{"success": true}'
_SUCCESS_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_SUCCESS)).encode()), *ANSWER],
}
_SUCCESS_BODY: Final = {"type": "http.response.body", "body": _SUCCESS}
_KEPT_OF_OVERSIZE: Final = 32 * 1024

_UNAUTHORISED = counter("ingest_unauthorised_total", "Requests without a write key that is known and active.")


class Request(msgspec.Struct):
    """What a tracking endpoint works on."""

    scope: Scope
    headers: Headers
    body: Body


Take = Callable[[Request], Awaitable[Receipt]]


class Tracking:
    """Builds the endpoints: one for each kind of call, one for batches, one for the SDKs' own metrics."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._gate = deps.gate
        self._arrivals = Arrivals(deps)

    def single(self, path: str, kind: Kind) -> AsgiApp:
        return self._endpoint(partial(self._take_single, path=path, kind=kind))

    def batch(self, path: str) -> AsgiApp:
        return self._endpoint(partial(self._take_batch, path=path))

    async def sdk_metrics(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """analytics-next counts its own calls here, without any key; a failure makes it log errors on the page."""
        await read_body(receive, self._gate)
        await send_success(send)

    def _endpoint(self, take: Take) -> AsgiApp:
        async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                headers: Headers = dict(scope["headers"])
                body = await read_body(receive, self._gate)
                with self._gate.admit(len(body.data)):
                    receipt = await take(Request(scope, headers, body))
            except RapportError as error:
                if isinstance(error, InvalidWriteKey):
                    _UNAUTHORISED.inc()
                await send_failure(send, error)
            else:
                await (send_receipt(send, receipt) if wants_representation(headers) else send_success(send))

        return endpoint

    async def _take_single(self, request: Request, path: str, kind: Kind) -> Receipt:
        data, complete = request.body.data, request.body.complete
        key = find_key(request.scope, request.headers, lambda: _find_key_or_refuse(data))
        arrival = self._arrivals.arrive(request.scope, request.headers, key, path)
        if not complete:
            await self._refuse_oversize(arrival, Reason.EVENT_TOO_LARGE, data)
        receipt = await self._deps.intake.take_calls(arrival, read_single(data), kind=kind)
        if receipt.rejected:
            reason, detail = receipt.rejected[0].reason, receipt.rejected[0].detail
            if reason is Reason.EVENT_TOO_LARGE:
                raise EventTooLarge(f"The event is {detail}.")
            if reason in (Reason.NOT_JSON, Reason.NOT_AN_OBJECT):
                raise BodyUnreadable(f"The body is unreadable: {detail}.")
        return receipt

    async def _take_batch(self, request: Request, path: str) -> Receipt:
        data, complete = request.body.data, request.body.complete
        batch = read_batch(data) if complete else None
        key = find_key(request.scope, request.headers, lambda: _find_batch_key_or_refuse(batch))
        arrival = self._arrivals.arrive(request.scope, request.headers, key, path)
        if batch is None:
            await self._refuse_oversize(arrival, Reason.BATCH_TOO_LARGE, data)
        if isinstance(batch, Refusal):
            await self._deps.intake.park_body(arrival, batch, data)
            if batch.reason is Reason.BATCH_TOO_LARGE:
                raise BatchTooLarge(f"The batch is {batch.detail}.")
            raise BodyUnreadable(f"The body is unreadable: {batch.detail}.")
        return await self._deps.intake.take_calls(arrival, batch)

    async def _refuse_oversize(self, arrival: Arrival, reason: Reason, beginning: bytes) -> NoReturn:
        """A body beyond all limits is parked as its beginning: enough to see who sent what."""
        detail = f"larger than {BATCH_BYTES} bytes; the first {_KEPT_OF_OVERSIZE} are kept"
        await self._deps.intake.park_body(arrival, Refusal(reason, detail), beginning[:_KEPT_OF_OVERSIZE])
        raise (EventTooLarge if reason is Reason.EVENT_TOO_LARGE else BatchTooLarge)(f"The body is {detail}.")


def _find_key_or_refuse(data: bytes) -> str | None:
    """A body that can't be read can't name a key either: that is what its sender has to hear."""
    key = find_write_key(data)
    if key is None and is_not_json(data):
        raise BodyUnreadable("The body is no JSON, and no header names a write key.")
    return key


def _find_batch_key_or_refuse(batch: Batch | Refusal | None) -> str | None:
    if isinstance(batch, Refusal):
        raise BodyUnreadable(f"The body is unreadable, and no header names a write key: {batch.detail}.")
    return None if batch is None else find_batch_key(batch)


def wants_representation(headers: Headers) -> bool:
    preference = headers.get(b"prefer")
    return preference is not None and b"return=representation" in preference.replace(b" ", b"")


async def send_success(send: Send) -> None:
    await send(_SUCCESS_START)
    await send(_SUCCESS_BODY)


async def send_receipt(send: Send, receipt: Receipt) -> None:
    body = msgspec.json.encode({"success": True, "accepted": receipt.accepted, "rejected": receipt.rejected})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"preference-applied", b"return=representation"),
        *ANSWER,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_failure(send: Send, error: RapportError) -> None:
    """The problem, with `message` beside `code`."""
    trace = current_trace()
    status, headers, problem = problem_response(error, trace.trace_id if trace else None)
    body = msgspec.json.encode({**msgspec.json.decode(problem), "message": error.detail})
    kept = [(name, value) for name, value in headers if name != b"content-length"]
    start = {"type": "http.response.start", "status": status, "headers": [*kept, (b"content-length", b"%d" % len(body)), *ANSWER]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
