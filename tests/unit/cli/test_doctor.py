from pathlib import Path

import pytest

from cli.doctor import check_browser_sdk, check_disk, check_node, check_python, check_tools
from deploy.local.browser_sdk import browser_sdk_home


def test_this_python_is_new_enough() -> None:
    assert check_python().state == "ok"


def test_what_only_tests_use_is_never_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAPPORT_BROWSER", raising=False)
    findings = list(check_tools(lambda _: None))
    assert {finding.state for finding in findings} <= {"ok", "optional"}
    assert all(finding.hint for finding in findings if finding.state == "optional")


def test_a_node_that_is_not_there_is_optional() -> None:
    assert check_node("/no/such/node").state == "optional"


def test_the_disk_is_looked_at_where_the_home_will_be(tmp_path: Path) -> None:
    assert "GB free" in check_disk(tmp_path / "not" / "there" / "yet").found


def test_a_browser_sdk_that_is_not_there_yet_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_CACHE", str(tmp_path))
    assert check_browser_sdk().state in ("ok", "optional")
    browser_sdk_home().mkdir(parents=True)
    assert check_browser_sdk().found == str(browser_sdk_home())
