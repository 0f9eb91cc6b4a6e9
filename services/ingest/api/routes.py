"""Which address is answered by what. Every path is there with and without a trailing slash: analytics-java sends one."""

from fastapi import FastAPI

from libs.kit.http import AsgiApp, Operation, add_raw_route, document_raw_route
from services.ingest.api import debugger, imports, operations, page, plans, rejections, source_stats, sources, webhook_endpoints
from services.ingest.api.analytics_js import BUNDLE_PATH, CHUNK_PATH, LICENCE_PATH, AnalyticsJs
from services.ingest.api.browser import BrowserEndpoints
from services.ingest.api.cloud_events import CloudEvents, allow_webhooks
from services.ingest.api.cors import open_to_browsers, preflight
from services.ingest.api.deps import ApiDeps
from services.ingest.api.touchpoints import OwnTouchpoints
from services.ingest.api.tracking import Tracking
from services.ingest.api.webhooks import PATH as WEBHOOK
from services.ingest.api.webhooks import WebhookDeliveries
from services.ingest.domain.routes import BATCH, CLOUD_EVENTS, OWN, SDK_METRICS, SINGLE
from services.ingest.domain.vocabulary import Kind

_PIXELS: tuple[tuple[str, Kind], ...] = (
    *((f"/v1/pixel/{kind}", kind) for kind in dict.fromkeys(SINGLE.values())),
    ("/pixel/v1/track", "track"),
    ("/pixel/v1/page", "page"),
)
_SETTINGS = "/v1/projects/{write_key}/settings"


def add_routes(app: FastAPI, deps: ApiDeps) -> None:
    add_doors(app, deps)
    add_desk(app, deps)


def add_doors(app: FastAPI, deps: ApiDeps) -> None:
    """Where touchpoints come in, and what their senders ask for first."""
    tracking, browser, scripts = Tracking(deps), BrowserEndpoints(deps), AnalyticsJs(deps.settings.analytics_js)
    for path, kind in SINGLE.items():
        _add(app, "POST", path, tracking.single(path, kind), operations.describe_single(kind))
    for path in BATCH:
        _add(app, "POST", path, tracking.batch(path), operations.BATCH)
    _add(app, "POST", SDK_METRICS, tracking.sdk_metrics, operations.SDK_METRICS)
    _add(app, "POST", OWN, open_to_browsers(OwnTouchpoints(deps)), operations.OWN)
    _add(app, "POST", CLOUD_EVENTS, open_to_browsers(CloudEvents(deps)), operations.CLOUD_EVENTS, options=allow_webhooks)
    for path, pixel_kind in _PIXELS:
        _add(app, "GET", path, browser.pixel(f"/v1/{pixel_kind}", pixel_kind), operations.PIXEL)
    _add(app, "GET", _SETTINGS, browser.settings, operations.SETTINGS)
    _add(app, "GET", "/sourceConfig", open_to_browsers(browser.source_config), operations.SOURCE_CONFIG)
    _add(app, "GET", BUNDLE_PATH, open_to_browsers(scripts.bundle), operations.ANALYTICS_JS)
    _add(app, "GET", CHUNK_PATH, open_to_browsers(scripts.chunk), operations.ANALYTICS_JS_CHUNK)
    _add(app, "GET", LICENCE_PATH, open_to_browsers(scripts.licence), operations.ANALYTICS_JS_LICENCE)
    deliveries = WebhookDeliveries(deps)
    for address in (WEBHOOK, f"{WEBHOOK}/"):
        add_raw_route(app, address, ["POST"], deliveries.receive)
        add_raw_route(app, address, ["GET", "HEAD"], deliveries.greet)
    document_raw_route(app, WEBHOOK, "POST", operations.WEBHOOK)
    document_raw_route(app, WEBHOOK, "GET", operations.WEBHOOK_HANDSHAKE)


def add_desk(app: FastAPI, deps: ApiDeps) -> None:
    """What people who run it ask and decide."""
    app.include_router(sources.build_router(deps))
    app.include_router(webhook_endpoints.build_router(deps))
    app.include_router(source_stats.build_router(deps))
    app.include_router(debugger.build_router(deps))
    app.include_router(plans.build_router(deps))
    app.include_router(rejections.build_router(deps))
    app.include_router(imports.build_router(deps))
    app.include_router(page.build_router(deps))


def _add(app: FastAPI, method: str, path: str, endpoint: AsgiApp, operation: Operation, *, options: AsgiApp = preflight) -> None:
    for address in (path, f"{path}/"):
        add_raw_route(app, address, [method], endpoint)
        add_raw_route(app, address, ["OPTIONS"], options)
    document_raw_route(app, path, method, operation)
