"""The id of a parked rejection: a natural key, so that a refused call that is sent again is parked once."""

from hashlib import sha256
from uuid import UUID

from libs.kit.ids import make_uuid8

_SEPARATOR = b"\x1f"


def compute_rejection_id(source_id: str, path: str, body: bytes) -> UUID:
    """UUIDv8 of SHA-256 over source, path and the bytes refused."""
    return make_uuid8(sha256(_SEPARATOR.join((source_id.encode(), path.encode(), body))).digest()[:16])
