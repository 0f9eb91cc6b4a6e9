"""Requests to Amazon SNS: certificates, and the word that somebody listens. Only to addresses that were checked to be its own."""

import httpx

from services.ingest.domain.webhooks.public_keys import is_sns_url
from services.ingest.errors import SnsAway

_TIMEOUT_S = 5.0
_MAX_BYTES = 64 * 1024
_KEPT = 64


class HttpSns:
    """See services.ingest.ports.Sns. Certificates are remembered: their addresses name their content. Follows no redirect."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
        self._certificates: dict[str, bytes] = {}

    async def fetch_certificate(self, url: str) -> bytes:
        known = self._certificates.get(url)
        if known is not None:
            return known
        certificate = await self._get(url)
        while len(self._certificates) >= _KEPT:
            del self._certificates[next(iter(self._certificates))]
        self._certificates[url] = certificate
        return certificate

    async def confirm(self, url: str) -> None:
        await self._get(url)

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(self, url: str) -> bytes:
        if not is_sns_url(url):
            raise SnsAway("The address isn't one of Amazon SNS.")
        try:
            async with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise SnsAway(f"Amazon SNS answered {response.status_code}.")
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise SnsAway("Amazon SNS answered with more than was asked for.")
                return body
        except httpx.HTTPError as error:
            raise SnsAway("Amazon SNS can't be reached.") from error
