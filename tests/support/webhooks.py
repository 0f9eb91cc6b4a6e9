"""Deliveries as providers send them: bodies, and signatures of each scheme made with secrets of tests only."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.domain.webhooks.public_keys import describe_sns_message
from tests.support.intake import NOW

SECRET = "a secret of tests only"
URL = "https://in.example.com/v1/webhooks/x/shop"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CONFIRM_URL = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"


def encode_form(fields: dict[str, Any]) -> bytes:
    return urlencode(fields, doseq=True).encode()


def mac(secret: str | bytes, data: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode() if isinstance(secret, str) else secret, data, algorithm).digest()


def mac_hex(secret: str, data: bytes, algorithm: str = "sha256") -> str:
    return mac(secret, data, algorithm).hex()


def mac_base64(secret: str | bytes, data: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(mac(secret, data, algorithm)).decode()


@cache
def make_ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def make_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def show_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """The public part as providers show it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@cache
def make_certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    key = make_rsa_key()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def sign_sns(message: dict[str, Any], *, version: str = "1") -> bytes:
    """A message of SNS with its signature."""
    signature = make_rsa_key().sign(describe_sns_message(message), padding.PKCS1v15(), SHA256() if version == "2" else SHA1())  # noqa: S303 - theirs
    whole = {
        **message,
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": message.get("SigningCertURL", CERTIFICATE_URL),
    }
    return json.dumps(whole).encode()


def make_sns(event: dict[str, Any], *, at: datetime = NOW, **changes: Any) -> dict[str, Any]:
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "Type": "Notification",
        "MessageId": "sns-1",
        "TopicArn": TOPIC,
        "Message": json.dumps(event),
        "Timestamp": time,
        **changes,
    }


def sign(  # noqa: C901, PLR0912 - one case a provider
    provider: str, body: bytes, *, at: datetime = NOW, secret: str = SECRET, headers: dict[str, str] | None = None
) -> Delivery:
    """A delivery with the provider's signature, made at that time."""
    seconds = str(int(at.timestamp()))
    made: dict[str, str] = {}
    match provider:
        case "shopify":
            made = {"x-shopify-hmac-sha256": mac_base64(secret, body)}
        case "woocommerce":
            made = {"x-wc-webhook-signature": mac_base64(secret, body)}
        case "stripe":
            made = {"stripe-signature": f"t={seconds},v1={mac_hex(secret, seconds.encode() + b'.' + body)}"}
        case "zendesk":
            time = at.isoformat().replace("+00:00", "Z")
            made = {
                "x-zendesk-webhook-signature": mac_base64(secret, time.encode() + body),
                "x-zendesk-webhook-signature-timestamp": time,
            }
        case "intercom":
            made = {"x-hub-signature": f"sha1={mac_hex(secret, body, 'sha1')}"}
        case "typeform":
            made = {"typeform-signature": f"sha256={mac_base64(secret, body)}"}
        case "mailersend":
            made = {"signature": mac_hex(secret, body)}
        case "mailtrap":
            made = {"mailtrap-signature": mac_hex(secret, body)}
        case "delighted":
            made = {"x-delighted-webhook-signature": f"sha256={mac_hex(secret, body)}"}
        case "meta_leads":
            made = {"x-hub-signature-256": f"sha256={mac_hex(secret, body)}"}
        case "resend":
            signed = f"msg_1.{seconds}.".encode() + body
            key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret
            made = {"svix-id": "msg_1", "svix-timestamp": seconds, "svix-signature": f"v1,{mac_base64(key, signed)}"}
        case "sendgrid":
            signature = make_ec_key().sign(seconds.encode() + body, ec.ECDSA(SHA256()))
            made = {
                "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
                "x-twilio-email-event-webhook-timestamp": seconds,
            }
        case "postal":
            made = {"x-postal-signature": base64.b64encode(make_rsa_key().sign(body, padding.PKCS1v15(), SHA1())).decode()}  # noqa: S303 - theirs
        case "mailgun":
            body = _sign_mailgun(body, seconds, secret)
        case "mandrill" | "twilio":
            made = {f"x-{provider}-signature": _sign_form(body, secret)}
        case "unisender_go":
            body = body.replace(b'"auth":""', b'"auth":"%s"' % secret.encode())
            digest = hashlib.md5(body).hexdigest()  # noqa: S324 - theirs
            body = body.replace(secret.encode(), digest.encode(), 1)
        case _:
            made = {"authorization": "Basic " + base64.b64encode(f"rapport:{secret}".encode()).decode()}
    return Delivery(body, {**(headers or {}), **made}, (URL,))


def _sign_mailgun(body: bytes, seconds: str, secret: str) -> bytes:
    signature = {"timestamp": seconds, "token": "t0", "signature": mac_hex(secret, f"{seconds}t0".encode())}
    if not body.startswith(b"{"):
        return body + b"&" + encode_form(signature)
    return json.dumps({**json.loads(body), "signature": signature}).encode()


def _sign_form(body: bytes, secret: str) -> str:
    fields = "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    return mac_base64(secret, (URL + fields).encode(), "sha1")
