"""Plain ASGI pieces for hot routes, and the edge around every request: trace, metrics, and errors turned into problems."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from libs.kit.auth import Access, Principal, authorise
from libs.kit.errors import Internal, Invalid, NotFound, PayloadTooLarge, RapportError, Unavailable
from libs.kit.logging import get_logger
from libs.kit.metrics import histogram
from libs.kit.problems import problem_response, to_rapport_error
from libs.kit.scopes import KeyScope
from libs.kit.trace import continue_trace, current_trace, set_trace

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = get_logger(__name__)
_REQUESTS = histogram(
    "http_request_duration_seconds", "Time to answer a request, by the route's template.", ("method", "route", "status")
)
_UNMATCHED = "unmatched"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_DRAIN_FACTOR = 4
_NUL = b"%00"
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
_SLASH_MARK = "\ue02f"  # private use: no text we accept has a meaning for it


def get_header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises PayloadTooLarge over the limit, and ClientDisconnect when the client went away."""
    declared = get_header(scope, b"content-length")
    too_large = declared is not None and declared.isdigit() and int(declared) > limit_bytes
    size, chunks, more = 0, [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        too_large = too_large or size > limit_bytes
        if not too_large:
            chunks.append(chunk)
        elif size > limit_bytes * _DRAIN_FACTOR:
            break  # enough courtesy: a client that is still sending is cut off
    if too_large:
        raise PayloadTooLarge(f"The body is larger than {limit_bytes} bytes.", headers={"Connection": "close"} if more else None)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    await send_bytes(send, status, body, b"application/json", headers)


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    start_headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start_headers})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: RapportError) -> None:
    trace = current_trace()
    status, headers, body = problem_response(error, trace.trace_id if trace else None)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def authorise_scope(scope: Scope, access: Access, needed: KeyScope | None) -> Principal:
    """As `requires`, for raw endpoints. Raises Unauthorized, Forbidden, Unavailable."""
    return authorise(access, get_header(scope, b"authorization"), needed)


@dataclass(frozen=True, slots=True)
class RawRoute:
    """An endpoint outside the framework. Parameters of `path` are written as FastAPI's and arrive in scope["path_params"]."""

    path: str
    methods: frozenset[str]
    endpoint: AsgiApp


class RawRoutes:
    """The hot routes: exact paths by one dict look-up, the few with parameters one regular expression after the other."""

    def __init__(self) -> None:
        self._exact: dict[str, list[RawRoute]] = {}
        self._patterns: list[tuple[Any, Any, RawRoute]] = []

    def add(self, route: RawRoute) -> None:
        if "{" in route.path:
            regex, _, convertors = compile_path(route.path)
            self._patterns.append((regex, convertors, route))
        else:
            self._exact.setdefault(route.path, []).append(route)

    def find(self, scope: Scope) -> RawRoute | None:
        """The route of this path and method; None leaves the request to the framework."""
        method = scope["method"]
        for route in self._exact.get(scope["path"], ()):
            if method in route.methods:
                return route
        if not self._patterns:
            return None
        # Parameters are cut from the path as it was sent: an encoded slash belongs to the value.
        sent = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else quote(scope["path"])
        for regex, convertors, route in self._patterns:
            found = regex.match(sent) if method in route.methods else None
            if found is not None:
                scope["path_params"] = {
                    name: convertors[name].convert(unquote(value)) for name, value in found.groupdict().items()
                }
                return route
        return None


class Edge:
    """Around everything: continues the caller's trace, measures, and answers every exception with a problem.

    One of the two places that catch Exception. A client that goes away is no error. It stands twice: as the app's middleware,
    and before the app (`raw_only`, see `http.get_entry`), where raw routes don't pay for the framework at all.
    """

    def __init__(self, app: AsgiApp, routes: RawRoutes, *, raw_only: bool = False) -> None:
        self._app = app
        self._raw_only = raw_only
        self._routes = routes
        self._measures: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = self._routes.find(scope) if scope["type"] == "http" else None
        if scope["type"] != "http" or (raw is None and self._raw_only):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        trace = continue_trace(get_header(scope, b"traceparent"))
        set_trace(trace)
        trace_header = (b"traceresponse", trace.traceparent.encode())
        status = 0

        def send_traced(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Never into the endpoint's own list: a hot route answers with one and the same message each time.
                message = {**message, "headers": [*message.get("headers", ()), trace_header]}
            return send(message)

        try:
            if raw is not None:
                await raw.endpoint(scope, receive, send_traced)
            elif _NUL in (scope.get("raw_path") or b""):
                await send_problem(send_traced, NotFound("Nothing has a NUL (`%00`) in its name."))
            elif _NUL in scope["query_string"]:
                await send_problem(send_traced, Invalid("A query can't hold a NUL (`%00`)."))
            else:
                _keep_encoded_slashes(scope)
                await self._app(scope, receive, send_traced)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            answer = to_rapport_error(error)
            self._log_failure(scope, error, answer)
            if status:
                raise  # half an answer is out: all that is left is to cut the connection
            await send_problem(send_traced, answer)
        finally:
            self._measure(scope, raw, status, time.perf_counter() - began)

    def _log_failure(self, scope: Scope, error: Exception, answer: RapportError) -> None:
        if isinstance(answer, Internal):
            _log.error("request_failed", method=scope["method"], route=_template(scope, None), exc_info=error)
        elif isinstance(answer, Unavailable):
            reason = type(error.__cause__ or error).__name__
            _log.warning("request_unavailable", method=scope["method"], route=_template(scope, None), reason=reason)

    def _measure(self, scope: Scope, raw: RawRoute | None, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        key = (method, _template(scope, raw), status)
        measure = self._measures.get(key)
        if measure is None:
            measure = self._measures[key] = _REQUESTS.labels(key[0], key[1], str(status))
        measure.observe(seconds)


def _keep_encoded_slashes(scope: Scope) -> None:
    """An encoded slash belongs to a parameter's value: routing must not split there, and `SlashConvertor` gives it back."""
    sent: bytes = scope.get("raw_path") or b""
    if b"%2f" in sent.lower():
        scope["path"] = unquote(_ENCODED_SLASH.sub(quote(_SLASH_MARK), sent.decode("latin-1")))


class SlashConvertor(StringConvertor):
    """Starlette's convertor of `{name}`, which also gives back the slashes that were sent encoded."""

    def convert(self, value: str) -> str:
        return value.replace(_SLASH_MARK, "/")


# The documented way to say what `{name}` means in a path, for all routes of the process.
register_url_convertor("str", SlashConvertor())


def _template(scope: Scope, raw: RawRoute | None) -> str:
    if raw is not None:
        return raw.path
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else _UNMATCHED
