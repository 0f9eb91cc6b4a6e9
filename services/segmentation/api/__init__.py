"""HTTP of segmentation."""

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter

from services.segmentation.api.analysis import build_analysis_router
from services.segmentation.api.deps import ApiDeps
from services.segmentation.api.exports import build_exports_router
from services.segmentation.api.lists import build_lists_router
from services.segmentation.api.members import build_members_router
from services.segmentation.api.memberships import build_memberships_router
from services.segmentation.api.page import build_page_router
from services.segmentation.api.rules import build_rules_router
from services.segmentation.api.segments import build_segments_router
from services.segmentation.api.webhooks import build_webhooks_router
from services.segmentation.api.work import build_work_router

__all__ = ["ROUTERS", "ApiDeps"]

# Words of the addresses (`/v1/segments/overlap`) stand before `/v1/segments/{id}`.
ROUTERS: Final[tuple[Callable[[ApiDeps], APIRouter], ...]] = (
    build_analysis_router,
    build_members_router,
    build_work_router,
    build_segments_router,
    build_memberships_router,
    build_lists_router,
    build_rules_router,
    build_webhooks_router,
    build_exports_router,
    build_page_router,
)
