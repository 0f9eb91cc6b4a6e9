"""What is asked of Amazon SNS: only of it, never further than it sends us, and certificates once."""

import httpx
import pytest

from services.ingest.adapters.sns import HttpSns
from services.ingest.errors import SnsAway
from tests.support.webhooks import CERTIFICATE_URL, CONFIRM_URL


class Amazon:
    """Answers what it is told to; remembers what it was asked."""

    def __init__(self, status: int = 200, body: bytes = b"certificate", *, is_away: bool = False) -> None:
        self.asked: list[str] = []
        self._status, self._body, self._is_away = status, body, is_away

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self._is_away:
            raise httpx.ConnectError("away")
        return httpx.Response(self._status, content=self._body, headers={"location": "http://169.254.169.254/"})

    def open(self) -> HttpSns:
        return HttpSns(httpx.AsyncClient(transport=httpx.MockTransport(self.answer), follow_redirects=False))


async def test_a_certificate_is_fetched_once() -> None:
    amazon = Amazon()
    sns = amazon.open()
    assert [await sns.fetch_certificate(CERTIFICATE_URL) for _ in range(2)] == [b"certificate"] * 2
    assert amazon.asked == [CERTIFICATE_URL]
    await sns.close()


async def test_a_confirmation_is_a_request_each_time() -> None:
    amazon = Amazon()
    sns = amazon.open()
    await sns.confirm(CONFIRM_URL)
    await sns.confirm(CONFIRM_URL)
    assert len(amazon.asked) == 2


@pytest.mark.parametrize("amazon", [Amazon(302), Amazon(500), Amazon(body=b"x" * 100_000), Amazon(is_away=True)])
async def test_what_is_no_plain_answer_is_none_and_leads_nowhere_else(amazon: Amazon) -> None:
    with pytest.raises(SnsAway):
        await amazon.open().fetch_certificate(CERTIFICATE_URL)
    assert amazon.asked == [CERTIFICATE_URL]


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://evil.example/SimpleNotificationService-1.pem"])
async def test_nobody_else_is_asked(url: str) -> None:
    amazon = Amazon()
    with pytest.raises(SnsAway):
        await amazon.open().confirm(url)
    assert amazon.asked == []


async def test_many_certificates_are_not_all_remembered() -> None:
    amazon = Amazon()
    sns = amazon.open()
    urls = [CERTIFICATE_URL.replace("0123", f"{n:04}") for n in range(70)]
    for url in [*urls, urls[-1], urls[0]]:
        await sns.fetch_certificate(url)
    assert len(amazon.asked) == 71
