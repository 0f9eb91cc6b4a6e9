"""Posts a body to a checked address. Follows no redirect, reads no answer but its status."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import httpx

from libs.durable.webhooks.guard import Resolve, UrlRefused, check_url, resolve_host, resolve_public
from libs.durable.webhooks.model import Failure

_MOST_ADDRESSES: Final = 3
_LONGEST_PAUSE_S: Final = 86_400.0
_OK: Final = range(200, 300)
_USER_AGENT: Final = "Rapport-Webhooks/1"


class DeliveryFailed(Exception):
    """The receiver didn't take it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class WebhookClient:
    """`timeout_s`: for all of it, from the look-up of the name to the status."""

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout_s: float = 15.0,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.allow_private = allow_private
        self._timeout_s = timeout_s
        self._resolve = resolve
        # A connection is never used twice: the next name that has this address must show a certificate of its own.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(
            verify=tls or ssl.create_default_context(), limits=limits, timeout=timeout_s, trust_env=False, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status, one of success. Raises DeliveryFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after_s = await self._post(url, body, headers)
        except UrlRefused as error:
            raise DeliveryFailed(Failure("address_refused")) from error
        except TimeoutError as error:
            raise DeliveryFailed(Failure("timeout")) from error
        except (httpx.TransportError, httpx.InvalidURL, OSError, UnicodeError) as error:
            name = "timeout" if isinstance(error, httpx.TimeoutException) else "not_reached"
            raise DeliveryFailed(Failure(name)) from error
        if status not in _OK:
            raise DeliveryFailed(Failure("status", status, retry_after_s))
        return status

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, float | None]:
        parts, host, port = check_url(url, allow_private=self.allow_private)
        addresses = await resolve_public(host, port, self._resolve, allow_private=self.allow_private)
        sent = {"content-type": "application/json", "user-agent": _USER_AGENT, **headers, "host": parts.netloc}
        for number, address in enumerate(addresses[:_MOST_ADDRESSES], start=1):
            # The address that was checked is the one that is connected to; the name stays in Host, in TLS and in the certificate.
            pinned = httpx.URL(url).copy_with(host=address)
            request = self._http.build_request("POST", pinned, content=body, headers=sent, extensions={"sni_hostname": host})
            request.extensions["timeout"] = httpx.Timeout(self._timeout_s).as_dict()
            try:
                answer = await self._http.send(request, stream=True)
            except httpx.ConnectError:
                if number == min(len(addresses), _MOST_ADDRESSES):
                    raise
                continue
            await answer.aclose()
            return answer.status_code, _read_retry_after(answer.headers.get("retry-after"))
        raise OSError("the name has no address")


def _read_retry_after(text: str | None) -> float | None:
    """Seconds, a day at most; the form with a date isn't worth a parser here."""
    return min(float(text), _LONGEST_PAUSE_S) if text is not None and text.isascii() and text.isdecimal() else None
