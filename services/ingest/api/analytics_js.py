"""analytics-next for HTML snippets: the bundle under its usual address, and the chunks that it loads when it needs them.

The bytes are those of the npm package `@segment/analytics-next` (MIT), whose unpacked folder `INGEST_ANALYTICS_JS` names; before
them stand its licence and a prelude, behind them one call. They are the same for every key: the prelude reads host and key from
the address that the page loaded.
"""

import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from libs.kit.http import Receive, Scope, Send, get_header
from services.ingest.errors import AnalyticsJsMissing

BUNDLE_PATH: Final = "/analytics.js/v1/{write_key}/analytics.min.js"
CHUNK_PATH: Final = "/analytics-next/bundles/{file}"
LICENCE_PATH: Final = "/analytics-next/LICENSE"
_BUNDLE: Final = "standalone.js"
_LICENCE: Final = "LICENSE.MD"
_JAVASCRIPT: Final = b"text/javascript; charset=utf-8"
_TEXT: Final = b"text/plain; charset=utf-8"
_AN_HOUR: Final = b"public, max-age=3600, stale-while-revalidate=86400"
_FOR_EVER: Final = b"public, max-age=31536000, immutable"
"""Chunks have a hash of their content in their names."""


class Asset(NamedTuple):
    """A file in both forms in which it is served."""

    content: bytes
    gzipped: bytes
    etag: bytes

    @classmethod
    def of(cls, content: bytes) -> "Asset":
        return cls(content, gzip.compress(content, mtime=0), b'"%s"' % hashlib.sha256(content).hexdigest()[:32].encode())


class _Package(NamedTuple):
    bundle: Asset | None
    licence: Asset | None
    chunks: Mapping[str, Asset]


class AnalyticsJs:
    """Builds the endpoints. Everything is read once: a new package counts from the next start."""

    def __init__(self, folder: Path | None) -> None:
        package = _Package(None, None, {}) if folder is None else _read_package(folder)
        self._bundle, self._licence, self._chunks = package

    async def bundle(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """`GET /analytics.js/v1/{write_key}/analytics.min.js`, for any key: whether it is good is told when it sends."""
        await self._send(scope, send, self._bundle, _JAVASCRIPT, _AN_HOUR)

    async def chunk(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """`GET /analytics-next/bundles/{file}`."""
        await self._send(scope, send, self._chunks.get(scope["path_params"]["file"]), _JAVASCRIPT, _FOR_EVER)

    async def licence(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await self._send(scope, send, self._licence, _TEXT, _AN_HOUR)

    async def _send(self, scope: Scope, send: Send, asset: Asset | None, content_type: bytes, caching: bytes) -> None:
        if asset is None:
            raise AnalyticsJsMissing(installed=self._bundle is not None)
        zipped = "gzip" in (get_header(scope, b"accept-encoding") or "")
        body = asset.gzipped if zipped else asset.content
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", content_type),
            (b"cache-control", caching),
            (b"etag", asset.etag),
            (b"vary", b"accept-encoding"),
            (b"x-content-type-options", b"nosniff"),
            # A page that isolates itself may load it all the same.
            (b"cross-origin-resource-policy", b"cross-origin"),
        ]
        if _is_known(get_header(scope, b"if-none-match"), asset.etag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body"})
            return
        headers.append((b"content-length", b"%d" % len(body)))
        if zipped:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _is_known(if_none_match: str | None, etag: bytes) -> bool:
    return if_none_match is not None and etag.decode() in if_none_match


def _read_package(folder: Path) -> _Package:
    """Empty where the folder isn't the package: then the routes say so, and the rest of ingest works."""
    scripts, licence = folder / "dist" / "umd", folder / _LICENCE
    if not (scripts / _BUNDLE).is_file() or not licence.is_file():
        return _Package(None, None, {})
    chunks = {script.name: Asset.of(script.read_bytes()) for script in scripts.glob("*.bundle.*.js")}
    terms = licence.read_bytes()
    prelude = files("services.ingest.api").joinpath("templates/analytics_prelude.js").read_bytes()
    banner = b"/*! analytics-next, unchanged below the prelude, under this licence:\n\n%s*/\n" % terms.replace(b"*/", b"* /")
    # In a function, so that the prelude's names are its own.
    bundle = b"%s(function () {\n%s%s\n;restore();\n})();\n" % (banner, prelude, (scripts / _BUNDLE).read_bytes())
    return _Package(Asset.of(bundle), Asset.of(terms), chunks)
