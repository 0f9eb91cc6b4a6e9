"""The id of a parked rejection: a natural key, so that a refused call that is sent again is parked once."""

from hashlib import sha256
from uuid import UUID

_SEPARATOR = b"\x1f"


def compute_rejection_id(source_id: str, path: str, body: bytes) -> UUID:
    """UUIDv8 of SHA-256 over source, path and the bytes refused."""
    digest = bytearray(sha256(_SEPARATOR.join((source_id.encode(), path.encode(), body))).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
