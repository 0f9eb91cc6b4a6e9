"""What a shop developer and a marketer do with the platform: send, ask, wait for their own write."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

STAFF = {"Authorization": "Bearer dev-api-key"}
WAIT_MS = "10000"


@dataclass(frozen=True, slots=True)
class Visitor:
    urls: dict[str, str]
    client: httpx.AsyncClient

    async def send(self, *touchpoints: dict[str, Any], key: str = "dev-write-key") -> list[str]:
        """Touchpoint ids, in order; every one must be accepted."""
        answer = await self.client.post(
            f"{self.urls['ingest']}/v1/touchpoints", json={"touchpoints": list(touchpoints)}, auth=(key, "")
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["rejected"] == []
        return [entry["id"] for entry in body["accepted"]]

    async def batch(self, *calls: dict[str, Any], key: str = "dev-write-key") -> dict[str, Any]:
        """As a Segment SDK sends them; the lists of accepted and rejected."""
        headers = {"Prefer": "return=representation"}
        answer = await self.client.post(
            f"{self.urls['ingest']}/v1/batch", json={"batch": list(calls)}, auth=(key, ""), headers=headers
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def ask(self, service: str, path: str, **params: str) -> httpx.Response:
        return await self.client.get(f"{self.urls[service]}{path}", params=params, headers=STAFF)

    async def read(self, service: str, path: str, **params: str) -> Any:
        answer = await self.ask(service, path, **params)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def profile(self, ref: str, *, wait_for: str, facets: bool = False) -> dict[str, Any]:
        """The view once the touchpoint is in, and with `facets` once segments and points know of it, too."""
        params = {"wait_for": wait_for, "wait_ms": WAIT_MS, **({"wait_for_facets": "loyalty,segments"} if facets else {})}
        view: dict[str, Any] = await self.read("profile", f"/v1/profiles/{quote(ref, safe='')}", **params)
        return view

    async def command(
        self, service: str, path: str, body: dict[str, Any], *, method: str = "POST", **headers: str
    ) -> httpx.Response:
        return await self.client.request(method, f"{self.urls[service]}{path}", json=body, headers=STAFF | headers)
