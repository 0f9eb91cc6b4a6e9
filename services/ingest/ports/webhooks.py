"""Endpoints of webhooks, and Amazon's notification service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from services.ingest.domain.webhooks.deliveries import Provider

if TYPE_CHECKING:
    from libs.kit.db import Tx


@dataclass(frozen=True, slots=True)
class LiveWebhook:
    """An endpoint ready for deliveries."""

    provider: Provider
    secrets: tuple[str, ...]


class Webhooks(Protocol):
    """Looks endpoints of webhooks up in memory. None: the source has none of that provider.

    Raises Unavailable before anything was loaded.
    """

    def find_webhook(self, source_id: str, provider: str) -> "LiveWebhook | None": ...


class Sns(Protocol):
    """What Amazon's notification service wants fetched from it. The addresses given have been checked to be its own.

    Both raise Unavailable where it doesn't answer as it should.
    """

    async def fetch_certificate(self, url: str) -> bytes: ...

    async def confirm(self, url: str) -> None: ...


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A secret as it may be shown: not at all."""

    id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """`mapping_version`: the mapping in force, where the endpoint has one of its own."""

    source_id: str
    provider: str
    mapping_version: int | None
    created_at: datetime
    updated_at: datetime
    secrets: tuple[WebhookSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookMapping:
    version: int
    mapping: dict[str, Any]
    created_at: datetime


class WebhookStore(Protocol):
    """Endpoints of webhooks, their secrets, and every version of their mappings. Works in the transaction it is given."""

    async def list_endpoints(self, tx: "Tx", source_id: str) -> list[WebhookEndpoint]:
        """By provider."""
        ...

    async def find(self, tx: "Tx", source_id: str, provider: str) -> WebhookEndpoint | None: ...

    async def create(self, tx: "Tx", source_id: str, provider: str, now: datetime) -> bool:
        """False where there is one; it is left as it is. Nobody else changes it until the end of the transaction."""
        ...

    async def delete(self, tx: "Tx", source_id: str, provider: str) -> bool:
        """With all it has; False where there is none."""
        ...

    async def add_secret(self, tx: "Tx", source_id: str, provider: str, secret: str, now: datetime) -> WebhookSecret:
        """The one that is there, where it is there already."""
        ...

    async def delete_secret(self, tx: "Tx", source_id: str, provider: str, secret_id: UUID) -> bool: ...

    async def delete_secrets(self, tx: "Tx", source_id: str, provider: str) -> None: ...

    async def add_mapping(self, tx: "Tx", source_id: str, provider: str, mapping: Mapping[str, Any], now: datetime) -> int:
        """The next version, which is in force from now on."""
        ...

    async def list_mappings(self, tx: "Tx", source_id: str, provider: str) -> list[WebhookMapping]:
        """Newest first."""
        ...

    async def activate_mapping(self, tx: "Tx", source_id: str, provider: str, version: int, now: datetime) -> bool:
        """False where there is no such version."""
        ...

    async def load_all(self, tx: "Tx") -> "list[StoredWebhook]": ...


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """An endpoint with all that deliveries need."""

    source_id: str
    provider: str
    secrets: tuple[str, ...]
    mapping: dict[str, Any] | None
