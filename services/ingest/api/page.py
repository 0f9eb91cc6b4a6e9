"""`GET /`: how to send the first touchpoint, and what has come so far. Rendered here, no build step, no personal data."""

from importlib.resources import files
from typing import Final

import asyncpg
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from libs.kit.auth import DEV_BROWSER_KEY, DEV_WRITE_KEY
from services.ingest.api.deps import ApiDeps
from services.ingest.ports import RejectionFilter

_TEMPLATE: Final = Environment(autoescape=True).from_string(
    files("services.ingest.api").joinpath("templates/index.html").read_text(encoding="utf-8")
)


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter()
    is_local = deps.settings.platform.env != "production"

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page(request: Request) -> HTMLResponse:
        host = deps.settings.public_host or request.headers.get("host", "localhost")
        html = _TEMPLATE.render(
            host=host,
            scheme=request.url.scheme,
            write_key=DEV_WRITE_KEY if is_local else "YOUR-WRITE-KEY",
            browser_key=DEV_BROWSER_KEY if is_local else "YOUR-WRITE-KEY",
            accepted=deps.intake.accepted,
            rejected=deps.intake.rejected,
            parked=await _count_parked(),
        )
        return HTMLResponse(html)

    async def _count_parked() -> dict[str, int] | None:
        """None while the database is away: the page tells how to send all the same."""
        try:
            async with deps.database.connection() as connection:
                return dict(await deps.rejections.count_reasons(connection, RejectionFilter()))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return None

    return router
