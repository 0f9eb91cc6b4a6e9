"""One suite for the fake broker and for Kafka: what libs.messaging.ports promises."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.messaging.errors import OwnershipLost
from libs.messaging.partitions import partition_of
from libs.messaging.ports import RecordSource, TopicPartition
from tests.support.brokers import Recorder, TestBroker, join, make_outgoing, read_all
from tests.support.eventually import eventually


@asynccontextmanager
async def joined(
    broker: TestBroker, group: str, topic: str, listener: Recorder | None = None, prefix: str = ""
) -> AsyncIterator[RecordSource]:
    source = broker.source(group, prefix=prefix)
    try:
        await join(source, topic, listener)
        yield source
    finally:
        await source.close()


async def test_records_of_a_key_keep_their_order_over_calls_and_within_them(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic)
    publisher = await broker.publisher()
    for call in range(5):
        await publisher.publish([make_outgoing(topic, f"k{n % 7}", f"{call}:{n}") for n in range(100)])

    async with joined(broker, group, topic) as source:
        records = await read_all(source, topic, 500)

    by_key: dict[bytes | None, list[tuple[int, ...]]] = defaultdict(list)
    for record in records:
        assert record.value is not None
        by_key[record.key].append(tuple(map(int, record.value.decode().split(":"))))
    assert len(records) == 500
    assert all(values == sorted(values) for values in by_key.values())


async def test_what_was_acknowledged_is_there_to_be_read(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic)
    publisher = await broker.publisher()
    async with joined(broker, group, topic) as source:
        for n in range(20):
            await publisher.publish([make_outgoing(topic, f"k{n}", "v")])
            assert [record.key for record in await read_all(source, topic, 1)] == [f"k{n}".encode()]


async def test_hundreds_of_concurrent_calls_all_arrive_once(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic)
    publisher = await broker.publisher()
    await asyncio.gather(*(publisher.publish([make_outgoing(topic, f"k{n}", str(n))]) for n in range(700)))

    async with joined(broker, group, topic) as source:
        records = await read_all(source, topic, 700)
        more = await source.poll(topic, max_records=10, max_bytes=1000, timeout_s=0.3)

    assert Counter(record.value for record in records) == Counter(str(n).encode() for n in range(700))
    assert not more


async def test_key_value_headers_time_and_tombstones_are_kept(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    trace = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    await publisher.publish(
        [
            make_outgoing(topic, "ä", '{"a":1}', ("ce_id", b"1"), trace, timestamp_ms=1_600_000_000_123),
            make_outgoing(topic, "ä", None, timestamp_ms=4_100_000_000_000),
        ]
    )

    async with joined(broker, group, topic) as source:
        first, second = await read_all(source, topic, 2)

    assert (first.topic, first.partition, first.offset, first.key) == (topic, 0, 0, "ä".encode())
    assert (first.value, first.headers) == (b'{"a":1}', {"ce_id": b"1", "traceparent": trace[1]})
    assert first.timestamp_ms == 1_600_000_000_123
    assert (second.value, second.offset, second.timestamp_ms) == (None, 1, 4_100_000_000_000)


async def test_a_key_goes_to_the_partition_that_the_stock_client_chooses(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=5)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, f"key-{n}", "v") for n in range(200)])

    async with joined(broker, group, topic) as source:
        records = await read_all(source, topic, 200)

    assert {record.partition for record in records} == set(range(5))
    assert all(record.partition == partition_of(record.key or b"", 5) for record in records)


async def test_a_group_goes_on_where_it_committed(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, "k", str(n)) for n in range(10)])
    async with joined(broker, group, topic) as source:
        await read_all(source, topic, 10)
        await source.commit({TopicPartition(topic, 0): 4})

    async with joined(broker, group, topic) as source:
        again = await read_all(source, topic, 6)

    assert [record.offset for record in again] == list(range(4, 10))


async def test_another_group_begins_at_the_first_record(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, "k", str(n)) for n in range(3)])
    async with joined(broker, group, topic) as source:
        await read_all(source, topic, 3)
        await source.commit({TopicPartition(topic, 0): 3})

    async with joined(broker, group + "-other", topic) as source:
        assert len(await read_all(source, topic, 3)) == 3


async def test_a_second_member_takes_over_partitions_from_their_committed_offsets(
    broker: TestBroker, topic: str, group: str
) -> None:
    await broker.create(topic, partitions=4)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, f"k{n}", str(n)) for n in range(40)])
    first_told, second_told = Recorder(), Recorder()
    async with joined(broker, group, topic, first_told) as first:
        read_by_first = await read_all(first, topic, 40)
        committed = next(record for record in read_by_first)
        await first.commit({TopicPartition(topic, committed.partition): committed.offset + 1})
        async with joined(broker, group, topic, second_told) as second:
            await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 2)
            assert not first.assignment() & second.assignment()
            again = await read_all(first, topic, 39, within_s=2) + await read_all(second, topic, 39, within_s=2)

    assert first_told.revoked_partitions[0] == [TopicPartition(topic, number) for number in range(4)]
    assert sorted((record.partition, record.offset) for record in again) == sorted(
        {(record.partition, record.offset) for record in read_by_first} - {(committed.partition, committed.offset)}
    )


async def test_the_listener_may_commit_while_partitions_are_being_revoked(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=2)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, f"k{n}", str(n)) for n in range(20)])
    source = broker.source(group)

    class Committing(Recorder):
        async def revoked(self, partitions: list[TopicPartition]) -> None:  # type: ignore[override]
            assert not await source.poll(topic, max_records=5, max_bytes=1000, timeout_s=0.05)
            ends = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in read}
            await source.commit({partition: ends[partition] for partition in partitions})
            await super().revoked(partitions)

    listener = Committing()
    await join(source, topic, listener)
    read = await read_all(source, topic, 20)
    async with joined(broker, group, topic) as second:
        await eventually(lambda: listener.revoked_partitions)
        assert not await read_all(second, topic, 1, within_s=1)
        await source.close()
        assert not await read_all(second, topic, 1, within_s=1)


async def test_a_commit_of_partitions_that_are_not_ours_is_refused(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=2)
    async with joined(broker, group, topic) as first, joined(broker, group, topic) as second:
        await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1)
        (others,) = second.assignment()
        with pytest.raises(OwnershipLost):
            await first.commit({others: 1})


async def test_seek_goes_back_and_a_paused_partition_waits(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=2)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, f"k{n}", str(n)) for n in range(40)])
    async with joined(broker, group, topic) as source:
        records = await read_all(source, topic, 40)
        held = TopicPartition(topic, 0)
        expected = [record.offset for record in records if record.partition == 0 and record.offset >= 2]
        source.seek(held, 2)
        source.pause([held])
        await publisher.publish([make_outgoing(topic, f"k{n}", str(n)) for n in range(40)])
        others = await read_all(source, topic, 40, within_s=1.5)
        assert {record.partition for record in others} == {1}
        source.resume([held])
        again = await read_all(source, topic, len(expected))

    assert [record.offset for record in again][: len(expected)] == expected


async def test_a_poll_is_bounded_in_records_and_bytes_but_never_empty_handed(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, "k", "x" * 20_000) for _ in range(10)])
    async with joined(broker, group, topic) as source:
        (only,) = await eventually(lambda: source.poll(topic, max_records=10, max_bytes=100, timeout_s=0.5))
        by_bytes = await source.poll(topic, max_records=10, max_bytes=65_000, timeout_s=0.5)
        by_count = await source.poll(topic, max_records=2, max_bytes=10_000_000, timeout_s=0.5)

    assert only.offset == 0
    assert [record.offset for record in by_bytes] == [1, 2, 3]
    assert [record.offset for record in by_count] == [4, 5]


async def test_what_is_in_hand_is_not_given_and_comes_when_it_no_longer_is(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=2)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, f"k{n}", str(n)) for n in range(40)])
    async with joined(broker, group, topic) as source:
        in_hand = {0}
        others = await eventually(
            lambda: source.poll(topic, max_records=100, max_bytes=10_000_000, timeout_s=0.5, in_hand=in_hand)
        )
        assert {record.partition for record in others} == {1}
        in_hand.clear()
        own = await read_all(source, topic, 40 - len(others))

    assert {record.partition for record in own} == {0}
    assert [record.offset for record in own] == list(range(len(own)))
    assert len(own) + len(others) == 40


async def test_topics_are_polled_apart(broker: TestBroker, topic: str, group: str) -> None:
    other = f"{topic}-other"
    await broker.create(topic, partitions=1)
    await broker.create(other, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(other, "k", "1"), make_outgoing(topic, "k", "2")])
    source = broker.source(group)
    await source.start([topic, other], Recorder())
    try:
        assert [record.value for record in await read_all(source, topic, 1)] == [b"2"]
        assert [record.value for record in await read_all(source, other, 1)] == [b"1"]
    finally:
        await source.close()


async def test_prefixes_keep_installations_apart(broker: TestBroker, topic: str, group: str) -> None:
    for prefix in ("a-", "b-"):
        await broker.create(topic, prefix=prefix)
        publisher = await broker.publisher(prefix=prefix)
        await publisher.publish([make_outgoing(topic, "k", prefix)])

    for prefix in ("a-", "b-"):
        async with joined(broker, group, topic, prefix=prefix) as source:
            (record,) = await read_all(source, topic, 1)
            assert (record.topic, record.value) == (topic, prefix.encode())
            await source.commit({TopicPartition(topic, record.partition): record.offset + 1})


async def test_lag_counts_the_records_not_yet_delivered(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, "k", str(n)) for n in range(10)])
    async with joined(broker, group, topic) as source:
        taken = 0
        while taken < 4:
            taken += len(await source.poll(topic, max_records=4 - taken, max_bytes=100_000, timeout_s=0.2))
        assert source.lag() == {TopicPartition(topic, 0): 6}


async def test_measured_lag_counts_what_is_not_committed(broker: TestBroker, topic: str, group: str) -> None:
    await broker.create(topic, partitions=1)
    publisher = await broker.publisher()
    await publisher.publish([make_outgoing(topic, "k", str(n)) for n in range(10)])
    place = TopicPartition(topic, 0)
    async with joined(broker, group, topic) as source:
        assert await source.measure_lag() == {place: 10}
        await read_all(source, topic, 10)
        assert await source.measure_lag() == {place: 10}
        await source.commit({place: 7})
        assert await source.measure_lag() == {place: 3}
        await source.commit({place: 10})
        await publisher.publish([make_outgoing(topic, "k", "more")])
        assert await source.measure_lag() == {place: 1}
    async with joined(broker, group, topic) as source:
        assert await source.measure_lag() == {place: 1}
