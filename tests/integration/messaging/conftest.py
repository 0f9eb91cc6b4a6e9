import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from deploy import local
from deploy.local.part import Part
from libs.kit.settings import PlatformSettings
from tests.support.databases import create_database

ROOT = Path(__file__).parents[3]


class CounterProcess(Part):
    """A consumer in a process of its own, to be killed."""

    title = "counter"

    def __init__(self, home: Path, number: int, variables: Mapping[str, str]) -> None:
        super().__init__(home, 0)
        self.name = f"counter-{number}"
        self._variables = variables

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", "tests.integration.messaging.counter")

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **self._variables}

    def is_ready(self) -> bool:
        return self.is_running

    @property
    def address(self) -> str:
        return "-"


@dataclass
class Crashable:
    """A broker and a database of our own, which may be killed, and consumers to kill."""

    stack: local.LocalStack
    dsn: str
    prefix: str

    @property
    def settings(self) -> PlatformSettings:
        return PlatformSettings(kafka=self.stack.kafka.address, postgres=self.dsn, topic_prefix=self.prefix)

    def make_counter(self, number: int, **more: str) -> CounterProcess:
        variables = {"RAPPORT_KAFKA": self.stack.kafka.address, "RAPPORT_POSTGRES": self.dsn, "RAPPORT_TOPIC_PREFIX": self.prefix}
        variables |= more
        if number == 0:
            variables["RAPPORT_KAFKA_INSTANCE"] = "counter-0"  # one static member, the others come and go
        counter = CounterProcess(self.stack.home, number, variables)
        self.stack.add(counter)
        return counter


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.LocalStack]:
    """Never the shared one: other tests don't expect their broker to be killed."""
    with local.start(tmp_path_factory.mktemp("crash"), only=("kafka", "postgres"), ports={"kafka": 0, "postgres": 0}) as stack:
        yield stack


@pytest.fixture
def crashable(own_stack: local.LocalStack) -> Iterator[Crashable]:
    name = f"t{uuid4().hex[:8]}"
    crashable = Crashable(own_stack, create_database(own_stack.postgres.address, name), f"{name}-")
    yield crashable
    for part in [part for part in own_stack.parts.values() if isinstance(part, CounterProcess)]:
        part.stop()
        del own_stack.parts[part.name]
