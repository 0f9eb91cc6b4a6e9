"""Several workers, lost connections, crashes between commit and publish, replays: the end is what the plain reference says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from libs.durable.outbox import PostgresOutbox
from libs.events import codec
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import ProfileChanged
from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.kit.clock import SystemClock
from libs.kit.db import Database, Tx
from libs.messaging.consumer import BatchConsumer
from libs.messaging.errors import ConsumerStopped, PublishFailed
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.policy import ConsumerPolicy
from libs.messaging.ports import Outbox, Publisher, RecordSource
from libs.subscriber import Arrivals
from services.profile.consumer import GROUP, build_handlers
from services.profile.domain.rules import INSTALLED, KindRules, Rules
from services.profile.handlers.change_rules import LiveRules
from services.profile.main import load_current
from services.profile.store.facets import PostgresFacets
from services.profile.store.graph import PostgresGraph
from services.profile.store.outcomes import find_outcomes
from services.profile.upkeep import FacetFlusher
from tests.integration.profile.driving import Profiles, encode_touchpoint, make_applying, make_order, make_touchpoint
from tests.integration.profile.running import make_balance
from tests.support.eventually import eventually
from tests.support.profile_reference import ProfileReference, label_of
from tests.unit.profile.plain_identity import Named, PlainIdentity, Touch

SCORE = lambda _text: Fraction(0)  # noqa: E731 - what the driven service scores, too
NAMES = ["e1", "e2", "e3", "e4", "d1", "d2", "d3", "d4", "d5", "x1", "x2", "c1", "c2"]
POLICY = ConsumerPolicy(batch_max_records=4, backoff_min_s=0.005, backoff_max_s=0.05, sweep_interval_s=0.05, poll_timeout_s=0.05)


class CrashError(Exception):
    """The process ends here, as far as the outbox can tell."""


@dataclass
class FlakyPublisher:
    """Now and then ends the process, or fails, each with or without the records in the log; under the outbox row's lock."""

    publisher: Publisher
    random: Random
    crash_ratio: float
    failure_ratio: float

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        crash, failure = self.random.random() < self.crash_ratio, self.random.random() < self.failure_ratio
        if not (crash or failure) or self.random.random() < 0.5:
            await self.publisher.publish(messages)
        if crash:
            raise CrashError
        if failure:
            raise PublishFailed("injected")


@dataclass
class LossyDatabase:
    """Loses the connection now and then, before a commit."""

    database: Database
    random: Random
    ratio: float

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self.database.transaction() as tx:
            yield tx
            if self.random.random() < self.ratio:
                raise ConnectionResetError


def build_consumer(database: Any, outbox: Outbox, source: RecordSource, rules: LiveRules | None = None) -> BatchConsumer:
    clock = SystemClock()
    applying = make_applying(clock, rules)
    handlers = build_handlers(applying, Arrivals(database, clock, find=find_outcomes))
    return BatchConsumer(
        group=GROUP, handlers=handlers, source=source, database=database, outbox=outbox, clock=clock, policy=POLICY
    )


async def keep_running(build: Any, stop: asyncio.Event) -> int:
    """A worker that is started again whenever it crashes; how often it was."""
    crashes = 0
    while not stop.is_set():
        try:
            await build().run(stop)
        except ConsumerStopped as stopped:
            assert "CrashError" in stopped.reason, stopped.reason  # noqa: PT017 - the loop goes on
            crashes += 1
    return crashes


def make_history(random: Random, count: int) -> list[TouchpointRecorded]:
    history = []
    for number in range(count):
        named = random.sample(NAMES, random.choice([1, 1, 2, 2, 3]))
        minute = random.randrange(5000)
        if random.random() < 0.5:
            amount, order = str(random.randrange(1, 500)), f"o{random.randrange(12)}"
            history.append(make_order(number, *named, order_id=order, amount=amount, minute=minute))
        else:
            history.append(make_touchpoint(number, *named, kind="page", name="Page Viewed", minute=minute))
    return history


