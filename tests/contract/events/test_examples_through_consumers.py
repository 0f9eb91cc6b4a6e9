"""Every committed example through every consumer that declares its type, twice: the second time changes nothing.

The handlers are those that each service's own composition root gives its consumer, on a real database.
"""

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.events.codec import EVENT_TYPES
from libs.events.documents.examples import read_examples
from libs.events.envelope import Incoming
from libs.events.topics import TOPICS, Service
from libs.kit.db import Database
from libs.kit.settings import PlatformSettings
from libs.messaging.outcomes import Reject, Retry
from libs.messaging.ports import BatchHandler
from tests.contract.events import wiring
from tests.support.backing import Stack
from tests.support.databases import create_database, drop_database
from tests.support.services import open_schema

CONSUMERS = [service for service in wiring.ALL_SERVICES if wiring.exists(service) and wiring.declared_consumptions(service)]
STANDING_STILL = '{"offset_s": 0, "rate": 0, "anchor": "2026-04-02T00:00:00Z"}'
"""A day after the last example: time passes between none of the passes."""

NOT_COMPARED = {("loyalty", "members"): ["version"]}
"""The number of a member's last record: a probe is answered each time it comes, and every answer has a number of its own."""

State = Mapping[str, Sequence[str]]


@pytest.fixture(params=CONSUMERS)
def service(request: pytest.FixtureRequest) -> Service:
    service: Service = request.param
    return service


@pytest.fixture
def platform(stack: Stack, service: Service, topic_prefix: str, tmp_path: Path) -> AsyncIterator[PlatformSettings]:
    """Settings of an installation whose clock stands still and whose identity key is the examples' own."""
    clock = tmp_path / "clock.json"
    clock.write_text(STANDING_STILL)
    name = f"examples_{service}_{topic_prefix.strip('-')}"
    dsn = create_database(stack.postgres, name)
    yield PlatformSettings(
        env="test",
        kafka=stack.kafka,
        postgres=dsn,
        redis=stack.redis,
        topic_prefix=topic_prefix,
        home=tmp_path,
        identity_key=bytes(32).hex(),
        clock=clock,
    )
    drop_database(stack.postgres, name)


@asynccontextmanager
async def open_consumer(
    service: Service, platform: PlatformSettings
) -> AsyncIterator[tuple[Database, Mapping[str, BatchHandler]]]:
    """The service's handlers by topic as `main.build` wires them, on a schema migrated from zero."""
    main = importlib.import_module(f"services.{service}.main")
    settings = importlib.import_module(f"services.{service}.settings").Settings(platform=platform)
    async with open_schema(platform.postgres, service) as database, main.build(settings) as deps:
        yield database, deps.consumer.handlers


async def read_state(database: Database) -> State:
    """Every row of the service's schema as text, sorted: what a later reader could find."""
    async with database.connection() as connection:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 ORDER BY table_name", database.schema
        )
        state: dict[str, list[str]] = {}
        for (table,) in tables:
            free = list(NOT_COMPARED.get((database.schema, table), ()))
            rows = await connection.fetch(f'SELECT (to_jsonb(t) - $1::text[])::text FROM "{database.schema}"."{table}" t', free)
            state[table] = sorted(row for (row,) in rows)
    return state


async def hand_over(database: Database, handlers: Mapping[str, BatchHandler], batches: Sequence[Sequence[Incoming]]) -> None:
    for batch in batches:
        async with database.transaction() as tx:
            result = await handlers[batch[0].topic](tx, batch)
        assert len(result.outcomes) == len(batch)
        failed = [outcome for outcome in result.outcomes if isinstance(outcome, Reject | Retry)]
        assert failed == []


def examples_for(service: Service) -> list[list[Incoming]]:
    """Topic by topic, in the order of publication."""
    declared = wiring.declared_consumptions(service)
    lots = [
        [example.incoming for name in EVENT_TYPES if name in declared[topic] for example in read_examples(name)]
        for topic in declared
    ]
    return [lot for lot in lots if lot]


def test_every_type_has_a_consumer_that_is_shown_its_examples() -> None:
    shown = {record.event_type for service in CONSUMERS for lot in examples_for(service) for record in lot}
    absent = {
        event.TYPE
        for topic in TOPICS.values()
        if not any(wiring.exists(service) for service in topic.consumers)
        for event in topic.events
    }
    assert shown | absent == set(EVENT_TYPES)


async def test_every_example_twice_leaves_the_same_state(service: Service, platform: PlatformSettings) -> None:
    lots = examples_for(service)
    async with open_consumer(service, platform) as (database, handlers):
        assert handlers.keys() == wiring.declared_consumptions(service).keys()
        empty = await read_state(database)
        await hand_over(database, handlers, [[record] for lot in lots for record in lot])
        once = await read_state(database)
        assert once != empty, "the examples left no trace: this test would prove nothing"
        await hand_over(database, handlers, [[record] for lot in lots for record in lot])
        assert await read_state(database) == once
        await hand_over(database, handlers, lots)
        assert await read_state(database) == once


async def test_one_poll_leaves_what_single_records_leave_and_repeats_harmlessly(
    service: Service, platform: PlatformSettings
) -> None:
    """The same examples as whole batches, each containing every record twice."""
    lots: list[Any] = examples_for(service)
    async with open_consumer(service, platform) as (database, handlers):
        await hand_over(database, handlers, [[*lot, *lot] for lot in lots])
        once = await read_state(database)
        await hand_over(database, handlers, [[record] for lot in lots for record in lot])
        assert await read_state(database) == once
