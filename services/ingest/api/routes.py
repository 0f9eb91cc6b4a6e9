"""Which address is answered by what. Every tracking path is there with and without a trailing slash: analytics-java sends one."""

from fastapi import FastAPI

from libs.kit.http import AsgiApp, add_raw_route, document_raw_route
from services.ingest.api import imports, operations, page, rejections, sources
from services.ingest.api.browser import BrowserEndpoints
from services.ingest.api.deps import ApiDeps
from services.ingest.api.touchpoints import OwnTouchpoints
from services.ingest.api.tracking import Tracking
from services.ingest.domain.routes import BATCH, OWN, SDK_METRICS, SINGLE
from services.ingest.domain.vocabulary import Kind

_PIXELS: tuple[tuple[str, Kind], ...] = (
    *((f"/v1/pixel/{kind}", kind) for kind in dict.fromkeys(SINGLE.values())),
    ("/pixel/v1/track", "track"),
    ("/pixel/v1/page", "page"),
)
_SETTINGS = "/v1/projects/{write_key}/settings"


def add_routes(app: FastAPI, deps: ApiDeps) -> None:
    tracking, browser = Tracking(deps), BrowserEndpoints(deps)
    for path, kind in SINGLE.items():
        _add(app, path, ["POST"], tracking.single(path, kind))
        _add(app, path, ["OPTIONS"], tracking.preflight)
        document_raw_route(app, path, "POST", operations.describe_single(kind))
    for path in BATCH:
        _add(app, path, ["POST"], tracking.batch(path))
        _add(app, path, ["OPTIONS"], tracking.preflight)
        document_raw_route(app, path, "POST", operations.BATCH)
    _add(app, SDK_METRICS, ["POST"], tracking.sdk_metrics)
    document_raw_route(app, SDK_METRICS, "POST", operations.SDK_METRICS)
    _add(app, OWN, ["POST"], OwnTouchpoints(deps))
    document_raw_route(app, OWN, "POST", operations.OWN)
    for path, pixel_kind in _PIXELS:
        _add(app, path, ["GET"], browser.pixel(f"/v1/{pixel_kind}", pixel_kind))
        document_raw_route(app, path, "GET", operations.PIXEL)
    _add(app, _SETTINGS, ["GET"], browser.settings)
    document_raw_route(app, _SETTINGS, "GET", operations.SETTINGS)
    _add(app, "/sourceConfig", ["GET"], browser.source_config)
    document_raw_route(app, "/sourceConfig", "GET", operations.SOURCE_CONFIG)
    for path in (SDK_METRICS, _SETTINGS, "/sourceConfig"):
        _add(app, path, ["OPTIONS"], tracking.preflight)
    app.include_router(sources.build_router(deps))
    app.include_router(rejections.build_router(deps))
    app.include_router(imports.build_router(deps))
    app.include_router(page.build_router(deps))


def _add(app: FastAPI, path: str, methods: list[str], endpoint: AsgiApp) -> None:
    add_raw_route(app, path, methods, endpoint)
    add_raw_route(app, f"{path}/", methods, endpoint)
