"""The address that was checked is the one called, under the name's own certificate; redirects lead nowhere."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from libs.durable.webhooks import DeliveryFailed, WebhookClient
from tests.support.receiver import Receiver, run_receiver

AUTHORITY = trustme.CA()


async def lead_here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def make_client(timeout_s: float = 5.0) -> WebhookClient:
    trusted = ssl.create_default_context()
    AUTHORITY.configure_trust(trusted)
    return WebhookClient(allow_private=True, resolve=lead_here, tls=trusted, timeout_s=timeout_s)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("hooks.example.com").configure_cert(context)
    async with run_receiver(context) as running:
        yield running


async def test_a_pinned_address_shows_the_names_certificate(receiver: Receiver) -> None:
    async with make_client() as client:
        status = await client.post(f"https://hooks.example.com:{receiver.port}/a?b=1", b'{"x":1}', {"webhook-id": "m"})
    [got] = receiver.received
    assert (status, got.path, got.json, got.headers["webhook-id"]) == (204, "/a?b=1", {"x": 1}, "m")
    assert got.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert got.headers["content-type"] == "application/json"


async def test_another_names_certificate_is_refused(receiver: Receiver) -> None:
    async with make_client() as client:
        with pytest.raises(DeliveryFailed, match="not_reached"):
            await client.post(f"https://evil.example.com:{receiver.port}/", b"{}", {})
    assert receiver.received == []


async def test_a_redirect_isnt_followed(receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [307], {"location": f"https://hooks.example.com:{receiver.port}/inside"}
    async with make_client() as client:
        with pytest.raises(DeliveryFailed) as failed:
            await client.post(f"https://hooks.example.com:{receiver.port}/", b"{}", {})
    assert (failed.value.failure.error, failed.value.failure.status) == ("status", 307)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(("asked", "pause_s"), [("7", 7), ("9" * 20, 86_400), ("9" * 400, 86_400), ("-1", None), ("soon", None)])
async def test_the_pause_a_receiver_asks_for_is_a_day_at_most(receiver: Receiver, asked: str, pause_s: float | None) -> None:
    receiver.answers, receiver.headers = [503], {"retry-after": asked}
    async with make_client() as client:
        with pytest.raises(DeliveryFailed) as failed:
            await client.post(f"https://hooks.example.com:{receiver.port}/", b"{}", {})
    assert failed.value.failure.retry_after_s == pause_s


async def test_nobody_there_and_nothing_said_in_time() -> None:
    async with run_receiver() as silent:
        port = silent.port
    async with make_client() as client:
        with pytest.raises(DeliveryFailed, match="not_reached"):
            await client.post(f"http://hooks.example.com:{port}/", b"{}", {})

    async def never(_host: str, _port: int) -> list[str]:
        raise TimeoutError

    async with WebhookClient(allow_private=True, resolve=never) as client:
        with pytest.raises(DeliveryFailed, match="timeout"):
            await client.post("http://hooks.example.com/", b"{}", {})
