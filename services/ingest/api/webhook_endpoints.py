"""`/v1/sources/{id}/webhooks`: which providers send to a source, with which secrets, by which mapping."""

import json
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from libs.kit.auth import Principal
from libs.kit.http import StrictModel, requires
from services.ingest.api.deps import ApiDeps
from services.ingest.api.sources import Instant, SourceId
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.tolerant import encode
from services.ingest.domain.webhooks.deliveries import Delivery, Provider
from services.ingest.errors import SourceNotFound, WebhookNotFound
from services.ingest.handlers import webhook_endpoints as handlers
from services.ingest.handlers.take_webhooks import Address
from services.ingest.ports import WebhookEndpoint

MAX_SECRETS = 10
ProviderName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Secret = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class WebhookIn(StrictModel):
    """`secrets` replace those there are; a `mapping` becomes a new version, in force. What isn't given stays."""

    secrets: list[Secret] | None = Field(default=None, max_length=MAX_SECRETS)
    mapping: dict[str, Any] | None = None


class SecretIn(StrictModel):
    secret: Secret


class MappingIn(StrictModel):
    mapping: dict[str, Any]


class SampleIn(StrictModel):
    """`body` is JSON, or as a text the body itself (a form, say)."""

    body: dict[str, Any] | list[Any] | str
    headers: dict[str, str] = Field(default_factory=dict)


class TryIn(StrictModel):
    """Without a `mapping` the webhook is tried as it is."""

    samples: list[SampleIn] = Field(min_length=1, max_length=50)
    mapping: dict[str, Any] | None = None


class SecretOut(BaseModel):
    """The secret itself is never shown."""

    id: UUID
    created_at: Instant


class WebhookOut(BaseModel):
    """`path` is what to give the provider, behind this service's host."""

    source: str
    provider: str
    path: str
    secrets: list[SecretOut]
    mapping_version: int | None
    created_at: Instant
    updated_at: Instant


class WebhooksOut(BaseModel):
    items: list[WebhookOut]
    next_cursor: None = None


class MappingOut(BaseModel):
    version: int
    mapping: dict[str, Any]
    created_at: Instant


class MappingsOut(BaseModel):
    """Newest first; `active` is the version in force."""

    items: list[MappingOut]
    active: int | None
    next_cursor: None = None


class VersionOut(BaseModel):
    version: int


class RejectedOut(BaseModel):
    index: int
    reason: str
    detail: str


class SampleOut(BaseModel):
    """`outcome`: unreadable bodies would be parked whole. `touchpoints` as `POST /v1/touchpoints` would take them."""

    outcome: Literal["accepted", "rejected", "ignored", "unreadable"]
    touchpoints: list[dict[str, Any]]
    rejected: list[RejectedOut]
    ignored: list[str]
    detail: str | None = None


class TryOut(BaseModel):
    results: list[SampleOut]


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/sources/{source_id}/webhooks", tags=["webhooks"])
    reads, writes = requires("sources:read"), requires("sources:write")
    store, sources = deps.webhook_store, deps.source_store

    @router.get("")
    async def list_webhooks(source_id: SourceId, _principal: Annotated[Principal, reads]) -> WebhooksOut:
        async with deps.database.connection() as connection:
            endpoints = await handlers.list_endpoints(connection, sources, store, source_id)
        return WebhooksOut(items=[_show(endpoint) for endpoint in endpoints])

    @router.put("/{provider}")
    async def put_webhook(
        source_id: SourceId, provider: ProviderName, body: WebhookIn, response: Response, _principal: Annotated[Principal, writes]
    ) -> WebhookOut:
        """Make it, or change it. In force everywhere within 5 s."""
        async with deps.database.transaction() as tx:
            endpoint, is_new = await handlers.put_endpoint(
                tx,
                sources,
                store,
                (source_id, provider),
                secrets=body.secrets,
                mapping=body.mapping,
                now=deps.clock.now(),
            )
        await deps.refresh_webhooks()
        response.status_code = 201 if is_new else 200
        return _show(endpoint)

    @router.get("/{provider}")
    async def get_webhook(source_id: SourceId, provider: ProviderName, _principal: Annotated[Principal, reads]) -> WebhookOut:
        async with deps.database.connection() as connection:
            return _show(await handlers.get_endpoint(connection, store, source_id, provider))

    @router.delete("/{provider}", status_code=204)
    async def delete_webhook(source_id: SourceId, provider: ProviderName, _principal: Annotated[Principal, writes]) -> None:
        """With its secrets and mappings. Deliveries are answered 404 from then on."""
        async with deps.database.transaction() as tx:
            await handlers.delete_endpoint(tx, store, source_id, provider)
        await deps.refresh_webhooks()

    _add_secrets(router, deps)
    _add_mappings(router, deps)
    _add_test(router, deps)
    return router


