"""The segments that come with Rapport are good rules, named as their files, and warn of nothing."""

from pathlib import Path

import pytest
import yaml

from services.segmentation.domain.findings import Findings
from services.segmentation.domain.vocabulary import warn_of_unknown

from .conftest import make_rule

FILES = sorted((Path(__file__).parents[3] / "services/segmentation/ready_made").glob("*.yaml"))


def test_there_are_some() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_ready_made_segment_is_good(file: Path) -> None:
    segment = yaml.safe_load(file.read_text())
    assert segment.keys() == {"id", "name", "description", "rule"}
    assert segment["id"] == file.stem
    findings = Findings()
    warn_of_unknown(make_rule(segment["rule"]), findings, names=(), traits=(), properties={})
    assert findings.found == []
