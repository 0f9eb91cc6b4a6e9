"""Schemathesis over what operators ask of ingest, on the running platform: nothing they send makes it fall over.

The tracking surface has its own, in tests/contract/ingest.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.e2e.visitor import STAFF
from tests.support.platform import RunningTestPlatform

WRITTEN_BY_HAND = frozenset({"tracking", "touchpoints", "browsers"})
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def operators_api(platform: RunningTestPlatform) -> Any:
    opened = schemathesis.openapi.from_url(f"{platform.urls['ingest']}/openapi.json", wait_for_schema=5)
    return opened.exclude(tag=sorted(WRITTEN_BY_HAND))


schema = schemathesis.pytest.from_fixture("operators_api")


@schema.parametrize()
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
def test_every_answer_to_an_operator_is_one_that_the_document_names(case: Case) -> None:
    case.call_and_validate(headers=STAFF, checks=CHECKS)
