"""The command line run within a test: its exit code."""

import pytest

from cli.errors import run_with_errors
from cli.main import app


def run_command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run_with_errors(lambda: app(list(arguments), standalone_mode=False))
    code = ended.value.code
    assert isinstance(code, int)
    return code
