"""Schemathesis over what operators ask of ingest, on the running platform: nothing they send makes it fall over.

The tracking surface has its own, in tests/contract/ingest.
"""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.e2e.visitor import STAFF
from tests.support.platform import RunningTestPlatform

WRITTEN_BY_HAND = ["browsers", "touchpoints", "tracking"]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def try_out(operation: Any) -> None:
    # Each example is a request to a running platform: a tenth of what the profile allows.
    @settings(deadline=None, max_examples=settings.default.max_examples // 10, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def answers_as_documented(case: Case) -> None:
        case.call_and_validate(headers=STAFF, checks=CHECKS)

    answers_as_documented()


def test_every_answer_to_an_operator_is_one_that_the_document_names(platform: RunningTestPlatform) -> None:
    schema = schemathesis.openapi.from_url(f"{platform.urls['ingest']}/openapi.json").exclude(tag=WRITTEN_BY_HAND)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {"/v1/sources", "/v1/rejections"} <= {operation.path for operation in operations}
    for operation in operations:
        try_out(operation)
