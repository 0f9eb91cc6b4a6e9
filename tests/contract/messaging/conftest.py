from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.brokers import FakeTestBroker, KafkaTestBroker, TestBroker


@pytest.fixture(params=["fake", "kafka"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[TestBroker]:
    opened: TestBroker
    if request.param == "fake":
        opened = FakeTestBroker()
    else:
        opened = KafkaTestBroker(request.getfixturevalue("stack").kafka, request.getfixturevalue("topic_prefix"))
    yield opened
    await opened.close()


@pytest.fixture
def topic() -> str:
    return f"orders-{uuid4().hex[:8]}"


@pytest.fixture
def group() -> str:
    return f"counter-{uuid4().hex[:8]}"
