"""Ids: time-ordered ones (UUIDv7, RFC 9562 section 5.7), and how those that come in records are read.

Domain code gets an IdFactory, never this module's entropy.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from asyncpg.pgproto import pgproto

from libs.kit.clock import Clock
from libs.kit.times import to_micros

if TYPE_CHECKING:
    Id: TypeAlias = UUID
else:
    Id = pgproto.UUID

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


def make_uuid8(digest: bytes) -> UUID:
    """The 16 bytes of a hash with the version and variant bits of UUIDv8 (RFC 9562, section 5.8)."""
    stamped = bytearray(digest)
    stamped[6] = stamped[6] & 0x0F | 0x80
    stamped[8] = stamped[8] & 0x3F | 0x80
    made: UUID = read_id(Id, bytes(stamped))
    return made


def read_id(kind: type, value: Any) -> Any:
    """The `dec_hook` of every decoder of structs with an `Id`: a UUID whose hash and comparison take no call of Python code.

    A record carries a dozen ids, each looked up a dozen times and most of them on their way to the database, whose driver's own
    type this is. Raises ValueError or TypeError, which msgspec tells as its own.
    """
    return kind(value)
