"""What was fetched ahead: order, bounds, fairness."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from libs.messaging.buffers import RECORD_OVERHEAD_BYTES, TopicBuffer


@dataclass
class Record:
    partition: int
    offset: int
    value: bytes | None = b""
    key: bytes | None = b"k"
    timestamp: int = 1
    headers: Sequence[tuple[str, bytes]] = ()


def fill(buffer: TopicBuffer, partition: int, count: int, *, first: int = 0, size_bytes: int = 0) -> None:
    buffer.add(partition, [Record(partition, first + n, b"x" * size_bytes) for n in range(count)])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=8), st.integers(1, 30))
def test_all_is_delivered_once_in_offset_order_and_the_books_end_at_zero(fills: list[tuple[int, int]], at_once: int) -> None:
    buffer = TopicBuffer("t")
    ends: dict[int, int] = {}
    for partition, count in fills:
        fill(buffer, partition, count, first=ends.get(partition, 0))
        ends[partition] = ends.get(partition, 0) + count
    taken: list[tuple[int, int]] = []
    while batch := buffer.take(max_records=at_once, max_bytes=10**9, in_hand=()):
        assert len(batch) <= at_once
        taken.extend((record.partition, record.offset) for record in batch)
    assert sorted(taken) == [(partition, offset) for partition in sorted(ends) for offset in range(ends[partition])]
    for partition, end in ends.items():
        assert [offset for number, offset in taken if number == partition] == list(range(end))
    assert (buffer.records, buffer.size_bytes) == (0, 0)


def test_a_large_partition_does_not_starve_the_others() -> None:
    buffer = TopicBuffer("t")
    for partition in range(3):
        fill(buffer, partition, 100)
    served = [{record.partition for record in buffer.take(max_records=10, max_bytes=10**9, in_hand=())} for _ in range(6)]
    assert served == [{0}, {1}, {2}, {0}, {1}, {2}]


def test_a_record_beyond_the_byte_bound_comes_alone() -> None:
    buffer = TopicBuffer("t")
    fill(buffer, 0, 3, size_bytes=1000)
    assert len(buffer.take(max_records=10, max_bytes=10, in_hand=())) == 1
    assert len(buffer.take(max_records=10, max_bytes=2 * (1000 + RECORD_OVERHEAD_BYTES), in_hand=())) == 2


def test_what_somebody_has_in_hand_stays_where_it_is() -> None:
    buffer = TopicBuffer("t")
    for partition in range(2):
        fill(buffer, partition, 10)
    served = [record.partition for record in buffer.take(max_records=100, max_bytes=10**9, in_hand={0})]
    assert served == [1] * 10
    assert not buffer.is_deliverable({0})
    assert buffer.is_deliverable({1})


def test_a_held_partition_keeps_what_it_has_and_dropping_forgets_it() -> None:
    buffer = TopicBuffer("t")
    fill(buffer, 0, 2)
    buffer.held.add(0)
    assert not buffer.is_deliverable(())
    assert not buffer.take(max_records=5, max_bytes=10**9, in_hand=())
    buffer.held.clear()
    assert buffer.is_deliverable(())
    assert buffer.next_offsets() == {0: 0}
    buffer.drop([0])
    assert (buffer.records, buffer.size_bytes, buffer.next_offsets()) == (0, 0, {})