async def check_truth(database: Database, records: Sequence[Incoming], history: Sequence[TouchpointRecorded]) -> None:
    """Views and groups are the reference's, and the compacted log ends with what the rows say."""
    reference = ProfileReference(SCORE)
    for touchpoint in history:
        reference.feed(touchpoint)
    expected = reference.views()
    profiles = Profiles(database)
    rows = await profiles.fetch("SELECT id, version, members, absorbed_into, core, identifiers FROM profiles WHERE version > 0")
    found = {}
    for row in rows:
        if row["absorbed_into"] is None:
            identifiers = [(one["kind"], one["value"]) for one in msgspec.json.decode(row["identifiers"])]
            core = msgspec.json.decode(b"{%b}" % row["core"])
            found[label_of(identifiers)] = {"aggregates": core["aggregates"], "last_seen_at": core["last_seen_at"]}
    wanted = {label: {"aggregates": view["aggregates"], "last_seen_at": view["last_seen_at"]} for label, view in expected.items()}
    assert found == wanted
    last: dict[bytes, ProfileChanged] = {}
    told: set[UUID] = set()
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        event = codec.decode(record)
        if isinstance(event, ProfileChanged):
            last[record.key or b""] = event
            told.update(msgspec.json.decode(bytes(one.body))["id"] for one in event.touchpoints)
    assert {UUID(str(one)) for one in told} == {touchpoint.id for touchpoint in history}
    assert {event.profile_id: event.version for event in last.values()} == {row["id"]: row["version"] for row in rows}
    for event in last.values():
        row = next(row for row in rows if row["id"] == event.profile_id)
        assert {member.fragment for member in event.members} == set(row["members"])
        assert event.absorbed_into == row["absorbed_into"]


async def dump(database: Database) -> list[Any]:
    statements = (
        "SELECT id, version, members, core, totals, nodes FROM profiles ORDER BY id",
        "SELECT id, profile_id, state FROM fragments ORDER BY id",
        "SELECT * FROM timeline ORDER BY id",
        "SELECT * FROM links ORDER BY a, b",
        "SELECT * FROM history ORDER BY applied, other_id",
    )
    return [await Profiles(database).fetch(statement) for statement in statements]


async def run_in_chaos(
    database: Database, history: Sequence[TouchpointRecorded], random: Random, rules: LiveRules | None = None
) -> FakeBroker:
    """Three workers apply the history, with copies, while connections, publishes and whole workers fail; until all is told."""
    broker = FakeBroker(partitions=3)
    publisher = broker.publisher()
    flaky = FlakyPublisher(publisher, random, crash_ratio=0.2, failure_ratio=0.15)
    outbox = PostgresOutbox(database, flaky, current=load_current)
    lossy = LossyDatabase(database, random, 0.1)
    stop = asyncio.Event()
    workers = [
        asyncio.create_task(keep_running(lambda: build_consumer(lossy, outbox, broker.source(GROUP), rules), stop))
        for _ in range(3)
    ]
    flusher = FacetFlusher(database, outbox, PostgresGraph(), PostgresFacets(), SystemClock(), 0)
    for number, touchpoint in enumerate([*history, *(one for one in history if random.random() < 0.3)]):
        await publisher.publish([encode_touchpoint(touchpoint)])
        if number % 5 == 0 and (some := await Profiles(database).fetch("SELECT id FROM profiles WHERE version > 0")):
            await publisher.publish([make_balance(random.choice(some)["id"], number + 1, number)])
            await asyncio.gather(flusher.flush(), return_exceptions=True)
    sent = sum(len(broker.records(topic)) for topic in ("touchpoints", "segment-changes", "loyalty-events"))
    await eventually(lambda: sum(broker.committed(GROUP).values()), until=lambda done: done >= sent, within_s=60)
    flaky.crash_ratio = flaky.failure_ratio = 0.0
    await eventually(
        lambda: Profiles(database).fetch("SELECT count(*) FROM outbox"), until=lambda rows: rows == [(0,)], within_s=30
    )
    stop.set()
    await asyncio.gather(*workers)
    assert broker.records("profile-touchpoints-dlq") == []
    return broker


@pytest.mark.parametrize("seed", range(3))
async def test_workers_that_crash_and_lose_connections_end_with_the_plain_truth(database: Database, seed: int) -> None:
    random = Random(seed)
    history = make_history(random, 60)
    broker = await run_in_chaos(database, history, random)
    await check_truth(database, broker.records("profile-changes"), history)


