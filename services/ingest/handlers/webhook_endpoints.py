"""Endpoints of webhooks, for people who run them: which provider sends to which source, with which secrets, by which mapping."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from libs.kit.errors import FieldError
from services.ingest.domain.webhooks.catalogue import ADAPTERS, find_provider
from services.ingest.domain.webhooks.deliveries import Provider
from services.ingest.domain.webhooks.mappings import CompiledMapping, compile_mapping
from services.ingest.errors import BodyInvalid, WebhookNotFound, WebhookPartNotFound
from services.ingest.handlers.sources import get_source
from services.ingest.ports import SourceStore, WebhookEndpoint, WebhookMapping, WebhookSecret, WebhookStore

if TYPE_CHECKING:
    from libs.kit.db import Tx


async def list_endpoints(tx: "Tx", sources: SourceStore, store: WebhookStore, source_id: str) -> list[WebhookEndpoint]:
    """Raises SourceNotFound."""
    await get_source(tx, sources, source_id)
    return await store.list_endpoints(tx, source_id)


async def get_endpoint(tx: "Tx", store: WebhookStore, source_id: str, provider: str) -> WebhookEndpoint:
    """Raises WebhookNotFound."""
    endpoint = await store.find(tx, source_id, provider)
    if endpoint is None:
        raise WebhookNotFound
    return endpoint


async def put_endpoint(
    tx: "Tx",
    sources: SourceStore,
    store: WebhookStore,
    place: tuple[str, str],
    *,
    secrets: Sequence[str] | None,
    mapping: Mapping[str, Any] | None,
    now: datetime,
) -> tuple[WebhookEndpoint, bool]:
    """The endpoint, and whether it is new. Secrets that are given replace all others, a mapping is a new version.

    Raises SourceNotFound, and BodyInvalid for a mapping that is none, or where a provider without an adapter has none.
    """
    source_id, provider = place
    await get_source(tx, sources, source_id)
    check_provider(provider, mapping)
    is_new = await store.create(tx, source_id, provider, now)
    if is_new and mapping is None and find_provider(provider, None) is None:
        raise BodyInvalid("No adapter of that name came along.", errors=[FieldError("#/mapping", "a mapping is needed")])
    if secrets is not None:
        await store.delete_secrets(tx, source_id, provider)
        for secret in secrets:
            await store.add_secret(tx, source_id, provider, secret, now)
    if mapping is not None:
        await add_mapping(tx, store, place, mapping, now=now)
    return await get_endpoint(tx, store, source_id, provider), is_new


async def delete_endpoint(tx: "Tx", store: WebhookStore, source_id: str, provider: str) -> None:
    """Raises WebhookNotFound."""
    if not await store.delete(tx, source_id, provider):
        raise WebhookNotFound


async def add_secret(
    tx: "Tx", store: WebhookStore, place: tuple[str, str], secret: str, *, max_secrets: int, now: datetime
) -> WebhookSecret:
    """Raises WebhookNotFound, and BodyInvalid where there are enough already."""
    endpoint = await get_endpoint(tx, store, *place)
    if len(endpoint.secrets) >= max_secrets:
        raise BodyInvalid(f"A webhook has at most {max_secrets} secrets: remove one first.")
    return await store.add_secret(tx, *place, secret, now)


async def delete_secret(tx: "Tx", store: WebhookStore, place: tuple[str, str], secret_id: UUID) -> None:
    """Raises WebhookPartNotFound."""
    if not await store.delete_secret(tx, *place, secret_id):
        raise WebhookPartNotFound("The webhook has no secret of that id.")


async def list_mappings(tx: "Tx", store: WebhookStore, source_id: str, provider: str) -> list[WebhookMapping]:
    """Raises WebhookNotFound."""
    await get_endpoint(tx, store, source_id, provider)
    return await store.list_mappings(tx, source_id, provider)


async def add_mapping(tx: "Tx", store: WebhookStore, place: tuple[str, str], mapping: Mapping[str, Any], *, now: datetime) -> int:
    """The version it has, which is in force. Raises WebhookNotFound, and BodyInvalid for a mapping that is none."""
    check_provider(place[1], mapping)
    await get_endpoint(tx, store, *place)
    return await store.add_mapping(tx, *place, mapping, now)


async def activate_mapping(
    tx: "Tx", store: WebhookStore, place: tuple[str, str], version: int, *, now: datetime
) -> WebhookEndpoint:
    """Raises WebhookPartNotFound."""
    if not await store.activate_mapping(tx, *place, version, now):
        raise WebhookPartNotFound("The webhook has no mapping of that version.")
    return await get_endpoint(tx, store, *place)


def check_provider(provider: str, mapping: Mapping[str, Any] | None) -> Provider | None:
    """The provider by this mapping. Raises BodyInvalid for a mapping that is none, or one that nobody would ask."""
    if mapping is None:
        return find_provider(provider, None)
    if provider in ADAPTERS:
        raise BodyInvalid("This provider has an adapter of its own.", errors=[FieldError("#/mapping", "can't have a mapping")])
    if "\\u0000" in json.dumps(mapping):
        raise BodyInvalid("The mapping holds a NUL.", errors=[FieldError("#/mapping", "must not hold U+0000")])
    compiled = compile_mapping(mapping)
    if not isinstance(compiled, CompiledMapping):
        raise BodyInvalid("The mapping can't be used.", errors=compiled)
    return find_provider(provider, compiled)
