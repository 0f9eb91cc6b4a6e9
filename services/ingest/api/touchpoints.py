"""`POST /v1/touchpoints`: our own plain JSON, for tills and back ends. Plain ASGI, documented by hand."""

from typing import Final

import msgspec

from libs.kit.errors import FieldError
from libs.kit.http import Receive, Scope, Send, send_json
from services.ingest.api.arriving import Arrivals
from services.ingest.api.bodies import read_body
from services.ingest.api.deps import ApiDeps
from services.ingest.api.write_keys import find_key
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.limits import BATCH_BYTES
from services.ingest.domain.own import UnknownMembers, read_own_batch
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.requests import Batch
from services.ingest.domain.routes import OWN
from services.ingest.errors import BatchTooLarge, BodyInvalid, BodyUnreadable

_MAX_KEY_CHARS: Final = 255


class OwnTouchpoints:
    """The endpoint."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._arrivals = Arrivals(deps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await read_body(receive, self._deps.gate)
        with self._deps.gate.admit(len(body.data)):
            arrival = self._arrivals.arrive(scope, headers, find_key(scope, headers, _no_key), OWN)
            idempotency_key = _read_idempotency_key(headers.get(b"idempotency-key"))
            if not body.complete:
                raise BatchTooLarge(f"The body is larger than {BATCH_BYTES} bytes.")
            batch = await self._read(arrival, body.data)
            receipt = await self._deps.intake.take_own(arrival, batch, idempotency_key=idempotency_key)
        await send_json(send, 200, msgspec.json.encode({"accepted": receipt.accepted, "rejected": receipt.rejected}))

    async def _read(self, arrival: Arrival, data: bytes) -> Batch:
        batch = read_own_batch(data)
        if isinstance(batch, UnknownMembers):
            unknown = [FieldError(f"#/{name}", "the body has no such member") for name in batch.names]
            raise BodyInvalid("The body has members that it can't have.", errors=unknown)
        if isinstance(batch, Refusal):
            await self._deps.intake.park_body(arrival, batch, data)
            if batch.reason is Reason.NOT_JSON:
                raise BodyUnreadable("The body isn't valid JSON.", errors=[FieldError("#", "not valid JSON")])
            raise BodyInvalid("The body isn't what this address takes.", errors=[FieldError("#/touchpoints", batch.detail)])
        return batch


def _no_key() -> None:
    """Here the key stands in a header or the query: the body has no member for it."""


def _read_idempotency_key(header: bytes | None) -> str | None:
    if header is None:
        return None
    key = header.decode("latin-1").strip()
    if not 0 < len(key) <= _MAX_KEY_CHARS:
        detail = f"must have 1 to {_MAX_KEY_CHARS} characters"
        raise BodyInvalid(f"The Idempotency-Key {detail}.", errors=[FieldError("#/header/idempotency-key", detail)])
    return key
