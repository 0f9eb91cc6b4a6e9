"""Time-ordered ids (UUIDv7, RFC 9562 section 5.7). Domain code gets an IdFactory, never this module's entropy."""

import secrets
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from libs.kit.clock import Clock
from libs.kit.times import to_micros

IdFactory = Callable[[], UUID]

ENTROPY_BYTES = 10
_RAND_B_MASK = (1 << 62) - 1


def compute_uuid7(now: datetime, entropy: bytes) -> UUID:
    """48 bits of Unix milliseconds, then 74 bits of the entropy (10 bytes; its last 6 bits are unused)."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"entropy must be {ENTROPY_BYTES} bytes")
    random = int.from_bytes(entropy, "big") >> 6
    millis = to_micros(now) // 1000
    return UUID(int=(millis << 80) | (0x7 << 76) | ((random >> 62) << 64) | (0b10 << 62) | (random & _RAND_B_MASK))


def new_uuid7(clock: Clock) -> UUID:
    return compute_uuid7(clock.now(), secrets.token_bytes(ENTROPY_BYTES))


def build_id_factory(clock: Clock) -> IdFactory:
    return lambda: new_uuid7(clock)
