import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.absences import ROOT, find_browser, find_shared, is_allowed_skip, skip_without

SUITE = """
import pytest
from tests.support.absences import skip_without

def test_without_a_browser():
    skip_without("browser", "none here")

def test_too_lazy():
    pytest.skip("some other day")
"""


def test_only_the_two_known_absences_excuse_a_test() -> None:
    assert is_allowed_skip("Skipped: absent: shared (no folder)")
    assert is_allowed_skip("Skipped: absent: browser (none)")
    assert not is_allowed_skip("Skipped: flaky")
    assert not is_allowed_skip("Skipped: absent: courage")


def test_what_is_required_may_not_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_REQUIRE", "shared, browser")
    with pytest.raises(pytest.fail.Exception):
        skip_without("browser", "none")
    monkeypatch.setenv("RAPPORT_REQUIRE", "shared")
    with pytest.raises(pytest.skip.Exception):
        skip_without("browser", "none")


def test_the_shared_folder_and_the_browser_may_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAPPORT_SHARED", str(tmp_path))
    assert find_shared() is None
    (tmp_path / "data").mkdir()
    assert find_shared() == tmp_path
    monkeypatch.setenv("RAPPORT_BROWSER", "/opt/chromium")
    assert find_browser() == Path("/opt/chromium")


def test_a_suite_says_last_what_it_left_out_and_fails_for_any_other_skip(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.sessions", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    ran = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "1 failed, 1 skipped" in ran.stdout.splitlines()[-1]
    assert "left out: 1" in ran.stdout
    assert "test_without_a_browser: absent: browser (none here)" in ran.stdout
    assert "not for: Skipped: some other day" in ran.stdout
