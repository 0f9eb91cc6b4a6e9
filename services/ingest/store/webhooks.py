"""Endpoints of webhooks in PostgreSQL, and all of them in memory."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from libs.kit.errors import Unavailable
from libs.kit.freshness import KeptFresh
from libs.kit.logging import get_logger
from services.ingest.domain.webhooks.catalogue import find_provider
from services.ingest.domain.webhooks.mappings import CompiledMapping, compile_mapping
from services.ingest.ports import LiveWebhook, StoredWebhook, WebhookEndpoint, WebhookMapping, WebhookSecret, WebhookStore

if TYPE_CHECKING:
    import asyncpg

    from libs.kit.db import Database, Tx

_log = get_logger(__name__)
_REFRESH_S: Final = 2.0
"""A removed secret is worth nothing within 5 s: this, and the time of the query."""

_ENDPOINTS: Final = """
    SELECT w.source_id, w.provider, w.mapping_version, w.created_at, w.updated_at,
           coalesce(array_agg(s.id ORDER BY s.created_at, s.id) FILTER (WHERE s.id IS NOT NULL), '{}') AS ids,
           coalesce(array_agg(s.created_at ORDER BY s.created_at, s.id) FILTER (WHERE s.id IS NOT NULL), '{}') AS times
    FROM webhooks w LEFT JOIN webhook_secrets s USING (source_id, provider)
    WHERE w.source_id = $1 AND ($2::text IS NULL OR w.provider = $2)
    GROUP BY w.source_id, w.provider ORDER BY w.provider
"""
_LOAD: Final = """
    SELECT w.source_id, w.provider, m.mapping,
           (SELECT coalesce(array_agg(s.secret ORDER BY s.created_at, s.id), '{}') FROM webhook_secrets s
            WHERE s.source_id = w.source_id AND s.provider = w.provider) AS secrets
    FROM webhooks w
    LEFT JOIN webhook_mappings m ON m.source_id = w.source_id AND m.provider = w.provider AND m.version = w.mapping_version
