"""Schemathesis over ingest's OpenAPI document: what is sent as documented, or nearly so, is never a 5xx and always documented."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.support.intake import World

WRITTEN_BY_HAND = frozenset({"tracking", "touchpoints", "browsers"})
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def open_schema() -> Any:
    """The operations behind a write key. The catch-all answer `default` is taken out: each status has to be named."""
    app = World().build_app()
    document = app.openapi()
    document["paths"] = {
        path: methods
        for path, methods in document["paths"].items()
        if any(WRITTEN_BY_HAND & set(operation.get("tags", ())) for operation in methods.values())
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            del operation["responses"]["default"]
    config = SchemathesisConfig()
    config.projects.default.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    opened = schemathesis.openapi.from_dict(document, config=config)
    opened.app = app
    return opened


schema = open_schema()


@schema.parametrize()
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_names(case: Case) -> None:
    case.call_and_validate(headers={"X-Write-Key": "dev-write-key"}, checks=CHECKS)
