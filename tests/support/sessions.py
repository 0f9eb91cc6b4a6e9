"""pytest hooks of the whole suite: what it runs on is said first, what it left out last, and nothing else may be left out."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.absences import is_allowed_skip
from tests.support.backing import choose_origin

UNIT_TIMEOUT_S = 30


def pytest_report_header() -> str:
    return f"rapport stack: {choose_origin()} (started when a test first asks for it)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unit = Path(__file__).resolve().parents[1] / "unit"
    for item in items:
        if unit in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(UNIT_TIMEOUT_S))


def skip_reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not is_allowed_skip(skip_reason(report)):
        report.outcome = "failed"
        report.longrepr = f"A test may be skipped only where ../shared or a browser is absent, not for: {skip_reason(report)}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"left out: {len(skipped)}")
        for report in sorted(skipped, key=lambda report: str(report.nodeid)):
            terminalreporter.line(f"{report.nodeid}: {skip_reason(report).removeprefix('Skipped: ')}")
