"""Fixtures of the whole suite: the real backing services, a database and topics of one's own, data that may be absent."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.absences import find_browser, find_shared, skip_without
from tests.support.backing import Stack, open_stack
from tests.support.databases import create_database, drop_database

pytest_plugins = ["tests.support.sessions"]

# A busy machine is no reason to fail; a failure prints how to repeat it. `make unit` looks a little,
# `make test-full` much further.
settings.register_profile("rapport", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("quick", settings.get_profile("rapport"), max_examples=15)
settings.register_profile("full", settings.get_profile("rapport"), max_examples=1000)
settings.load_profile("rapport")


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """A command may quiet the libraries' logs and fill in addresses for its whole process; the next test is another one."""
    logs, level, environment = structlog.get_config(), logging.getLogger("aiokafka").level, os.environ.copy()
    yield
    structlog.configure(**logs)
    logging.getLogger("aiokafka").setLevel(level)
    for added in os.environ.keys() - environment.keys():
        del os.environ[added]
    os.environ.update(environment)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Real Kafka, PostgreSQL and, where there is one, Redis; started once, when the first test asks."""
    with open_stack(tmp_path_factory.mktemp("stack")) as opened:
        yield opened


@pytest.fixture(scope="module")
def database_dsn(stack: Stack) -> Iterator[str]:
    """An empty database for this module alone."""
    name = f"test_{uuid4().hex[:12]}"
    yield create_database(stack.postgres, name)
    drop_database(stack.postgres, name)


@pytest.fixture(scope="module")
def topic_prefix() -> str:
    """Topics and consumer groups that start with this are this module's alone."""
    return f"t{uuid4().hex[:8]}-"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with public data sets that lies beside a checkout on some machines."""
    return (find_shared() or skip_without("shared", "no ../shared with data; RAPPORT_SHARED may name one")) / "data"


@pytest.fixture(scope="session")
def browser() -> Path:
    return find_browser() or skip_without("browser", "no Chromium on the PATH; RAPPORT_BROWSER may name one")
