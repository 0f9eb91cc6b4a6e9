"""Each provider's own proof: the right one opens, any other doesn't, and an old one doesn't either."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.domain.webhooks.catalogue import ADAPTERS, MAPPED
from services.ingest.domain.webhooks.deliveries import Delivery, Provider
from services.ingest.domain.webhooks.public_keys import is_sns_url
from services.ingest.domain.webhooks.signatures import SignedBody, StripeSignature
from tests.support.intake import NOW
from tests.support.webhooks import (
    SECRET,
    TOPIC,
    URL,
    encode_form,
    mac_base64,
    mac_hex,
    make_certificate,
    make_ec_key,
    make_rsa_key,
    make_sns,
    show_key,
    sign,
    sign_sns,
)

BODIES = {
    "mandrill": encode_form({"mandrill_events": "[]"}),
    "twilio": encode_form({"To": "+49", "Body": "ä b", "MessageStatus": "sent"}),
    "unisender_go": b'{"auth":"","events_by_user":[]}',
}
SECRETS = {
    "sendgrid": show_key(make_ec_key()),
    "postal": show_key(make_rsa_key()),
    "resend": "whsec_" + base64.b64encode(b"k" * 24).decode(),
}
TIMED = {"stripe", "zendesk", "resend", "sendgrid", "mailgun"}
SIGNED = sorted({*ADAPTERS, *MAPPED} - {"amazon_ses"})


def find(name: str) -> Provider:
    return ADAPTERS.get(name) or MAPPED[name]


def deliver(name: str, **changes: Any) -> Delivery:
    secret = SECRETS.get(name, SECRET)
    return sign(name, BODIES.get(name, b'{"a": 1}'), **{"secret": secret, **changes})


def verify(name: str, delivery: Delivery, *secrets: str) -> bool:
    return find(name).scheme.verify(delivery, secrets or (SECRETS.get(name, SECRET),), NOW)


@pytest.mark.parametrize("name", SIGNED)
def test_a_delivery_with_its_signature_is_the_providers(name: str) -> None:
    assert verify(name, deliver(name))


@pytest.mark.parametrize("name", SIGNED)
def test_any_of_several_secrets_will_do_and_none_opens_nothing(name: str) -> None:
    assert verify(name, deliver(name), "an older one", SECRETS.get(name, SECRET))
    assert not find(name).scheme.verify(deliver(name), (), NOW)


@pytest.mark.parametrize("name", SIGNED)
def test_another_secret_opens_nothing(name: str) -> None:
    assert not verify(name, deliver(name), "another secret")


@pytest.mark.parametrize("name", SIGNED)
def test_without_a_signature_nothing_opens(name: str) -> None:
    assert not verify(name, Delivery(BODIES.get(name, b'{"a": 1}'), {}, (URL,)))


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"mailgun", "brevo", "mailjet", "postmark", "sparkpost", "satismeter"}))
def test_a_changed_body_opens_nothing(name: str) -> None:
    delivery = deliver(name)
    assert not verify(name, replace(delivery, body=delivery.body + (b" " if delivery.body[:1] in b"{[" else b"&x=1")))


@pytest.mark.parametrize("name", sorted(TIMED))
@pytest.mark.parametrize("minutes", [-20, 20])
def test_what_was_signed_long_ago_or_in_the_future_opens_nothing(name: str, minutes: int) -> None:
    assert not verify(name, deliver(name, at=NOW + timedelta(minutes=minutes)))
    assert verify(name, deliver(name, at=NOW + timedelta(minutes=minutes / 5)))


def test_a_time_that_was_changed_opens_nothing() -> None:
    old = NOW - timedelta(hours=1)
    delivery = deliver("stripe", at=old)
    fresh = delivery.headers["stripe-signature"].replace(str(int(old.timestamp())), str(int(NOW.timestamp())))
    assert not verify("stripe", replace(delivery, headers={"stripe-signature": fresh}))


def test_stripe_signs_with_both_secrets_while_one_is_rolled() -> None:
    seconds = str(int(NOW.timestamp()))
    signed = f"{seconds}.".encode() + b"{}"
    header = f"t={seconds},v1={mac_hex('old', signed)},v1={mac_hex('new', signed)},v0=nonsense"
    for secret in ("old", "new"):
        assert StripeSignature().verify(Delivery(b"{}", {"stripe-signature": header}), [secret], NOW)


def test_twilio_signs_a_body_that_is_no_form_by_its_hash_in_the_address() -> None:
    import hashlib

    body = b'{"a": 1}'
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    delivery = Delivery(body, {"x-twilio-signature": mac_base64(SECRET, url.encode(), "sha1")}, (url,))
    assert verify("twilio", delivery)
    assert not verify("twilio", replace(delivery, body=b'{"a": 2}'))


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {SECRET}"}, {}),
        ({"x-webhook-token": SECRET}, {}),
        ({}, {"token": SECRET}),
        ({"authorization": "Basic " + base64.b64encode(b"user:pass:word").decode()}, {}),
    ],
)
def test_providers_that_sign_nothing_show_the_secret_itself(headers: dict[str, str], query: dict[str, str]) -> None:
    assert verify("postmark", Delivery(b"{}", headers, query=query), SECRET, "user:pass:word")
    assert not verify("postmark", Delivery(b"{}", headers, query=query), "another")


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic /w==", "Digest x", ""])
def test_authorization_that_cannot_be_read_opens_nothing(header: str) -> None:
    assert not verify("postmark", Delivery(b"{}", {"authorization": header}))


def test_a_mapping_may_ask_for_a_time_beside_the_body() -> None:
    scheme = SignedBody("X-Sig", algorithm="sha512", timestamp_header="X-Time", separator=".", prefix="v1=")
    seconds = str(int(NOW.timestamp()))
    signed = {"x-sig": f"v1={mac_hex(SECRET, seconds.encode() + b'.body', 'sha512')}", "x-time": seconds}
    assert scheme.verify(Delivery(b"body", signed), [SECRET], NOW)
    assert not scheme.verify(Delivery(b"body", signed), [SECRET], NOW + timedelta(minutes=6))
    assert not scheme.verify(Delivery(b"body", {**signed, "x-sig": signed["x-sig"].removeprefix("v1=")}), [SECRET], NOW)


class TestSns:
    def verify(self, body: bytes, *topics: str, certificate: bytes | None = None) -> bool:
        return find("amazon_ses").scheme.verify(
            Delivery(body, certificate=certificate or make_certificate()), topics or (TOPIC,), NOW
        )

    @pytest.mark.parametrize("version", ["1", "2"])
    @pytest.mark.parametrize(
        "message",
        [
            make_sns({}),
            make_sns({}, Subject="Amazon SES"),
            make_sns({}, Type="SubscriptionConfirmation", Token="t", SubscribeURL="https://sns.eu-west-1.amazonaws.com/?x=1"),
        ],
    )
    def test_a_message_with_its_signature_is_amazons(self, message: dict[str, Any], version: str) -> None:
        assert self.verify(sign_sns(message, version=version))

    def test_a_topic_of_somebody_else_opens_nothing(self) -> None:
        assert not self.verify(sign_sns(make_sns({})), "arn:aws:sns:eu-west-1:999:mail")

    def test_a_changed_message_opens_nothing(self) -> None:
        message = json.loads(sign_sns(make_sns({})))
        assert not self.verify(json.dumps({**message, "Message": "{}x"}).encode())

    def test_what_was_published_long_ago_opens_nothing(self) -> None:
        assert not self.verify(sign_sns(make_sns({}, at=NOW - timedelta(hours=3))))
        assert self.verify(sign_sns(make_sns({}, at=NOW - timedelta(minutes=59))))

    def test_a_certificate_that_is_none_opens_nothing(self) -> None:
        assert not self.verify(sign_sns(make_sns({})), certificate=b"-----BEGIN")

    @pytest.mark.parametrize(
        "url",
        [
            "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
            "https://evil.example/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com/other.pem",
            "https://snsXeu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
            "https://169.254.169.254/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com\\@evil.example/SimpleNotificationService-1.pem",
            "https://[::1]/SimpleNotificationService-1.pem",
            "https://sns.eu-west-1.amazonaws.com/%2e%2e/SimpleNotificationService-1.pem",
            5,
            None,
        ],
    )
    def test_certificates_lie_with_sns_and_nowhere_else(self, url: object) -> None:
        find_certificate = find("amazon_ses").find_certificate
        assert find_certificate is not None
        body = json.dumps({**make_sns({}), "SigningCertURL": url}).encode()
        assert find_certificate(Delivery(body), [TOPIC]) is None

    def test_no_certificate_is_asked_for_a_foreign_topic(self) -> None:
        find_certificate = find("amazon_ses").find_certificate
        assert find_certificate is not None
        assert find_certificate(Delivery(sign_sns(make_sns({}))), ["arn:other"]) is None
        assert find_certificate(Delivery(sign_sns(make_sns({}))), [TOPIC]) is not None

    @pytest.mark.parametrize(
        "url", ["https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription", "https://sns.us-gov-west-1.amazonaws.com/"]
    )
    def test_addresses_of_sns_are_known(self, url: str) -> None:
        assert is_sns_url(url)
