"""What is signed, when it is tried again, and where nothing is sent."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.durable.webhooks import DeliveryFailed, Endpoint, UrlRefused, WebhookClient, check_url, make_secret, sign, write_body
from libs.durable.webhooks.guard import is_public
from libs.durable.webhooks.model import RETRY_AFTER_S, Failure, find_next_try, find_rest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = make_secret(bytes(range(32)))
FAILED = Failure("timeout")


def test_a_signature_is_the_one_the_specification_says() -> None:
    headers = sign([SECRET], "vip:1:1", b'{"a":1}', NOW)
    expected = hmac.new(bytes(range(32)), f"vip:1:1.{int(NOW.timestamp())}.".encode() + b'{"a":1}', hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "vip:1:1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": f"v1,{base64.b64encode(expected).decode()}",
    }


def test_two_secrets_sign_until_the_old_one_runs_out() -> None:
    old = make_secret(bytes(32))
    endpoint = Endpoint(
        id=UUID(int=1), url="", description="", types=(), subjects=(), causes=(), secret=SECRET, previous_secret=old,
        previous_until=NOW, state="active", created_at=NOW,
    )  # fmt: skip
    assert endpoint.secrets_at(NOW - timedelta(seconds=1)) == [SECRET, old]
    assert endpoint.secrets_at(NOW) == [SECRET]
    both = sign([SECRET, old], "m", b"{}", NOW)["webhook-signature"].split(" ")
    assert both == [sign([one], "m", b"{}", NOW)["webhook-signature"] for one in (SECRET, old)]


def test_a_secret_of_less_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_secret(b"short")


def test_the_body_has_the_recommended_form() -> None:
    assert write_body("segment.entered", NOW, b'{"seq":1}') == (
        b'{"type":"segment.entered","timestamp":"2026-03-01T12:00:00.000Z","data":{"seq":1}}'
    )


@given(st.text(max_size=20), st.integers(1, len(RETRY_AFTER_S)))
def test_pauses_grow_and_are_spread_by_a_tenth_at_most(message_id: str, attempts: int) -> None:
    next_at = find_next_try(message_id, attempts, NOW, FAILED)
    assert next_at is not None
    pause_s = RETRY_AFTER_S[attempts - 1]
    assert pause_s <= (next_at - NOW).total_seconds() <= pause_s * 1.1


def test_after_the_last_pause_it_is_given_up() -> None:
    assert find_next_try("m", len(RETRY_AFTER_S) + 1, NOW, FAILED) is None


def test_a_receiver_that_asks_for_a_pause_gets_it_within_reason() -> None:
    asked = find_next_try("m", 1, NOW, Failure("status", 429, 600.0))
    assert asked == NOW + timedelta(seconds=600)
    assert find_next_try("m", 1, NOW, Failure("status", 503, 1e9)) == NOW + timedelta(days=1)
    assert find_rest(NOW, NOW, Failure("status", 429, 60.0)) == NOW + timedelta(seconds=60)
    assert find_rest(NOW, NOW, Failure("status", 429, 1e20)) == NOW + timedelta(minutes=5)


def test_the_longer_an_endpoint_fails_the_longer_it_rests() -> None:
    rests = [find_rest(NOW - timedelta(minutes=minutes), NOW, FAILED) - NOW for minutes in (0, 4, 20, 2000)]
    assert rests == [timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=5)]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1",  # noqa: S104 - nothing is bound
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_business(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_that_may_be_called(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/#x", "https://localhost/",
        "https://127.0.0.1/", "https://[::1]/", "https://[fd00:ec2::254]/", "https://169.254.169.254/latest", "https:///x",
        "https://exa mple.com/", "https://ex\u00e4mple.com/", "https://example.com:99999/", "https://[::1", "nonsense",
        "https://example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_urls_that_are_refused_at_once(url: str) -> None:
    with pytest.raises(UrlRefused):
        check_url(url, allow_private=False)


def test_local_development_may_call_itself() -> None:
    assert check_url("http://localhost:8000/hook", allow_private=True)[1:] == ("localhost", 8000)


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["fe80::1%2"]])
async def test_a_name_that_leads_inside_is_refused_when_it_is_called(found: list[str]) -> None:
    """The network is closed to this test: refused means never tried."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return found

    async with WebhookClient(allow_private=False, resolve=resolve) as client:
        with pytest.raises(DeliveryFailed, match="address_refused"):
            await client.post("https://hooks.example.com/", b"{}", {})
