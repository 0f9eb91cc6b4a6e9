"""What browsers and mail clients ask for with GET: the SDKs' settings documents, and pixels that are always an image."""

import base64
from typing import Final

import msgspec

from libs.kit.errors import RapportError
from libs.kit.http import AsgiApp, Receive, Scope, Send, get_header, send_json
from libs.kit.metrics import counter
from services.ingest.api.arriving import Arrivals
from services.ingest.api.cors import ANSWER
from services.ingest.api.deps import ApiDeps
from services.ingest.api.write_keys import authorise, find_key
from services.ingest.domain.pixels import read_pixel
from services.ingest.domain.requests import find_write_key, read_single
from services.ingest.domain.vocabulary import Kind

_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_GIF_HEADERS: Final = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(_GIF)).encode()),
    (b"cache-control", b"no-store"),
    *ANSWER,
]
_CONFIG_HEADERS: Final = [(b"cache-control", b"public, max-age=300")]
_SETTINGS_HEADERS: Final = [*_CONFIG_HEADERS, (b"vary", b"origin"), *ANSWER]
_LOST: Final = counter("ingest_pixels_lost_total", "Pixels answered with their image whose call could not be taken.", ("code",))


class BrowserEndpoints:
    """Builds the endpoints."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._arrivals = Arrivals(deps)

    async def settings(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """`GET /v1/projects/{write_key}/settings`, what analytics-next loads first.

        Answered for any key: a page whose settings request fails sends nothing at all, and whether the key is good is told when
        it sends. The SDK's own metrics are switched off. There is no `plan`: without one all is allowed, and the SDK needn't load
        the part of itself that reads it.
        """
        segment = {"apiKey": scope["path_params"]["write_key"], "apiHost": f"{self._host(scope)}/v1"}
        document: dict[str, object] = {
            "integrations": {"Segment.io": segment if self._is_https(scope) else {**segment, "protocol": "http"}},
            "metrics": {"sampleRate": 0},
            "analyticsNextEnabled": True,
        }
        await send_json(send, 200, msgspec.json.encode(document), _SETTINGS_HEADERS)

    async def source_config(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """`GET /sourceConfig/`, what RudderStack's browser SDK loads first."""
        key = find_key(scope, dict(scope["headers"]), lambda: None)
        source = authorise(self._deps.sources, key)
        document: dict[str, object] = {
            "source": {
                "id": source.id,
                "name": source.name,
                "writeKey": key,
                "enabled": source.enabled,
                "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
                "destinations": [],
                "dataplanes": {},
            }
        }
        await send_json(send, 200, msgspec.json.encode(document), _CONFIG_HEADERS)

    def pixel(self, path: str, kind: Kind) -> AsgiApp:
        """A call in a query, by which an image in a mail says that it was seen. `path` is where it could be sent as JSON."""

        async def endpoint(scope: Scope, _receive: Receive, send: Send) -> None:
            await self._take_pixel(scope, path, kind)
            await send({"type": "http.response.start", "status": 200, "headers": list(_GIF_HEADERS)})
            await send({"type": "http.response.body", "body": _GIF})

        return endpoint

    async def _take_pixel(self, scope: Scope, path: str, kind: Kind) -> None:
        """Whatever goes wrong is no image's business: a mail client shows a broken one and never sends again."""
        body = read_pixel(scope["query_string"])
        try:
            headers = dict(scope["headers"])
            arrival = self._arrivals.arrive(scope, headers, find_key(scope, headers, lambda: find_write_key(body)), path)
            with self._deps.gate.admit(len(body)):
                await self._deps.intake.take_calls(arrival, read_single(body), kind=kind)
        except RapportError as error:
            _LOST.labels(error.code).inc()

    def _is_https(self, scope: Scope) -> bool:
        """What the SDK takes for granted unless told otherwise. A page that came by https may speak nothing else."""
        if self._deps.settings.public_host is not None:
            return True
        origin, forwarded = (get_header(scope, name) or "" for name in (b"origin", b"x-forwarded-proto"))
        return "https" in (scope.get("scheme"), forwarded) or origin.startswith("https:")

    def _host(self, scope: Scope) -> str:
        if self._deps.settings.public_host is not None:
            return self._deps.settings.public_host
        return get_header(scope, b"host") or "localhost"
