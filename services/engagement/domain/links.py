"""Signed links in messages: who holds the link may act for the message's recipient, and nobody can make one up."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from uuid import UUID

from libs.identity import IdentityKey

_ID_BYTES = 16
_KIND = "message link"


def build_token(message_id: UUID, key: IdentityKey) -> str:
    """The message id and a keyed hash of it: 43 characters of the URL alphabet."""
    return urlsafe_b64encode(message_id.bytes + _sign(message_id, key)).rstrip(b"=").decode()


def read_token(token: str, key: IdentityKey) -> UUID | None:
    """The message id of a genuine token, else None."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        return None
    if len(raw) != 2 * _ID_BYTES:
        return None
    message_id = UUID(bytes=raw[:_ID_BYTES])
    return message_id if hmac.compare_digest(_sign(message_id, key), raw[_ID_BYTES:]) else None


def _sign(message_id: UUID, key: IdentityKey) -> bytes:
    return key.fragment_id(_KIND, str(message_id)).bytes
