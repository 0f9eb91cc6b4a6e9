from pathlib import Path

import pytest

from cli.errors import CliError
from cli.importing.command import import_file


def test_where_the_errors_go_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("name,user_id\nA,1\n")
    for target in (tmp_path / "nope" / "x.csv", tmp_path, file / "x.csv"):
        with pytest.raises(CliError) as refused:
            import_file(file, errors=target, home=tmp_path)
        assert "the rows that fail" in refused.value.detail.lower()
        assert "--errors" in refused.value.hint
