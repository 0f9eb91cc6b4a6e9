"""Which websites are let in, and what is kept of visitors' addresses."""

import msgspec
import pytest
from msgspec import Raw

from libs.kit.origins import is_origin_allowed, read_origin
from services.ingest.domain.addresses import find_client, keep_address, read_networks, shorten
from services.ingest.domain.calls import EMPTY, Payload


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://*.shop.example", "https://*.shop.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("shop.example", None),
        ("https://shop.example/path", None),
        ("https://", None),
        ("*", None),
        ("https://*", None),
        ("ftp://shop.example", None),
        ("null", None),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str | None) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://shop.example", True),
        ("https://www.brand.example", True),
        ("https://a.b.brand.example", True),
        ("https://brand.example", False),
        ("https://evilbrand.example", False),
        ("https://.brand.example", False),
        ("http://shop.example", False),
        ("http://www.brand.example", False),
        ("https://shop.example:8443", False),
        ("https://shop.example.evil.example", False),
        ("https://evil@www.brand.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_the_websites_on_the_list_and_their_subdomains_are_allowed(origin: str, is_allowed: bool) -> None:
    assert is_origin_allowed(origin, ("https://shop.example", "https://*.brand.example")) is is_allowed


@pytest.mark.parametrize(
    ("address", "policy", "kept"),
    [
        ("203.0.113.77", "truncated", "203.0.113.0"),
        ("203.0.113.77", "full", "203.0.113.77"),
        ("203.0.113.77", "none", None),
        ("2001:db8:1:2:3:4:5:6", "truncated", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "truncated", "203.0.113.0"),
        ("not an address", "full", None),
        (None, "full", None),
    ],
)
def test_an_address_is_kept_as_far_as_the_policy_says(address: str | None, policy: str, kept: str | None) -> None:
    assert shorten(address, policy) == kept


def make_context(text: bytes) -> Payload:
    return Payload(Raw(text), msgspec.json.decode(text))


def test_the_rest_of_the_context_stays_as_it_was_sent() -> None:
    context = make_context(b'{"a":1.10,"ip":"203.0.113.77"}')
    assert bytes(keep_address(context, "none", None).raw) == b'{"a":1.10}'
    assert bytes(keep_address(context, "truncated", None).raw) == b'{"a":1.10,"ip":"203.0.113.0"}'
    assert keep_address(context, "full", None) is context
    assert keep_address(EMPTY, "none", None) is EMPTY
    assert EMPTY.value == {}


def test_the_senders_word_goes_before_the_connection_and_what_is_no_address_is_dropped() -> None:
    assert keep_address(make_context(b'{"ip":"203.0.113.77"}'), "full", "198.51.100.1").value == {"ip": "203.0.113.77"}
    assert keep_address(make_context(b"{}"), "full", "198.51.100.1").value == {"ip": "198.51.100.1"}
    assert keep_address(make_context(b'{"ip":7}'), "full", None).value == {}
    assert keep_address(make_context(b'{"ip":"here"}'), "full", "198.51.100.1").value == {}


PROXIES = read_networks("10.0.0.0/8, 192.0.2.7")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", "", "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "nonsense"),
        (None, "203.0.113.9", None),
    ],
)
def test_a_forwarded_address_is_believed_from_trusted_proxies_only(peer: str | None, forwarded: str, client: str | None) -> None:
    assert find_client(peer, forwarded, PROXIES) == client
    assert find_client(peer, forwarded, ()) == peer
