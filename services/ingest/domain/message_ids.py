"""The message id of a call: the sender's, or one that the sender's retries would repeat."""

from hashlib import sha256

SEPARATOR = "\x1f"


def derive_message_id(source_id: str, sent_at: str, index: int, data: bytes) -> str:
    """For a call without one whose envelope says when it was sent: a byte-identical resend of the request repeats it."""
    digest = sha256(SEPARATOR.join((source_id, sent_at, str(index), "")).encode())
    digest.update(data)
    return f"derived-{digest.hexdigest()}"


def derive_from_key(idempotency_key: str, index: int) -> str:
    """For our own API: SHA-256 of (Idempotency-Key, index), so that repeating the request repeats the ids."""
    return sha256(f"{idempotency_key}{SEPARATOR}{index}".encode()).hexdigest()
