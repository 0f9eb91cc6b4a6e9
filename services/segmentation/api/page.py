"""`/`: the segments with their counts, for people. Rendered here; no script, no build step."""

from pathlib import Path

import jinja2
from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.segmentation.api.deps import ApiDeps
from services.segmentation.store.pages import PostgresProfilePages
from services.segmentation.store.reading import count_members


def build_page_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)
    template = environment.get_template("page.html")

    @router.get("/", response_class=HTMLResponse)
    async def show_page() -> str:
        async with deps.database.connection() as connection:
            definitions = await deps.seg.definitions.load_all(connection)
            members = await count_members(connection)
            known = await PostgresProfilePages().count_profiles(connection)
        rows = [(one, members.get(one.id, 0), 100 * members.get(one.id, 0) / known if known else 0.0) for one in definitions]
        rows.sort(key=lambda row: (-row[1], row[0].id))
        return template.render(rows=rows, known=known)

    return router
