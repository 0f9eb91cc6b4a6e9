"""The pages made from services' code say what the code says."""

from pathlib import Path

import pytest

from scripts.documents.__main__ import ROOT, find_stale, run
from scripts.documents.rejections import read_meanings, render_rejections
from services.ingest.domain.reasons import Flag, Reason


def test_every_page_is_current() -> None:
    assert find_stale() == [], "run `make docs` and commit"


def test_a_check_fails_where_a_page_is_stale_and_writing_mends_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert run(check=True, root=tmp_path) == 1
    assert not list((tmp_path / "docs").iterdir())
    assert run(check=False, root=tmp_path) == 0
    assert run(check=True, root=tmp_path) == 0


def test_every_reason_and_flag_has_a_row() -> None:
    page = render_rejections()
    assert all(f"| `{word}` |" in page for word in (*Reason, *Flag))
    assert (ROOT / "docs/rejections.md").read_text() == page


def test_a_member_without_a_meaning_is_told() -> None:
    with pytest.raises(ValueError, match="LATER"):
        read_meanings('class Reason(StrEnum):\n    NOW = "now"\n    """Now."""\n    LATER = "later"\n')
