"""Keys go where the stock Java client would send them."""

from uuid import UUID

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from libs.messaging.partitions import compute_murmur2, partition_of, partitions_of

keys = st.binary(max_size=50)
ids = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number)).encode())


# From the Java client's own test (org.apache.kafka.common.utils.UtilsTest#testMurmur2), whose numbers are signed.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_java_clients(key: bytes, expected: int) -> None:
    assert compute_murmur2(key) == expected & 0xFFFFFFFF


@given(keys)
def test_the_hash_of_one_key_equals_a_plain_translation_of_the_java_code(key: bytes) -> None:
    assert compute_murmur2(key) == murmur2(key) & 0xFFFFFFFF


@given(st.lists(ids, max_size=300) | st.lists(keys, max_size=60), st.integers(1, 100))
def test_many_keys_at_once_get_what_each_gets_alone(many: list[bytes], count: int) -> None:
    assert partitions_of(many, count) == [partition_of(key, count) for key in many]
