"""Webhooks in memory, for tests without a database and without a network."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from libs.kit.ids import make_uuid8
from services.ingest.errors import SnsAway
from services.ingest.ports import LiveWebhook, StoredWebhook, WebhookEndpoint, WebhookMapping, WebhookSecret
from services.ingest.store.webhooks import build_live

if TYPE_CHECKING:
    from libs.kit.db import Tx

Place = tuple[str, str]


class FakeWebhooks:
    """See services.ingest.ports.Webhooks."""

    def __init__(self) -> None:
        self._live: dict[Place, LiveWebhook] = {}

    def put(self, source_id: str, provider: str, *secrets: str, mapping: dict[str, Any] | None = None) -> None:
        """Raises ValueError for one that can't be served."""
        live = build_live(StoredWebhook(source_id, provider, secrets, mapping))
        if live is None:
            raise ValueError(f"{provider} can't be served")
        self._live[source_id, provider] = live

    def find_webhook(self, source_id: str, provider: str) -> LiveWebhook | None:
        return self._live.get((source_id, provider))


class FakeSns:
    """See services.ingest.ports.Sns. `confirmed` are the addresses asked for; `away` makes it answer nothing."""

    def __init__(self) -> None:
        self.certificates: dict[str, bytes] = {}
        self.confirmed: list[str] = []
        self.away = False

    async def fetch_certificate(self, url: str) -> bytes:
        if self.away or url not in self.certificates:
            raise SnsAway("Amazon SNS can't be reached.")
        return self.certificates[url]

    async def confirm(self, url: str) -> None:
        if self.away:
            raise SnsAway("Amazon SNS can't be reached.")
        self.confirmed.append(url)


class FakeWebhookStore:
    """See services.ingest.ports.WebhookStore. Nothing is rolled back."""

    def __init__(self) -> None:
        self._endpoints: dict[Place, WebhookEndpoint] = {}
        self._secrets: dict[Place, list[tuple[WebhookSecret, str]]] = {}
        self._mappings: dict[Place, list[WebhookMapping]] = {}
        self._made = 0

    async def list_endpoints(self, _tx: "Tx", source_id: str) -> list[WebhookEndpoint]:
        return [self._show(place) for place in sorted(self._endpoints) if place[0] == source_id]

    async def find(self, _tx: "Tx", source_id: str, provider: str) -> WebhookEndpoint | None:
        return self._show((source_id, provider)) if (source_id, provider) in self._endpoints else None

    async def create(self, _tx: "Tx", source_id: str, provider: str, now: datetime) -> bool:
        place = (source_id, provider)
        if place in self._endpoints:
            return False
        self._endpoints[place] = WebhookEndpoint(source_id, provider, None, now, now)
        self._secrets[place], self._mappings[place] = [], []
        return True

    async def delete(self, _tx: "Tx", source_id: str, provider: str) -> bool:
        return self._endpoints.pop((source_id, provider), None) is not None

    async def add_secret(self, _tx: "Tx", source_id: str, provider: str, secret: str, now: datetime) -> WebhookSecret:
        place = (source_id, provider)
        for known, text in self._secrets[place]:
            if text == secret:
                return known
        self._made += 1
        made = WebhookSecret(make_uuid8(self._made.to_bytes(16)), now)
        self._secrets[place].append((made, secret))
        self._endpoints[place] = replace(self._endpoints[place], updated_at=now)
        return made

    async def delete_secret(self, _tx: "Tx", source_id: str, provider: str, secret_id: UUID) -> bool:
        held = self._secrets.get((source_id, provider), [])
        kept = [one for one in held if one[0].id != secret_id]
        self._secrets[source_id, provider] = kept
        return len(kept) < len(held)

    async def delete_secrets(self, _tx: "Tx", source_id: str, provider: str) -> None:
        self._secrets[source_id, provider] = []

    async def add_mapping(self, tx: "Tx", source_id: str, provider: str, mapping: Mapping[str, Any], now: datetime) -> int:
        versions = self._mappings[source_id, provider]
        versions.append(WebhookMapping(len(versions) + 1, json.loads(json.dumps(mapping)), now))
        await self.activate_mapping(tx, source_id, provider, len(versions), now)
        return len(versions)

    async def list_mappings(self, _tx: "Tx", source_id: str, provider: str) -> list[WebhookMapping]:
        return self._mappings.get((source_id, provider), [])[::-1]

    async def activate_mapping(self, _tx: "Tx", source_id: str, provider: str, version: int, now: datetime) -> bool:
        place = (source_id, provider)
        if version not in {one.version for one in self._mappings.get(place, [])}:
            return False
        self._endpoints[place] = replace(self._endpoints[place], mapping_version=version, updated_at=now)
        return True

    async def load_all(self, _tx: "Tx") -> list[StoredWebhook]:
        return [
            StoredWebhook(
                *place,
                tuple(text for _, text in self._secrets[place]),
                next((one.mapping for one in self._mappings[place] if one.version == endpoint.mapping_version), None),
            )
            for place, endpoint in self._endpoints.items()
        ]

    def _show(self, place: Place) -> WebhookEndpoint:
        return replace(self._endpoints[place], secrets=tuple(secret for secret, _ in self._secrets[place]))
