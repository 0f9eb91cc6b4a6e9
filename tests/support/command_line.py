"""The command line run within a test: its exit code, and nothing of its configuration of the process left behind."""

import contextlib
import logging
from collections.abc import Iterator

import pytest
import structlog

from cli.errors import run_with_errors
from cli.main import app

CONFIGURED = "aiokafka"


@contextlib.contextmanager
def keep_logging() -> Iterator[None]:
    """Commands quiet the libraries' logs for the whole process, as a process of one command may."""
    before, level = structlog.get_config(), logging.getLogger(CONFIGURED).level
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.getLogger(CONFIGURED).setLevel(level)


def run_command(*arguments: str) -> int:
    with keep_logging(), pytest.raises(SystemExit) as ended:
        run_with_errors(lambda: app(list(arguments), standalone_mode=False))
    code = ended.value.code
    assert isinstance(code, int)
    return code