def _add_secrets(router: APIRouter, deps: ApiDeps) -> None:
    writes = requires("sources:write")
    store = deps.webhook_store

    @router.post("/{provider}/secrets", status_code=201)
    async def add_secret(
        source_id: SourceId, provider: ProviderName, body: SecretIn, _principal: Annotated[Principal, writes]
    ) -> SecretOut:
        """Several may be valid at once: add the new one, change it at the provider, remove the old one."""
        async with deps.database.transaction() as tx:
            secret = await handlers.add_secret(
                tx, store, (source_id, provider), body.secret, max_secrets=MAX_SECRETS, now=deps.clock.now()
            )
        await deps.refresh_webhooks()
        return SecretOut(id=secret.id, created_at=secret.created_at)

    @router.delete("/{provider}/secrets/{secret_id}", status_code=204)
    async def delete_secret(
        source_id: SourceId, provider: ProviderName, secret_id: UUID, _principal: Annotated[Principal, writes]
    ) -> None:
        """What is signed with it is refused everywhere within 5 s."""
        async with deps.database.transaction() as tx:
            await handlers.delete_secret(tx, store, (source_id, provider), secret_id)
        await deps.refresh_webhooks()


def _add_mappings(router: APIRouter, deps: ApiDeps) -> None:
    reads, writes = requires("sources:read"), requires("sources:write")
    store = deps.webhook_store

    @router.get("/{provider}/mappings")
    async def list_mappings(source_id: SourceId, provider: ProviderName, _principal: Annotated[Principal, reads]) -> MappingsOut:
        async with deps.database.connection() as connection:
            endpoint = await handlers.get_endpoint(connection, store, source_id, provider)
            mappings = await handlers.list_mappings(connection, store, source_id, provider)
        items = [MappingOut(version=one.version, mapping=one.mapping, created_at=one.created_at) for one in mappings]
        return MappingsOut(items=items, active=endpoint.mapping_version)

    @router.post("/{provider}/mappings", status_code=201)
    async def add_mapping(
        source_id: SourceId, provider: ProviderName, body: MappingIn, _principal: Annotated[Principal, writes]
    ) -> VersionOut:
        """A new version, in force at once. Older ones stay, to go back to."""
        async with deps.database.transaction() as tx:
            version = await handlers.add_mapping(tx, store, (source_id, provider), body.mapping, now=deps.clock.now())
        await deps.refresh_webhooks()
        return VersionOut(version=version)

    @router.post("/{provider}/mappings/{version}/activate")
    async def activate_mapping(
        source_id: SourceId, provider: ProviderName, version: Version, _principal: Annotated[Principal, writes]
    ) -> WebhookOut:
        async with deps.database.transaction() as tx:
            endpoint = await handlers.activate_mapping(tx, store, (source_id, provider), version, now=deps.clock.now())
        await deps.refresh_webhooks()
        return _show(endpoint)


def _add_test(router: APIRouter, deps: ApiDeps) -> None:
    reads = requires("sources:read")

    @router.post("/{provider}/test")
    async def try_webhook(
        source_id: SourceId, provider: ProviderName, body: TryIn, _principal: Annotated[Principal, reads]
    ) -> TryOut:
        """What samples would become, by the mapping given or as the webhook is. Nothing is kept, no signature is asked for."""
        source = deps.sources.source_by_id(source_id)
        if source is None:
            raise SourceNotFound("There is no source of that id.")
        arrival = Arrival(source, f"/v1/webhooks/{provider}/{source_id}", deps.clock.now())
        tried = handlers.check_provider(provider, body.mapping) if body.mapping is not None else None
        if tried is None:
            tried = _find_provider(deps, source_id, provider)
        return TryOut(results=[_try_sample(deps, tried, sample, arrival) for sample in body.samples])


def _find_provider(deps: ApiDeps, source_id: str, provider: str) -> Provider:
    """The webhook's as it is, else what came along: a sample may be tried before there is a webhook."""
    try:
        return deps.webhook_intake.find(Address(provider, source_id)).provider
    except WebhookNotFound:
        shipped = handlers.check_provider(provider, None)
        if shipped is None:
            raise
        return shipped


def _try_sample(deps: ApiDeps, provider: Provider, sample: SampleIn, arrival: Arrival) -> SampleOut:
    data = sample.body.encode("utf-8", "replace") if isinstance(sample.body, str) else msgspec.json.encode(sample.body)
    delivery = Delivery(data, {name.lower(): value for name, value in sample.headers.items()})
    tried = deps.webhook_intake.try_out(provider, delivery, arrival)
    if isinstance(tried, Refusal):
        return SampleOut(outcome="unreadable", touchpoints=[], rejected=[], ignored=[], detail=tried.detail)
    reading, receipt = tried
    outcome: Literal["accepted", "rejected", "ignored"] = (
        "rejected" if receipt.rejected else "accepted" if receipt.accepted else "ignored"
    )
    return SampleOut(
        outcome=outcome,
        touchpoints=[json.loads(encode(touchpoint)) for touchpoint in reading.touchpoints],
        rejected=[RejectedOut(index=one.index, reason=one.reason.value, detail=one.detail) for one in receipt.rejected],
        ignored=list(reading.ignored),
    )


def _show(endpoint: WebhookEndpoint) -> WebhookOut:
    return WebhookOut(
        source=endpoint.source_id,
        provider=endpoint.provider,
        path=f"/v1/webhooks/{endpoint.provider}/{endpoint.source_id}",
        secrets=[SecretOut(id=secret.id, created_at=secret.created_at) for secret in endpoint.secrets],
        mapping_version=endpoint.mapping_version,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
    )
