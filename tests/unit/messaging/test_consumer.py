"""The consumer loop over the fake broker: what is committed, published, put off, rejected and stopped."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from libs.messaging import dead_letters
from libs.messaging.dead_letters import build_replay, parse_dead_letter
from libs.messaging.errors import ConsumerStopped
from libs.messaging.outcomes import Ignored, Outcome, Reject, Retry
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.events.envelope import Incoming

World = Any  # the fixture's class lives in conftest

KEYS = [f"k{n % 10}" for n in range(200)]
TOPIC = "touchpoints"


def counted(world: World) -> Counter[str]:
    return Counter({key.decode(): count for key, count in world.database.counts.items()})


async def test_every_record_is_handled_once_and_offsets_follow(world: World) -> None:
    await world.publish(*KEYS)
    async with world.running(world.make_handler(tell="told")):
        await world.consumed()

    assert counted(world) == Counter(KEYS)
    assert Counter((record.key or b"").decode() for record in world.broker.records("told")) == Counter(KEYS)
    assert not world.outbox.rows


async def test_a_poll_of_a_topic_is_one_transaction(world: World) -> None:
    await world.publish(*[f"k{n}" for n in range(60)])
    async with world.running(handler := world.make_handler()):
        await world.consumed()

    assert len(handler.batches) == world.database.commits == 1


async def test_other_partitions_do_not_wait_for_the_batch_in_work_but_its_own_do(world: World) -> None:
    count = world.make_handler()
    release = asyncio.Event()
    in_work: Counter[int] = Counter()
    at_once: list[set[int]] = []

    async def handle(tx: Any, messages: "Sequence[Incoming]") -> Any:
        own = {message.partition for message in messages}
        in_work.update(own)
        at_once.append({partition for partition, batches in in_work.items() if batches})
        assert max(in_work.values()) == 1
        try:
            if b"first" in {message.key for message in messages}:
                await release.wait()
            return await count(tx, messages)
        finally:
            in_work.subtract(own)

    await world.publish("first")
    async with world.running(handle):
        await eventually(lambda: at_once)
        await world.publish(*KEYS)
        (of_first,) = at_once[0]
        others = [record for record in world.broker.records(TOPIC) if record.partition != of_first]
        await eventually(lambda: len(world.database.seen) == len(others))
        assert {partition for _, partition, _ in world.database.seen} == {record.partition for record in others}
        release.set()
        await world.consumed()

    assert counted(world) == Counter(["first", *KEYS])
    assert any(len(partitions) > 1 for partitions in at_once)


async def test_a_replay_from_the_first_offset_changes_nothing(world: World) -> None:
    await world.publish(*KEYS)
    async with world.running(world.make_handler(tell="told")):
        await world.consumed()
    world.broker.reset_offsets("profile")
    async with world.running(world.make_handler(tell="told")):
        await world.consumed()

    assert counted(world) == Counter(KEYS)
    assert len(world.broker.records("told")) == len(KEYS)


async def test_offsets_move_only_after_the_outgoing_records_are_published(world: World) -> None:
    await world.publish("a", "b")
    world.broker.fail_publish(times=3)
    async with world.running(world.make_handler(tell="told")):
        await eventually(lambda: world.database.commits == 1)
        assert world.broker.records("told") or world.waiting() == 2
        await world.consumed()

    assert len(world.broker.records("told")) == 2


async def test_leftovers_in_the_outbox_are_published_by_whoever_comes_next(world: World) -> None:
    await world.outbox.publish(None, [])  # nothing staged: nothing happens
    async with world.database.transaction() as tx:
        await world.outbox.stage(tx, [replace_topic(record) for record in [await some_record(world)]])
    async with world.running(world.make_handler()):
        await eventually(lambda: world.broker.records("told"))

    assert not world.outbox.rows


async def some_record(world: World) -> Any:
    from tests.support.brokers import make_outgoing

    return make_outgoing("told", "left", "{}")


def replace_topic(record: Any) -> Any:
    return record


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.SerializationError("x"),
        asyncpg.DeadlockDetectedError("x"),
        asyncpg.LockNotAvailableError("x"),
        ConnectionResetError("x"),
        TimeoutError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_retryable_failure_brings_the_whole_batch_again(world: World, error: Exception) -> None:
    await world.publish(*[f"k{n}" for n in range(40)])
    world.database.failures = [error, error]
    async with world.running(handler := world.make_handler(tell="told")):
        await world.consumed()

    assert [len(batch) for batch in handler.batches] == [40, 40, 40]
    assert len(world.broker.records("told")) == 40
    assert not world.dead_letters()


async def test_a_commit_whose_answer_was_lost_counts_once_and_its_records_are_swept(world: World) -> None:
    await world.publish(*KEYS)
    world.database.late_failures = [ConnectionResetError("after the commit")]
    async with world.running(world.make_handler(tell="told")):
        await world.consumed()
        await eventually(lambda: not world.outbox.rows)

    assert counted(world) == Counter(KEYS)
    assert Counter((record.key or b"").decode() for record in world.broker.records("told")) == Counter(KEYS)


async def test_a_poison_record_ends_alone_among_the_dead_letters(world: World) -> None:
    await world.publish(*[f"k{n}" for n in range(50)], "poison", *[f"m{n}" for n in range(50)])

    def rule(record: "Incoming") -> Outcome | None:
        if record.key == b"poison":
            raise KeyError("somebody@example.org")
        return None

    async with world.running(world.make_handler(rule, tell="told")):
        await world.consumed()

    (letter,) = world.dead_letters()
    assert letter.key == b"poison"
    assert letter.headers[dead_letters.REASON] == b"handler_error"
    assert letter.headers[dead_letters.STEP].startswith(b"KeyError at ")
    assert b"example.org" not in b"".join(letter.headers.values())
    assert sum(counted(world).values()) == 100
    assert len(world.broker.records("told")) == 100


async def test_a_rejected_record_carries_why_and_where_from(world: World) -> None:
    await world.publish("good", "bad")
    rule = lambda record: Reject("malformed", "decode") if record.key == b"bad" else None  # noqa: E731
    async with world.running(world.make_handler(rule)):
        await world.consumed()

    (letter,) = map(parse_dead_letter, world.dead_letters())
    (original,) = [record for record in world.broker.records(TOPIC) if record.key == b"bad"]
    assert (letter.group, letter.topic, letter.reason, letter.step) == ("profile", TOPIC, "malformed", "decode")
    assert (letter.origin_partition, letter.origin_offset) == (original.partition, original.offset)
    assert (letter.key, letter.value, letter.headers) == (b"bad", original.value, {"ce_id": b"bad"})
    assert letter.received_ms == original.timestamp_ms
    assert letter.failed_at.endswith("Z")


async def test_an_ignored_record_is_passed_over(world: World) -> None:
    await world.publish("a", "b")
    async with world.running(world.make_handler(lambda _: Ignored("unknown_type"))):
        await world.consumed()

    assert not world.database.counts
    assert not world.dead_letters()


async def test_retry_pauses_its_partition_in_place_while_others_go_on(world: World) -> None:
    keys = [f"k{n}" for n in range(60)]
    await world.publish(*keys)
    blocked = next(record for record in world.broker.records(TOPIC) if record.partition == 1 and record.offset == 3)
    patience = 3

    def rule(record: "Incoming") -> Outcome | None:
        nonlocal patience
        if (record.partition, record.offset) == (1, 3) and patience:
            patience -= 1
            return Retry("not_yet", 0.05)
        return None

    async with world.running(world.make_handler(rule)):
        await eventually(
            lambda: sum(counted(world).values()) >= 60 - len([r for r in world.broker.records(TOPIC) if r.partition == 1])
        )
        assert world.database.counts[blocked.key] == 0
        await world.consumed()

    assert counted(world) == Counter(keys)
    assert not world.dead_letters()


async def test_the_ratio_limit_stops_before_a_bad_deploy_drains_the_topic(world: World) -> None:
    await world.publish(*[f"k{n}" for n in range(500)])

    def rule(_: "Incoming") -> Outcome | None:
        raise TypeError("bad deploy")

    consumer = world.make_consumer(world.make_handler(rule))
    with pytest.raises(ConsumerStopped, match="handler_error"):
        await asyncio.wait_for(consumer.run(asyncio.Event()), 10)

    assert len(world.dead_letters()) == world.policy.dead_letters.free
    with pytest.raises(ConsumerStopped):
        await consumer.check_ready()
    assert world.waiting() == 500 - world.policy.dead_letters.free


async def test_rejects_within_one_batch_beyond_the_limit_are_not_committed(world: World) -> None:
    await world.publish(*[f"k{n}" for n in range(50)])
    consumer = world.make_consumer(world.make_handler(lambda _: Reject("malformed", "decode")))
    with pytest.raises(ConsumerStopped, match="malformed"):
        await asyncio.wait_for(consumer.run(asyncio.Event()), 10)

    assert not world.dead_letters()
    assert not world.outbox.rows
    assert world.waiting() == 50


async def test_a_handler_that_answers_too_little_stops_the_consumer(world: World) -> None:
    await world.publish("a", "b")
    handler = world.make_handler()
    original = handler.__call__

    class Short:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            result = await original(tx, messages)
            return replace(result, outcomes=result.outcomes[:-1])

    with pytest.raises(ConsumerStopped, match="1 outcomes for 2 records"):
        await asyncio.wait_for(world.make_consumer(Short()).run(asyncio.Event()), 10)
    assert not world.database.counts


async def test_a_record_the_broker_never_takes_stops_the_consumer_loudly(world: World) -> None:
    await world.publish("a")
    world.broker.fail_publish("RecordTooLarge", retryable=False, times=10)
    with pytest.raises(ConsumerStopped, match="RecordTooLarge"):
        await asyncio.wait_for(world.make_consumer(world.make_handler(tell="told")).run(asyncio.Event()), 10)


async def test_a_replay_reaches_only_the_consumer_that_failed_with_the_key_it_had(world: World) -> None:
    failing = True

    def rule(record: "Incoming") -> Outcome | None:
        return Reject("bug", "fold") if failing and record.key == b"bad" else None

    await world.publish("good", "bad")
    async with world.running(world.make_handler(rule)):
        await world.consumed()
    (letter,) = map(parse_dead_letter, world.dead_letters())
    failing = False
    for compacted in (False, True):
        await world.publish_records(*build_replay(letter, compacted=compacted, now=world_now()))

    async with world.running(mine := world.make_handler(rule)):
        await world.consumed()
    async with world.running(others := world.make_handler(rule), group="engagement"):
        await world.consumed("engagement")

    replayed = [record for batch in mine.batches for record in batch]
    assert [(record.key, record.headers, record.timestamp_ms) for record in replayed] == [
        (b"bad", {"ce_id": b"bad"}, letter.received_ms)
    ] * 2
    assert sorted(record.key or b"" for batch in others.batches for record in batch) == [b"bad", b"good"]


def world_now() -> Any:
    from libs.kit.clock import SystemClock

    return SystemClock().now()


async def test_two_members_share_the_work_and_a_third_takes_over_without_loss(world: World) -> None:
    await world.publish(*KEYS)
    async with world.running(world.make_handler()), world.running(world.make_handler()):
        await world.publish(*KEYS)
        async with world.running(world.make_handler()):
            await world.publish(*KEYS)
            await world.consumed()

    assert counted(world) == Counter(KEYS * 3)


async def test_a_batch_in_work_is_finished_before_its_partitions_are_given_away(world: World) -> None:
    await world.publish("a", "b", "c")
    begun, go_on = asyncio.Event(), asyncio.Event()
    handler = world.make_handler()
    original = handler.__call__

    class Slow:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await original(tx, messages)

    async with world.running(Slow()):
        await begun.wait()
        async with world.running(world.make_handler()) as _:
            go_on.set()
            await world.consumed()

    assert counted(world) == Counter("abc")
    assert [len(batch) for batch in handler.batches] == [3]


async def test_a_batch_that_takes_too_long_is_abandoned_and_the_new_owner_does_it(world: World) -> None:
    await world.publish("a", "b", "c")
    begun = asyncio.Event()

    class Stuck:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    world.policy = replace(world.policy, revoke_wait_s=0.1, drain_wait_s=0.1)
    async with world.running(Stuck()) as _:
        await begun.wait()
        async with world.running(world.make_handler()):
            await eventually(lambda: counted(world))

    assert all(count == 1 for count in counted(world).values())


async def test_a_zombie_does_no_harm(world: World) -> None:
    await world.publish(*KEYS)
    begun, go_on = asyncio.Event(), asyncio.Event()
    handler = world.make_handler()
    original = handler.__call__

    class Sleeping:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await original(tx, messages)

    async with world.running(Sleeping()):
        await begun.wait()
        await world.broker.expire(world.sources[0])
        async with world.running(world.make_handler()):
            await world.consumed()
            go_on.set()
            await eventually(lambda: len(handler.batches) >= 2)

    assert counted(world) == Counter(KEYS)


async def test_stopping_lets_the_batch_in_work_finish(world: World) -> None:
    await world.publish("a", "b")
    begun, go_on, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    handler = world.make_handler()
    original = handler.__call__

    class Slow:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await original(tx, messages)

    running = asyncio.create_task(world.make_consumer(Slow()).run(stop))
    await begun.wait()
    stop.set()
    go_on.set()
    await running

    assert counted(world) == Counter("ab")
    assert world.waiting() == 0


async def test_a_transaction_that_hangs_is_rolled_back_and_tried_again(world: World) -> None:
    await world.publish("a", "b")
    world.policy = replace(world.policy, batch_timeout_s=0.1)
    hangs = 2
    handler = world.make_handler()
    original = handler.__call__

    class Hanging:
        async def __call__(self, tx: Any, messages: Any) -> Any:
            nonlocal hangs
            result = await original(tx, messages)
            if hangs:
                hangs -= 1
                await asyncio.Event().wait()
            return result

    async with world.running(Hanging()):
        await world.consumed()

    assert counted(world) == Counter("ab")


async def test_topics_do_not_wait_for_each_other(world: World) -> None:
    world.broker.create_topic("segment-changes", partitions=1)
    await world.publish("stuck")
    await world.publish("free", topic="segment-changes")

    def rule(record: "Incoming") -> Outcome | None:
        return Retry("not_yet", 60) if record.topic == TOPIC else None

    async with world.running(world.make_handler(rule), topics=(TOPIC, "segment-changes")):
        await eventually(lambda: counted(world)["free"] == 1)

    assert world.waiting() == 1


async def test_the_consumer_survives_a_broker_that_goes_away(world: World) -> None:
    await world.publish(*KEYS)
    async with world.running(world.make_handler(tell="told")):
        await eventually(lambda: world.database.commits)
        world.broker.down = True
        await asyncio.sleep(0)
        world.broker.down = False
        await world.consumed()

    assert counted(world) == Counter(KEYS)
    assert len(world.broker.records("told")) == len(KEYS)
