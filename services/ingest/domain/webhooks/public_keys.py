"""Proofs by a public key: SendGrid's, Postal's, and those of Amazon's notification service (SNS)."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.payloads import read_json
from services.ingest.domain.webhooks.signatures import WINDOW, is_fresh, is_same
from services.ingest.domain.webhooks.values import Object, as_text

SNS_WINDOW: Final = timedelta(hours=2)
"""SNS signs when a message is published and goes on trying for an hour."""
_SNS_HOST: Final = re.compile(r"sns\.[a-z0-9-]{4,30}\.amazonaws\.com")
_CERTIFICATE: Final = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
_UNUSABLE: Final = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_signed_by_rsa(key: object, signature: bytes, data: bytes, algorithm: HashAlgorithm) -> bool:
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(signature, data, padding.PKCS1v15(), algorithm)
    except _UNUSABLE:
        return False
    return True


def _load_key(secret: str) -> object:
    """A public key in base64, with or without its PEM frame."""
    lines = [line for line in secret.strip().splitlines() if not line.startswith("-----")]
    try:
        return load_der_public_key(_decode("".join(line.strip() for line in lines)))
    except _UNUSABLE:
        return None


@dataclass(frozen=True, slots=True)
class SendGridSignature:
    """ECDSA over (timestamp, body). The endpoint's secret is the verification key that SendGrid shows."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        time = delivery.headers.get("x-twilio-email-event-webhook-timestamp", "")
        signature = _decode(delivery.headers.get("x-twilio-email-event-webhook-signature", ""))
        if not signature or not is_fresh(time, now, WINDOW):
            return False
        return any(
            _is_signed_by_ec(_load_key(secret), signature, time.encode("utf-8", "replace") + delivery.body) for secret in secrets
        )


def _is_signed_by_ec(key: object, signature: bytes, data: bytes) -> bool:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, data, ec.ECDSA(SHA256()))
    except _UNUSABLE:
        return False
    return True


@dataclass(frozen=True, slots=True)
class PostalSignature:
    """RSA over the body. The endpoint's secret is the server's public key."""

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:  # noqa: ARG002 - nothing in it has a time
        newer = _decode(delivery.headers.get("x-postal-signature-256", ""))
        older = _decode(delivery.headers.get("x-postal-signature", ""))
        return any(
            is_signed_by_rsa(key, newer, delivery.body, SHA256())
            if newer
            else is_signed_by_rsa(key, older, delivery.body, SHA1())  # noqa: S303 - theirs
            for key in map(_load_key, secrets)
        )


@dataclass(frozen=True, slots=True)
class SnsSignature:
    """RSA by a certificate of Amazon's own. That proves only that SNS sent it, and anybody may have topics there: so the
    endpoint's secrets are the ARNs of the topics that count.
    """

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> bool:
        message = _read_message(delivery)
        if message is None or delivery.certificate is None or not is_fresh(message.get("Timestamp"), now, SNS_WINDOW):
            return False
        if not is_one_of(as_text(message.get("TopicArn")), secrets):
            return False
        try:
            key = x509.load_pem_x509_certificate(delivery.certificate).public_key()
        except _UNUSABLE:
            return False
        algorithm: HashAlgorithm = SHA256() if message.get("SignatureVersion") == "2" else SHA1()  # noqa: S303 - theirs
        signature = _decode(as_text(message.get("Signature")) or "")
        return is_signed_by_rsa(key, signature, describe_sns_message(message), algorithm)


def _read_message(delivery: Delivery) -> Object | None:
    message = read_json(delivery.body)
    return message if isinstance(message, dict) else None


def describe_sns_message(message: Object) -> bytes:
    """The bytes that SNS signs: names and values of some members, each on a line of its own, by name."""
    names = (
        ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        if message.get("Type") == "Notification"
        else ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    )
    said = ((name, message.get(name)) for name in names)
    return "".join(f"{name}\n{value}\n" for name, value in said if isinstance(value, str)).encode("utf-8", "replace")


def find_sns_certificate(delivery: Delivery, topics: Sequence[str]) -> str | None:
    """Where the message's certificate lies; None unless that is Amazon itself and the message says it is of one of the topics."""
    message = _read_message(delivery)
    if message is None or not is_one_of(as_text(message.get("TopicArn")), topics):
        return None
    url = message.get("SigningCertURL")
    return url if isinstance(url, str) and is_sns_url(url) and _CERTIFICATE.fullmatch(urlsplit(url).path) is not None else None


def is_one_of(topic: str | None, topics: Sequence[str]) -> bool:
    return any(is_same(topic or "", one) for one in topics)


def is_sns_url(url: str) -> bool:
    """Whether a request to it goes to SNS and nowhere else: https, its own host, no user, no port."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = port is None and parts.username is None and parts.password is None and not parts.fragment
    return parts.scheme == "https" and plain and _SNS_HOST.fullmatch(parts.netloc) is not None