@pytest.mark.parametrize("seed", range(3))
async def test_with_refusals_and_shared_devices_the_end_is_that_of_the_journalled_order(database: Database, seed: int) -> None:
    random = Random(seed)
    named = ["u1", "u2", "u3", "?u1", "?u2", "e1", "e2", "?e3", "d1", "d2", "d3", "x1"]
    history = []
    for number in range(60):
        names = {name.lstrip("?"): name for name in random.sample(named, random.choice([1, 2, 2, 3]))}
        previous = random.sample(["u1", "u2", "d1"], 1) if random.random() < 0.1 else []
        history.append(make_touchpoint(number, *names.values(), previous=previous))
    windowed = KindRules(description="", limit=2, window=timedelta(minutes=20))
    blocked = KindRules(description="", limit=1, blocked=frozenset({"e2"}), browser_claim=False)
    await run_in_chaos(database, history, random, LiveRules(Rules({**INSTALLED, "anonymous_id": windowed, "email": blocked})))
    profiles = Profiles(database)
    order = [row["id"] for row in await profiles.fetch("SELECT id FROM timeline ORDER BY applied")]
    ignored = [row["id"] for row in await profiles.fetch("SELECT id FROM touchpoint_outcomes WHERE outcome = 'ignored'")]
    by_id = {touchpoint.id: touchpoint for touchpoint in history}
    assert {*order, *ignored} == by_id.keys()
    plain = PlainIdentity(
        limits={"user_id": 1, "anonymous_id": 2, "email": 1, "device_id": 5},
        windows={"anonymous_id": timedelta(minutes=20)},
        blocked=frozenset({"e2"}),
        proof_wanted=frozenset({"email"}),
    )
    for touchpoint_id in (*order, *ignored):
        touch = by_id[touchpoint_id]
        identifiers, previous = _plain(touch.identifiers), _plain(touch.previous)
        plain.apply(Touch(touch.id, identifiers, previous, received_at=touch.received_at))
    assert len(plain.owner) == len(order)
    groups: dict[UUID, set[tuple[str, int]]] = {}
    for row in await profiles.fetch("SELECT value, epoch, profile_id FROM fragments"):
        groups.setdefault(row["profile_id"], set()).add((row["value"], row["epoch"]))
    assert {frozenset(group) for group in groups.values()} == plain.groups()
    strangers = "SELECT count(*) FROM fragments f JOIN profiles p ON p.id = f.profile_id WHERE NOT f.id = ANY (p.members)"
    assert await profiles.fetch(strangers) == [(0,)]
    refused = await profiles.fetch("SELECT touchpoint_id, unnest(fragments) AS fragment FROM refusals")
    assert len(refused) == len(plain.refused)


def _plain(identifiers: Sequence[Identifier]) -> tuple[Named, ...]:
    return tuple(Named(one.kind, one.value, one.verified) for one in identifiers)


async def test_a_replay_from_the_beginning_changes_nothing_and_tells_nothing(database: Database) -> None:
    broker = FakeBroker(partitions=2)
    outbox = PostgresOutbox(database, broker.publisher(), current=load_current)
    history = make_history(Random(99), 50)
    await broker.publisher().publish([encode_touchpoint(one) for one in history])

    async def consume_all() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(build_consumer(database, outbox, broker.source(GROUP)).run(stop))
        await eventually(lambda: sum(broker.committed(GROUP).values()), until=lambda done: done == len(history))
        stop.set()
        await running

    await consume_all()
    before, told = await dump(database), len(broker.records("profile-changes"))
    broker.reset_offsets(GROUP)
    await consume_all()
    assert await dump(database) == before
    assert len(broker.records("profile-changes")) == told
    await check_truth(database, broker.records("profile-changes"), history)


async def test_a_crash_between_commit_and_publish_is_told_by_whoever_comes_next(database: Database) -> None:
    broker = FakeBroker(partitions=1)
    publisher = broker.publisher()
    flaky = FlakyPublisher(publisher, Random(0), crash_ratio=1.0, failure_ratio=0.0)
    crashing = PostgresOutbox(database, flaky, current=load_current)
    touchpoint = make_touchpoint(1, "e1")
    await publisher.publish([encode_touchpoint(touchpoint)])
    with pytest.raises(ConsumerStopped):
        await build_consumer(database, crashing, broker.source(GROUP)).run(asyncio.Event())
    flaky.crash_ratio = 0.0
    stop = asyncio.Event()
    running = asyncio.create_task(build_consumer(database, crashing, broker.source(GROUP)).run(stop))
    await eventually(lambda: broker.records("profile-changes"))
    stop.set()
    await running
    await check_truth(database, broker.records("profile-changes"), [touchpoint])
