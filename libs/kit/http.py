"""The HTTP edge all services share: one app factory, one way to check keys, one shape of errors, health and metrics.

Handlers raise RapportError; nothing else in a service knows about status codes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from libs.kit.asgi import (
    AsgiApp,
    Edge,
    Message,
    RawRoute,
    RawRoutes,
    Receive,
    Scope,
    Send,
    authorise_scope,
    get_header,
    read_body,
    send_bytes,
    send_json,
    send_problem,
)
from libs.kit.auth import Access, Principal, authorise
from libs.kit.clock import Clock
from libs.kit.errors import NotFound, RapportError
from libs.kit.health import Health
from libs.kit.json_values import find_fault
from libs.kit.metrics import CONTENT_TYPE as METRICS_TYPE
from libs.kit.metrics import render_metrics
from libs.kit.prefork import main_pid
from libs.kit.problems import PROBLEM_SCHEMA, problem_response, to_rapport_error
from libs.kit.scopes import KeyScope
from libs.kit.trace import current_trace

__all__ = [
    "AsgiApp",
    "Health",
    "Message",
    "Operation",
    "RawRoute",
    "Receive",
    "Scope",
    "Send",
    "StrictModel",
    "add_raw_route",
    "authorise_scope",
    "create_app",
    "document_raw_route",
    "get_entry",
    "get_header",
    "get_operators_entry",
    "problem_response",
    "read_body",
    "requires",
    "send_bytes",
    "send_json",
    "send_problem",
]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Operation = Mapping[str, Any]

OPERATORS_PATHS = ("/healthz", "/readyz", "/metrics")

_CONVERTOR = re.compile(r":\w+}")
_BEARER = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key with the scope the operation names.")
_PROBLEM_ANSWER = {
    "description": "A problem (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class StrictModel(BaseModel):
    """Base of request bodies: an unknown field is an error, texts keep their spaces and can be stored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_values(cls, value: Any) -> Any:
        if (fault := find_fault(value)) is not None:
            raise ValueError(fault)
        return value


def create_app(
    *,
    service: str,
    title: str,
    description: str,
    health: Health,
    access: Access,
    clock: Clock,
    lifespan: Lifespan | None = None,
    version: str = "1",
) -> FastAPI:
    """A FastAPI app with problem+json errors, trace, metrics, /healthz, /readyz and /metrics.

    `app.state` carries `service`, `access` and `clock` for dependencies, and `stopping`, which ends answers that never end.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        lifespan=lifespan or _no_lifespan,
        responses={"default": _PROBLEM_ANSWER},
        redirect_slashes=False,
    )
    app.state.service, app.state.access, app.state.clock = service, access, clock
    app.state.stopping = asyncio.Event()
    app.state.raw_routes, app.state.raw_operations = RawRoutes(), {}
    for kind in (RapportError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer_problem)
    app.add_middleware(Edge, routes=app.state.raw_routes)
    app.state.entry = Edge(app, app.state.raw_routes, raw_only=True)
    _add_operations_routes(app, health)
    setattr(app, "openapi", lambda: _openapi(app))  # noqa: B010 - FastAPI's documented way to extend it; mypy forbids the plain form
    return app


def get_entry(app: FastAPI) -> AsgiApp:
    """What a server should call: as the app itself, but raw routes never enter the framework (some 10 us a request)."""
    entry: AsgiApp = getattr(app.state, "entry", app)
    return entry


def get_operators_entry(app: FastAPI) -> AsgiApp:
    """What a worker without an API serves: health and metrics, and for all else a word that there is nothing more."""
    entry = get_entry(app)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPERATORS_PATHS:
            await send_problem(
                send, NotFound(f"This process is a worker without an API: it answers {', '.join(OPERATORS_PATHS)}.")
            )
        else:
            await entry(scope, receive, send)

    return answer


def requires(scope: KeyScope) -> Any:
    """Checks the key and gives its holder.

    Use: `principal: Annotated[Principal, requires("profiles:read")]`.
    """

    async def check(request: Request, _key: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> Principal:
        return authorise(request.app.state.access, request.headers.get("authorization"), scope)

    return Depends(check)


def add_raw_route(app: FastAPI, path: str, methods: Iterable[str], endpoint: AsgiApp, operation: Operation | None = None) -> None:
    """A hot route as a plain ASGI callable: it skips the framework's routing, middleware and models.

    It may raise RapportError like any handler. `operation` documents it (for each method) in /openapi.json.
    """
    route = RawRoute(path, frozenset(method.upper() for method in methods), endpoint)
    app.state.raw_routes.add(route)
    # The framework knows it as well, so that another method is answered with 405 and its Allow header.
    app.router.routes.append(
        Route(path, endpoint=_AsgiEndpoint(endpoint), methods=sorted(route.methods), include_in_schema=False)
    )
    if operation is not None:
        for method in sorted(route.methods):
            document_raw_route(app, path, method, operation)


def document_raw_route(app: FastAPI, path: str, method: str, operation: Operation) -> None:
    """Put an OpenAPI operation object (with `$ref`s to `#/components/schemas/…` it brings under `components`) in the document."""
    app.state.raw_operations.setdefault(_CONVERTOR.sub("}", path), {})[method.lower()] = operation
    app.openapi_schema = None


class _AsgiEndpoint:
    """Starlette takes callable objects that aren't functions as ASGI apps."""

    def __init__(self, endpoint: AsgiApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)


@asynccontextmanager
async def _no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def _answer_problem(_request: Request, error: Exception) -> Response:
    trace = current_trace()
    status, headers, body = problem_response(to_rapport_error(error), trace.trace_id if trace else None)
    response = Response(body, status_code=status)
    response.raw_headers = headers
    return response


def _add_operations_routes(app: FastAPI, health: Health) -> None:
    async def answer_live(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_json(send, 200, b'{"status":"alive"}')

    async def answer_ready(_scope: Scope, _receive: Receive, send: Send) -> None:
        checks = await health.run()
        failing = sorted(name for name, outcome in checks.items() if outcome != "ok")
        body = {"status": "unready" if failing else "ready", "failing": failing, "checks": checks, "pid": main_pid()}
        await send_json(send, 503 if failing else 200, msgspec.json.encode(body))

    async def answer_metrics(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_bytes(send, 200, render_metrics(), METRICS_TYPE.encode())

    plain = {"tags": ["operations"], "security": []}
    live = {**plain, "summary": "The process runs", "responses": {"200": {"description": "It does"}}}
    ready_answers = {"200": {"description": "Ready"}, "503": {"description": "Something it needs is away: see `failing`"}}
    ready = {**plain, "summary": "The process can do its work", "responses": ready_answers}
    metrics = {**plain, "summary": "Prometheus metrics", "responses": {"200": {"description": "Text exposition format"}}}
    add_raw_route(app, "/healthz", ["GET"], answer_live, live)
    add_raw_route(app, "/readyz", ["GET"], answer_ready, ready)
    add_raw_route(app, "/metrics", ["GET"], answer_metrics, metrics)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = PROBLEM_SCHEMA
        for path, methods in app.state.raw_operations.items():
            for method, operation in methods.items():
                described = {key: value for key, value in operation.items() if key != "components"}
                described["responses"] = {**described.get("responses", {}), "default": _PROBLEM_ANSWER}
                document.setdefault("paths", {}).setdefault(path, {})[method] = described
                schemas.update(operation.get("components", {}))
        app.openapi_schema = document
    return app.openapi_schema
