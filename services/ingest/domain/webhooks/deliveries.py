"""A webhook's delivery, and what can be read in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Protocol

from services.ingest.domain.limits import MESSAGE_ID_CHARS
from services.ingest.domain.reasons import Refusal

Touchpoint = dict[str, Any]
"""As `POST /v1/touchpoints` takes it."""

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of a provider. Names of headers are in lower case.

    `urls`: the addresses it may have been sent to, for schemes that sign the address. `certificate`: what the scheme asked for.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    urls: Sequence[str] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery tells: touchpoints, and by name what means nothing to us.

    `confirm_url` is to be fetched before the provider is answered: that is how it learns that somebody listens.
    """

    touchpoints: Sequence[Touchpoint] = ()
    ignored: Sequence[str] = ()
    confirm_url: str | None = None


Read = Callable[[Delivery], Reading | Refusal]


class Scheme(Protocol):
    """A provider's way to prove that a delivery is its own. Several secrets may be valid at once. Never raises."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool: ...


def has_no_greeting(_delivery: Delivery) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Provider:
    """`headers`: those that `read` looks at, in lower case; they are kept with a delivery that is parked.

    `find_certificate`: the address of the certificate that the scheme needs to verify a delivery, if the delivery is worth it.
    `is_greeting`: whether it only asks if somebody is there; such are answered, unsigned as they are, and nothing comes of them.
    `has_handshake`: it asks by GET, with a secret and a challenge to be given back, before it sends anything.
    """

    name: str
    scheme: Scheme
    read: Read
    headers: Sequence[str] = ()
    find_certificate: Callable[[Delivery, Sequence[str]], str | None] | None = None
    is_greeting: Callable[[Delivery], bool] = has_no_greeting
    has_handshake: bool = False


def name_message(*parts: object) -> str:
    """A message id out of what a second delivery of the same repeats; a hash where it would be too long."""
    named = ":".join(str(part) for part in parts if part is not None)
    return named if len(named) <= MESSAGE_ID_CHARS else hash_parts(*parts)


def hash_parts(*parts: object) -> str:
    text = _SEPARATOR.join("" if part is None else str(part) for part in parts)
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def hash_body(body: bytes) -> str:
    return sha256(body).hexdigest()
