"""`POST /v1/webhooks/{provider}/{source_id}`: what other tools send by themselves. Plain ASGI: signatures are over bytes."""

from typing import Final
from urllib.parse import parse_qsl

import msgspec

from libs.kit.errors import MethodNotAllowed
from libs.kit.http import Receive, Scope, Send, read_body, send_bytes, send_json
from libs.kit.trace import current_traceparent
from services.ingest.api.deps import ApiDeps
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.signatures import is_same
from services.ingest.errors import SignatureInvalid, WebhookNotFound
from services.ingest.handlers.take_webhooks import Address

PATH: Final = "/v1/webhooks/{provider}/{source_id}"
MAX_BYTES: Final = 1024 * 1024
"""More than a batch: SendGrid collects up to 768 KB."""


class WebhookDeliveries:
    """The endpoints."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = _read_address(scope)
        self._deps.webhook_intake.find(address)
        body = await read_body(scope, receive, MAX_BYTES)
        with self._deps.gate.admit(len(body)):
            source = self._deps.sources.source_by_id(address.source_id)
            if source is None:
                raise WebhookNotFound
            arrival = Arrival(source, scope["path"], self._deps.clock.now(), current_traceparent())
            receipt = await self._deps.webhook_intake.take(address, self._read_delivery(scope, body), arrival)
        await send_json(send, 200, msgspec.json.encode(receipt))

    async def greet(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """GET and HEAD: some ask whether somebody is there, and Meta wants its challenge back for a secret it was told."""
        webhook = self._deps.webhook_intake.find(_read_address(scope))
        if scope["method"] == "HEAD":
            await send_bytes(send, 200, b"", b"text/plain")
            return
        query = _read_query(scope)
        challenge = query.get("hub.challenge")
        if not webhook.provider.has_handshake or challenge is None:
            raise MethodNotAllowed("Deliveries come by POST.", headers={"Allow": "POST, HEAD"})
        if not any(is_same(query.get("hub.verify_token", ""), secret) for secret in webhook.secrets):
            raise SignatureInvalid
        await send_bytes(send, 200, challenge.encode(), b"text/plain; charset=utf-8")

    def _read_delivery(self, scope: Scope, body: bytes) -> Delivery:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = self._deps.settings.public_host or headers.get("host", "localhost")
        target = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        if scope["query_string"]:
            target = f"{target}?{scope['query_string'].decode('latin-1')}"
        # Behind a proxy we don't know which of the two it was; signed it is one of them.
        return Delivery(body, headers, (f"https://{host}{target}", f"http://{host}{target}"), _read_query(scope))


def _read_address(scope: Scope) -> Address:
    parameters = scope["path_params"]
    return Address(parameters["provider"], parameters["source_id"])


def _read_query(scope: Scope) -> dict[str, str]:
    try:
        return dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=100))
    except ValueError:
        return {}
