"""Proofs by a shared secret. Comparisons take the same time wherever the texts differ; old proofs are worth nothing."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.payloads import read_fields, read_json
from services.ingest.domain.webhooks.values import as_instant, as_text, pick

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

WINDOW: Final = timedelta(minutes=5)
"""How far the time that was signed may be from ours, either way: as the providers' own libraries have it."""
MAILGUN_WINDOW: Final = timedelta(minutes=15)
"""Wider: at times of much mail Mailgun delivers minutes after it signed."""
_BODY_HASH: Final = re.compile(r"[?&]bodySHA256=([0-9a-fA-F]{64})")


def is_fresh(signed_at: object, now: datetime, window: timedelta) -> bool:
    instant = as_instant(signed_at)
    return instant is not None and abs(now - instant) <= window


def is_same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def compute_mac(secret: str | bytes, data: bytes, algorithm: Algorithm, encoding: Encoding) -> str:
    key = secret.encode("utf-8", "replace") if isinstance(secret, str) else secret
    digest = hmac.new(key, data, algorithm)
    return digest.hexdigest() if encoding == "hex" else base64.b64encode(digest.digest()).decode()


@dataclass(frozen=True, slots=True)
class SignedBody:
    """An HMAC of the body in a header. With a `timestamp_header`, of (time, separator, body), and only while it is fresh."""

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    timestamp_header: str | None = None
    separator: str = ""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        stated = delivery.headers.get(self.header.lower(), "").strip()
        if not stated.startswith(self.prefix):
            return False
        stated = stated.removeprefix(self.prefix)
        if self.encoding == "hex":
            stated = stated.lower()
        signed = delivery.body
        if self.timestamp_header is not None:
            time = delivery.headers.get(self.timestamp_header.lower(), "")
            if not is_fresh(time, now, WINDOW):
                return False
            signed = f"{time}{self.separator}".encode("utf-8", "replace") + signed
        return any(is_same(stated, compute_mac(secret, signed, self.algorithm, self.encoding)) for secret in secrets)


@dataclass(frozen=True, slots=True)
class StripeSignature:
    """`Stripe-Signature: t=<seconds>,v1=<hex>,v1=<hex>`: an HMAC of `<seconds>.<body>`; several while a secret is rolled."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        parts = [part.strip().partition("=") for part in delivery.headers.get("stripe-signature", "").split(",")]
        time = next((value for name, _, value in parts if name == "t"), "")
        stated = [value for name, _, value in parts if name == "v1"]
        if not is_fresh(time, now, WINDOW):
            return False
        signed = f"{time}.".encode("utf-8", "replace") + delivery.body
        expected = [compute_mac(secret, signed, "sha256", "hex") for secret in secrets]
        return any(is_same(one, other) for one in stated for other in expected)


@dataclass(frozen=True, slots=True)
class SvixSignature:
    """`svix-signature: v1,<base64> …`: an HMAC of `<id>.<seconds>.<body>`; the secret is `whsec_` and base64."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        headers = delivery.headers
        time = headers.get("svix-timestamp", "")
        if not is_fresh(time, now, WINDOW):
            return False
        signed = f"{headers.get('svix-id', '')}.{time}.".encode("utf-8", "replace") + delivery.body
        stated = [part.partition(",")[2] for part in headers.get("svix-signature", "").split() if part.startswith("v1,")]
        expected = [compute_mac(_decode_svix(secret), signed, "sha256", "base64") for secret in secrets]
        return any(is_same(one, other) for one in stated for other in expected)


def _decode_svix(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return encoded.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class MailgunSignature:
    """An HMAC of (timestamp, token), which stand in the body beside it: `signature` of the JSON, or fields of the older form."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        if delivery.body.lstrip()[:1] == b"{":
            payload = read_json(delivery.body)
            source: object = None if isinstance(payload, Refusal) else pick(payload, "signature")
        else:
            fields = read_fields(delivery.body)
            # The first of each name: custom variables of the same name come behind.
            source = None if isinstance(fields, Refusal) else dict(reversed(fields))
        time, token, stated = (as_text(pick(source, name)) or "" for name in ("timestamp", "token", "signature"))
        if not token or not is_fresh(time, now, MAILGUN_WINDOW):
            return False
        signed = f"{time}{token}".encode("utf-8", "replace")
        return any(is_same(stated, compute_mac(secret, signed, "sha256", "hex")) for secret in secrets)


@dataclass(frozen=True, slots=True)
class SignedForm:
    """Twilio's and Mandrill's: an HMAC of the address and then of each field's name and value, by name.

    A body that is no form is signed by its hash in the address (`bodySHA256`).
    """

    header: str
    algorithm: Algorithm = "sha1"

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG002 - nothing in it has a time
        stated = delivery.headers.get(self.header.lower(), "").strip()
        matches = [
            is_same(stated, compute_mac(secret, signed, self.algorithm, "base64"))
            for url in delivery.urls
            if (signed := _describe_form(url, delivery.body)) is not None
            for secret in secrets
        ]
        return any(matches)


def _describe_form(url: str, body: bytes) -> bytes | None:
    stated = _BODY_HASH.search(url)
    if stated is not None:
        return url.encode("utf-8", "replace") if is_same(stated.group(1).lower(), hashlib.sha256(body).hexdigest()) else None
    fields = read_fields(body) if body else []
    if isinstance(fields, Refusal):
        return None
    return (url + "".join(name + value for name, value in sorted(fields))).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """The secret itself, for providers that sign nothing: Basic (`user:password`, or the password alone), Bearer, a header, or
    `?token=` in the address.
    """

    header: str = "x-webhook-token"

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG002 - nothing in it has a time
        stated = [*_read_authorization(delivery.headers.get("authorization", ""))]
        stated += [delivery.headers.get(self.header.lower(), ""), delivery.query.get("token", "")]
        return any(is_same(one, secret) for one in stated if one for secret in secrets)


def _read_authorization(header: str) -> list[str]:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return [credentials.strip()]
    if scheme.lower() != "basic":
        return []
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    return [decoded, decoded.partition(":")[2]]


@dataclass(frozen=True, slots=True)
class UnisenderSignature:
    """`auth` in the body is the MD5 of the body with the API key in its place: the provider knows nothing better."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG002 - nothing in it has a time
        payload = read_json(delivery.body)
        stated = None if isinstance(payload, Refusal) else pick(payload, "auth")
        if not isinstance(stated, str) or not stated:
            return False
        quoted = f'"{stated}"'.encode("utf-8", "replace")
        return any(
            is_same(stated, hashlib.md5(delivery.body.replace(quoted, f'"{secret}"'.encode("utf-8", "replace"), 1)).hexdigest())  # noqa: S324 - theirs
            for secret in secrets
        )
