"""The FastAPI app of profile, put together."""

from fastapi import FastAPI

from libs.kit.clock import Clock
from libs.kit.health import Health
from libs.kit.http import create_app as create_kit_app
from services.profile.api.accounts import build_accounts_router
from services.profile.api.deps import ApiDeps
from services.profile.api.edits import build_edits_router
from services.profile.api.hot import add_hot_routes
from services.profile.api.identity import build_identity_router
from services.profile.api.lists import build_lists_router
from services.profile.api.me import add_visitor_routes
from services.profile.api.page import build_page_router
from services.profile.api.rules import build_rules_router

DESCRIPTION = """Who each customer is, and everything known of them in one view, within a second of the touch.

A profile is found by its id or by any of its identifiers. Every merge says why; nothing is edited but through the log."""


def create_profile_app(deps: ApiDeps, health: Health, clock: Clock) -> FastAPI:
    app = create_kit_app(
        service="profile", title="Rapport profile", description=DESCRIPTION, health=health, access=deps.access, clock=clock
    )
    add_hot_routes(app, deps)
    add_visitor_routes(app, deps)
    app.include_router(build_lists_router(deps))
    app.include_router(build_accounts_router(deps))
    app.include_router(build_edits_router(deps))
    app.include_router(build_identity_router(deps))
    app.include_router(build_rules_router(deps))
    app.include_router(build_page_router(deps))
    return app
