"""Whatever records, handler and database do, a batch's progress is the truth: nothing is passed over, nothing counts twice."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import Incoming
from libs.kit.clock import SystemClock
from libs.messaging.batches import BatchRunner, describe_place
from libs.messaging.dead_letters import parse_dead_letter
from libs.messaging.errors import PublishFailed
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.outcomes import Outcome, Reject, Retry
from libs.messaging.policy import ConsumerPolicy, DeadLetterLimit
from libs.messaging.ports import TopicPartition
from tests.support.consumers import CountingDatabase, CountingHandler, RollingBackOutbox

TOPIC = "t"
UNLIMITED = ConsumerPolicy(dead_letters=DeadLetterLimit(free=10**9))
FATES = ("count", "count", "count", "count", "reject", "poison", "retry", "retry twice")


@dataclass
class Records:
    """Partitions of records with a fate each; how often each asked for a retry so far."""

    fates: list[list[str]]
    asked: Counter[tuple[int, int]] = field(default_factory=Counter)

    def rule(self, record: Incoming) -> Outcome | None:
        place = (record.partition, record.offset)
        fate = self.fates[record.partition][record.offset]
        if fate == "poison":
            raise ValueError("poison")
        if fate == "reject":
            return Reject("bad", "test")
        if fate.startswith("retry") and self.asked[place] < 1 + fate.endswith("twice"):
            self.asked[place] += 1
            return Retry("not_yet", 0)
        return None

    def since(self, offsets: dict[TopicPartition, int]) -> list[Incoming]:
        return [
            Incoming(TOPIC, partition, offset, f"{partition}".encode(), fate.encode(), {}, 0)
            for partition, fates in enumerate(self.fates)
            for offset, fate in enumerate(fates)
            if offset >= offsets[TopicPartition(TOPIC, partition)]
        ]


@given(
    fates=st.lists(st.lists(st.sampled_from(FATES), max_size=12), min_size=1, max_size=3),
    failures=st.lists(st.sampled_from(["before", "after"]), max_size=4),
    unpublished=st.integers(0, 3),
)
def test_every_record_ends_where_it_belongs_exactly_once(fates: list[list[str]], failures: list[str], unpublished: int) -> None:
    asyncio.run(run_until_done(Records(fates), failures, unpublished))


async def run_until_done(records: Records, failures: list[str], unpublished: int) -> None:
    broker, database = FakeBroker(), CountingDatabase()
    broker.fail_publish(times=unpublished)
    for failure in failures:
        (database.failures if failure == "before" else database.late_failures).append(asyncpg.DeadlockDetectedError("x"))
    outbox = RollingBackOutbox(broker.publisher(), database)
    handler = CountingHandler(database, records.rule, tell="told")
    runner = BatchRunner(
        group="g", topic=TOPIC, handler=handler, database=database, outbox=outbox, policy=UNLIMITED, clock=SystemClock()
    )
    offsets = {TopicPartition(TOPIC, partition): 0 for partition in range(len(records.fates))}
    rounds = 0
    while batch := records.since(offsets):
        progress = await runner.run(batch)
        assert progress.stopped is None
        check_progress(records, database, offsets, progress.next_offsets())
        offsets |= progress.next_offsets()
        rounds += 1
        assert rounds < 200
    while outbox.rows:
        with suppress(PublishFailed):
            await outbox.sweep()
    expected = Counter(fate for fates in records.fates for fate in fates if fate not in ("reject", "poison"))
    assert sum(database.counts.values()) == sum(expected.values())
    assert len(broker.records("told")) == sum(expected.values())
    # A commit whose answer was lost is repeated: a dead letter may be there twice then, but is known to be the same.
    letters = [parse_dead_letter(record) for record in broker.records("g-t-dlq")]
    rejected = [(p, o) for p, fates in enumerate(records.fates) for o, fate in enumerate(fates) if fate in ("reject", "poison")]
    assert {(letter.origin_partition, letter.origin_offset) for letter in letters} == set(rejected)
    assert len(letters) <= len(rejected) * (1 + failures.count("after"))


def check_progress(
    records: Records, database: CountingDatabase, before: dict[TopicPartition, int], after: dict[TopicPartition, int]
) -> None:
    """Nothing is passed over that isn't committed."""
    for (topic, partition), offset in after.items():
        assert offset >= before[TopicPartition(topic, partition)]
        for number in range(offset):
            if records.fates[partition][number] not in ("reject", "poison"):
                assert (topic, partition, number) in database.seen


def fail_with_personal_data() -> None:
    raise KeyError("somebody@example.org")


def test_an_errors_place_is_told_and_never_its_text() -> None:
    with pytest.raises(KeyError) as raised:
        fail_with_personal_data()
    told = describe_place(raised.value)
    assert told.startswith("KeyError at ")
    assert "example" not in told
    assert describe_place(ValueError("x")) == "ValueError at ?"
