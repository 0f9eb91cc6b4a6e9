from pathlib import Path

import pytest

from cli.definitions import read_definition
from cli.errors import CliError


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "segment.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_dates_that_nobody_quoted_stay_the_text_they_are(tmp_path: Path) -> None:
    file = write(tmp_path, "rule: {did: X, between: [2026-01-01, 2026-02-01T00:00:00Z]}")
    assert read_definition(file) == {"rule": {"did": "X", "between": ["2026-01-01", "2026-02-01T00:00:00Z"]}}


def test_only_true_and_false_are_truth_values(tmp_path: Path) -> None:
    file = write(tmp_path, "rule: {country: NO, on: yes, is: true, not: False, gte: 3, lt: 0.5, none: null}")
    assert read_definition(file) == {
        "rule": {"country": "NO", "on": "yes", "is": True, "not": False, "gte": 3, "lt": 0.5, "none": None}
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"rule: \xff\xfe", "isn't UTF-8 text"),
        ("rule: {a: [1\nx: y", "isn't YAML: line 2, column 2"),
        ("rule: {gte: .nan}", "JSON can't carry"),
        ("rule: &again [*again]", "JSON can't carry"),
        ("rule: !!binary aGk=", "JSON can't carry"),
        ("rule: !!python/object:os.system {}", "isn't YAML: line 1"),
        ("rule: " + "[" * 20_000, "nested too deeply"),
        ("rule: \x00", "isn't YAML"),
    ],
)
def test_what_is_no_definition_is_told_in_one_line_with_a_hint(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(CliError) as refused:
        read_definition(write(tmp_path, content))
    assert said in refused.value.detail
    assert "\n" not in refused.value.detail
    assert refused.value.hint
