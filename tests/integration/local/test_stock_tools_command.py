"""`rapport kafka`: the broker's own tools, without their stack traces."""

from pathlib import Path

from tests.support.backing import Stack
from tests.support.platform import describe_platform


def test_a_misspelt_option_is_told_in_a_line(stack: Stack, tmp_path: Path) -> None:
    variables = {"RAPPORT_KAFKA": stack.kafka}
    refused = describe_platform(tmp_path, variables).rapport("kafka", "topics", "--nosuch", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == ["nosuch is not a recognized option"]
