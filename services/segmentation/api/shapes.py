"""Bodies of requests, and resources as they are shown."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from libs.durable.jobs import Job
from libs.kit.http import StrictModel
from libs.kit.times import format_utc
from services.segmentation.domain.findings import Finding
from services.segmentation.ports import Definition

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Description = Annotated[str, Field(max_length=2_000)]
Rule = Annotated[
    dict[str, Any], Field(description="The rule tree: see the segmentation guide.", examples=[{"did": "Order Completed"}])
]


Id = Annotated[str | None, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="From the name where it is missing.")]


class NewList(StrictModel):
    id: Id = None
    name: Name
    description: Description = ""


class NewSegment(StrictModel):
    id: Id = None
    name: Name
    description: Description = ""
    rule: Rule


class ChangedSegment(StrictModel):
    name: Name
    description: Description = ""
    rule: Rule


class PreviewRequest(StrictModel):
    rule: Rule


def show_segment(
    definition: Definition, members: int, job: Job | None, *, rule: Any, warnings: Iterable[Finding] | None = None
) -> dict[str, Any]:
    shown = {
        "id": definition.id,
        "name": definition.name,
        "description": definition.description,
        "rule": rule,
        "version": definition.version,
        "state": definition.state,
        "progress": show_progress(definition, job),
        "job": {"id": str(definition.job_id), "state": job.state if job is not None else "queued"},
        "members": members,
        "created_at": format_utc(definition.created_at),
        "updated_at": format_utc(definition.updated_at),
    }
    if warnings is not None:
        shown["warnings"] = show_warnings(warnings)
    return shown


def show_warnings(warnings: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"pointer": f"#/rule{warning.pointer}", "detail": warning.detail} for warning in warnings]


def show_progress(definition: Definition, job: Job | None) -> dict[str, int | None]:
    """How many profiles the back-fill of this version has judged; all of them once the segment is live."""
    if job is None:
        return {"done": 0, "total": None}
    if definition.state == "live":
        return {"done": job.done, "total": job.done}
    return {"done": job.done, "total": job.total}
