"""The API's document: every answer to a question around a segment has an example."""

from fastapi import FastAPI

WITH_EXAMPLES = (
    "}/members",
    "}/export",
    "/history",
    "/overlap",
    "/analysis",
    "/verify",
    "/resume",
    "/v1/webhooks",
    "/v1/exports",
)


def test_answers_have_examples(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    without = [
        f"{method} {path} {status}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if any(part in path for part in WITH_EXAMPLES)
        and status in ("200", "201", "202")
        and not any("example" in media for media in answer.get("content", {}).values())
    ]
    assert without == []
    assert {"/v1/segments/analysis", "/v1/webhooks/{webhook_id}/deliveries", "/v1/exports/{export_id}/run"} <= paths.keys()