"""


class PostgresWebhooks:
    """See services.ingest.ports.WebhookStore."""

    async def list_endpoints(self, tx: "Tx", source_id: str) -> list[WebhookEndpoint]:
        return [_read_endpoint(row) for row in await tx.fetch(_ENDPOINTS, source_id, None)]

    async def find(self, tx: "Tx", source_id: str, provider: str) -> WebhookEndpoint | None:
        row = await tx.fetchrow(_ENDPOINTS, source_id, provider)
        return None if row is None else _read_endpoint(row)

    async def create(self, tx: "Tx", source_id: str, provider: str, now: datetime) -> bool:
        status = await tx.execute(
            "INSERT INTO webhooks (source_id, provider, created_at, updated_at) VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING",
            source_id,
            provider,
            now,
        )
        if status.endswith(" 1"):
            return True
        await tx.execute("SELECT FROM webhooks WHERE source_id = $1 AND provider = $2 FOR UPDATE", source_id, provider)
        return False

    async def delete(self, tx: "Tx", source_id: str, provider: str) -> bool:
        status = await tx.execute("DELETE FROM webhooks WHERE source_id = $1 AND provider = $2", source_id, provider)
        return status.endswith(" 1")

    async def add_secret(self, tx: "Tx", source_id: str, provider: str, secret: str, now: datetime) -> WebhookSecret:
        row = await tx.fetchrow(
            """
            WITH known AS (
                SELECT id, created_at FROM webhook_secrets WHERE source_id = $1 AND provider = $2 AND secret = $3
            ), added AS (
                INSERT INTO webhook_secrets (id, source_id, provider, secret, created_at)
                SELECT gen_random_uuid(), $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM known) RETURNING id, created_at
            )
            SELECT id, created_at FROM known UNION ALL SELECT id, created_at FROM added
            """,
            source_id,
            provider,
            secret,
            now,
        )
        await _touch(tx, source_id, provider, now)
        return WebhookSecret(**dict(row or {}))

    async def delete_secret(self, tx: "Tx", source_id: str, provider: str, secret_id: UUID) -> bool:
        status = await tx.execute(
            "DELETE FROM webhook_secrets WHERE source_id = $1 AND provider = $2 AND id = $3", source_id, provider, secret_id
        )
        return status.endswith(" 1")

    async def delete_secrets(self, tx: "Tx", source_id: str, provider: str) -> None:
        await tx.execute("DELETE FROM webhook_secrets WHERE source_id = $1 AND provider = $2", source_id, provider)

    async def add_mapping(self, tx: "Tx", source_id: str, provider: str, mapping: Mapping[str, Any], now: datetime) -> int:
        version: int = await tx.fetchval(
            """
            INSERT INTO webhook_mappings (source_id, provider, version, mapping, created_at)
            SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4 FROM webhook_mappings WHERE source_id = $1 AND provider = $2
            RETURNING version
            """,
            source_id,
            provider,
            json.dumps(mapping),
            now,
        )
        await self.activate_mapping(tx, source_id, provider, version, now)
        return version

    async def list_mappings(self, tx: "Tx", source_id: str, provider: str) -> list[WebhookMapping]:
        rows = await tx.fetch(
            """
            SELECT version, mapping, created_at FROM webhook_mappings WHERE source_id = $1 AND provider = $2
            ORDER BY version DESC
            """,
            source_id,
            provider,
        )
        return [WebhookMapping(row["version"], json.loads(row["mapping"]), row["created_at"]) for row in rows]

    async def activate_mapping(self, tx: "Tx", source_id: str, provider: str, version: int, now: datetime) -> bool:
        status = await tx.execute(
            """
            UPDATE webhooks SET mapping_version = $3, updated_at = $4 WHERE source_id = $1 AND provider = $2
              AND EXISTS (SELECT FROM webhook_mappings WHERE source_id = $1 AND provider = $2 AND version = $3)
            """,
            source_id,
            provider,
            version,
            now,
        )
        return status.endswith(" 1")

    async def load_all(self, tx: "Tx") -> list[StoredWebhook]:
        return [
            StoredWebhook(
                row["source_id"],
                row["provider"],
                tuple(row["secrets"]),
                None if row["mapping"] is None else json.loads(row["mapping"]),
            )
            for row in await tx.fetch(_LOAD)
        ]


async def _touch(tx: "Tx", source_id: str, provider: str, now: datetime) -> None:
    await tx.execute("UPDATE webhooks SET updated_at = $3 WHERE source_id = $1 AND provider = $2", source_id, provider, now)


def _read_endpoint(row: "asyncpg.Record") -> WebhookEndpoint:
    secrets = tuple(WebhookSecret(*one) for one in zip(row["ids"], row["times"], strict=True))
    return WebhookEndpoint(
        row["source_id"], row["provider"], row["mapping_version"], row["created_at"], row["updated_at"], secrets
    )


class WebhookCache:
    """All endpoints in memory, read again every 2 s. While PostgreSQL is away the last state known holds."""

    def __init__(self, database: "Database", store: WebhookStore, *, refresh_s: float = _REFRESH_S) -> None:
        self._database = database
        self._store = store
        self._live: dict[tuple[str, str], LiveWebhook] | None = None
        self._stored: dict[tuple[str, str], StoredWebhook] = {}
        self._kept = KeptFresh(self.refresh, every_s=refresh_s, what="webhooks")

    def find_webhook(self, source_id: str, provider: str) -> LiveWebhook | None:
        if self._live is None:
            raise Unavailable("Webhooks can't be looked up yet: the database is away.")
        return self._live.get((source_id, provider))

    async def start(self) -> None:
        """Load, then keep fresh. With PostgreSQL away it starts empty and answers Unavailable until it could load once."""
        await self._kept.start()

    async def close(self) -> None:
        await self._kept.close()

    async def refresh(self) -> None:
        """What hasn't changed stays as it is: compiling a mapping costs milliseconds."""
        async with self._database.connection() as connection:
            stored = {(one.source_id, one.provider): one for one in await self._store.load_all(connection)}
        known = self._live or {}
        live: dict[tuple[str, str], LiveWebhook] = {}
        for place, one in stored.items():
            ready = known[place] if place in known and self._stored.get(place) == one else build_live(one)
            if ready is not None:
                live[place] = ready
        # One assignment each, so that a delivery never sees half of a refresh.
        self._stored = stored
        self._live = live


def build_live(stored: StoredWebhook) -> LiveWebhook | None:
    """None for one that this version of the software can't serve: a mapping written for another."""
    mapping = None if stored.mapping is None else compile_mapping(stored.mapping)
    if isinstance(mapping, CompiledMapping) or mapping is None:
        provider = find_provider(stored.provider, mapping)
        if provider is not None:
            return LiveWebhook(provider, stored.secrets)
    _log.warning("webhook_unusable", source=stored.source_id, provider=stored.provider)
    return None
