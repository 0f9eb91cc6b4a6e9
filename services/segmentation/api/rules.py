"""`/v1/rules`: the grammar of rules."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Response

from libs.kit.auth import Principal
from libs.kit.http import requires
from services.segmentation.api.deps import ApiDeps
from services.segmentation.domain.grammar import build_rule_schema

_SCHEMA: Final = msgspec.json.encode(build_rule_schema())


def build_rules_router(_deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/rules", tags=["segments"])

    @router.get(
        "/schema",
        response_class=Response,
        responses={200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}, "description": "The schema"}},
    )
    async def read_schema(_: Annotated[Principal, requires("segments:read")]) -> Response:
        """The rule tree as JSON Schema (2020-12), as in docs/rule.schema.json. Its `$id` has the version."""
        return Response(_SCHEMA, media_type="application/schema+json")

    return router
