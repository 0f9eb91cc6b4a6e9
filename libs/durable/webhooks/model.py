"""What an endpoint and a delivery are, how a message is signed (Standard Webhooks), and when it is tried again. No I/O."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec
from standardwebhooks import Webhook

from libs.kit.times import format_utc

EndpointState = Literal["active", "disabled"]
DeliveryState = Literal["pending", "delivered", "failed"]
SECRET_BYTES: Final = 32
ROTATION: Final = timedelta(hours=24)
"""How long the secret before the present one signs, too."""
RETRY_AFTER_S: Final = (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses between the tries of one delivery, as the Standard Webhooks specification recommends: some three days in all."""
_LONGEST_REST: Final = timedelta(minutes=5)
_SHORTEST_REST: Final = timedelta(seconds=1)
_RESTS_PER_FAILING: Final = 4
_GONE: Final = 410


class Message(NamedTuple):
    """What happened, as every endpoint that wants it gets it. `id` is the same for each try: receivers deduplicate by it.

    `subject`, `cause`: what endpoints choose by, beside the type.
    """

    id: str
    type: str
    subject: str
    cause: str
    body: bytes


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where messages go. No `types`, `subjects` or `causes` means all of them.

    `failing_since`: no delivery has succeeded since the failure then. `previous_secret` signs until `previous_until`.
    """

    id: UUID
    url: str
    description: str
    types: Sequence[str]
    subjects: Sequence[str]
    causes: Sequence[str]
    secret: str
    previous_secret: str | None = None
    previous_until: datetime | None = None
    state: EndpointState
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    resting_until: datetime | None = None
    created_at: datetime

    def secrets_at(self, now: datetime) -> list[str]:
        """Those that sign: the present one first."""
        if self.previous_secret is None or self.previous_until is None or now >= self.previous_until:
            return [self.secret]
        return [self.secret, self.previous_secret]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to one endpoint. `due_at`: when it is tried next. `last_error`: a word, never what was answered."""

    endpoint_id: UUID
    message_id: str
    type: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


class Failure(NamedTuple):
    """Why a try failed, and how long the receiver wants to be left alone where it says so."""

    error: str
    status: int | None = None
    retry_after_s: float | None = None

    @property
    def is_final(self) -> bool:
        """The receiver says that nothing more is wanted, ever."""
        return self.status == _GONE


def make_secret(entropy: bytes) -> str:
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"entropy must be {SECRET_BYTES} bytes")
    return f"whsec_{base64.b64encode(entropy).decode()}"


def sign(secrets: Sequence[str], message_id: str, body: bytes, now: datetime) -> Mapping[str, str]:
    """The three headers of the Standard Webhooks specification: a signature by each secret, with spaces between."""
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, now, text) for secret in secrets),
    }


def write_body(type_: str, at: datetime, data: bytes) -> bytes:
    """The payload's recommended form. `data` is JSON."""
    return b'{"type":%b,"timestamp":"%b","data":%b}' % (msgspec.json.encode(type_), format_utc(at).encode(), data)


def find_next_try(message_id: str, attempts: int, now: datetime, failure: Failure) -> datetime | None:
    """When a delivery that failed is tried again; None: it was the last time. Spread a little, so that not all come at once."""
    if attempts > len(RETRY_AFTER_S):
        return None
    pause_s = RETRY_AFTER_S[attempts - 1] * (1 + crc32(message_id.encode()) % 100 / 1000)
    return now + timedelta(seconds=max(pause_s, min(failure.retry_after_s or 0, RETRY_AFTER_S[-1])))


def find_rest(failing_since: datetime, now: datetime, failure: Failure) -> datetime:
    """Until when an endpoint that fails is left alone: the longer it fails, the longer; then one delivery tries it."""
    rest = min(max((now - failing_since) / _RESTS_PER_FAILING, _SHORTEST_REST), _LONGEST_REST)
    return now + max(rest, timedelta(seconds=min(failure.retry_after_s or 0, _LONGEST_REST.total_seconds())))
