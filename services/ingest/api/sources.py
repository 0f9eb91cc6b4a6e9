"""`/v1/sources`: where touchpoints come from, and their write keys."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, PlainSerializer

from libs.durable.cursors import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor
from libs.identity import normalise_kind
from libs.kit.access_tables import SOURCE_ID_PATTERN
from libs.kit.auth import IpPolicy, Principal, Source
from libs.kit.http import StrictModel, requires
from libs.kit.origins import read_origin
from libs.kit.times import format_utc
from libs.orders.currencies import is_currency
from services.ingest.api.deps import ApiDeps
from services.ingest.api.source_stats import CountsOut, show_counts
from services.ingest.domain.vocabulary import Channel
from services.ingest.errors import BodyInvalid
from services.ingest.handlers import sources as handlers
from services.ingest.ports import WriteKey

SourceKind = Literal["web", "mobile", "server", "pos", "webhook", "import"]
SourceId = Annotated[str, Path(max_length=64)]
Instant = Annotated[AwareDatetime, PlainSerializer(format_utc, return_type=str)]
_BELIEVED = frozenset({"server", "pos", "webhook", "import"})
"""Kinds whose claims about who somebody is come from the business itself."""
_MAY_BE_NULL = frozenset({"default_channel", "max_events_per_s", "burst_events"})


def _check_currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError("no currency of ISO 4217")
    return code


def _check_kind(kind: str) -> str:
    if normalise_kind(kind) != kind:
        raise ValueError("an identifier kind: lower-case letters, digits, `_`, `.`, `-`")
    return kind


def _check_origin(text: str) -> str:
    origin = read_origin(text)
    if origin is None:
        raise ValueError("an origin: `https://shop.example`, or `https://*.shop.example` for every subdomain")
    return origin


Origins = Annotated[list[Annotated[str, AfterValidator(_check_origin)]], Field(max_length=100)]
EventsPerSecond = Annotated[int, Field(ge=1, le=100_000)]
BurstEvents = Annotated[int, Field(ge=1, le=1_000_000)]
Currency = Annotated[str, AfterValidator(_check_currency)]
IdentifierKind = Annotated[str, AfterValidator(_check_kind)]


class SourceIn(StrictModel):
    """`verified`: whether its claims about who somebody is are believed; by default a browser's or an app's are not.

    `allowed_origins`: websites from which a browser may use its keys (kinds web and mobile; empty: any).
    `max_events_per_s`, in bursts of `burst_events` (by default as many): above it, 429 with `Retry-After`.
    `ip_policy`: what is kept of visitors' addresses: `none`, their network (`truncated`), or all (`full`).
    """

    id: str | None = Field(default=None, pattern=SOURCE_ID_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    kind: SourceKind
    verified: bool | None = None
    default_channel: Channel | None = None
    default_currency: Currency = "EUR"
    user_id_kind: IdentifierKind = "user_id"
    enabled: bool = True
    allowed_origins: Origins = Field(default_factory=list)
    max_events_per_s: EventsPerSecond | None = None
    burst_events: BurstEvents | None = None
    ip_policy: IpPolicy = "none"


class SourcePatch(StrictModel):
    """Only what is given changes."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    kind: SourceKind | None = None
    verified: bool | None = None
    default_channel: Channel | None = None
    default_currency: Currency | None = None
    user_id_kind: IdentifierKind | None = None
    enabled: bool | None = None
    allowed_origins: Origins | None = None
    max_events_per_s: EventsPerSecond | None = None
    burst_events: BurstEvents | None = None
    ip_policy: IpPolicy | None = None


class SourceOut(BaseModel):
    id: str
    name: str
    kind: str
    verified: bool
    default_channel: str | None
    default_currency: str
    user_id_kind: str
    enabled: bool
    allowed_origins: list[str]
    max_events_per_s: int | None
    burst_events: int | None
    ip_policy: IpPolicy


class SourceDetailOut(SourceOut):
    """`today` counts since midnight UTC; `tracking_plan` judges what it sends."""

    tracking_plan: str | None
    last_seen_at: Instant | None
    today: CountsOut


class SourcesOut(BaseModel):
    items: list[SourceOut]
    next_cursor: str | None


class KeyOut(BaseModel):
    """`id` is the beginning of the key's hash. A key opens nothing from `revoked_at` on, which may lie in the future."""

    id: str
    created_at: Instant
    revoked_at: Instant | None


class KeysOut(BaseModel):
    items: list[KeyOut]
    next_cursor: None = None


class NewKeyOut(BaseModel):
    """The key itself is shown this once: only its hash is kept."""

    write_key: str


class RotationIn(StrictModel):
    """How long the old key goes on, at most 90 days: time for the senders to move. 0 for one that got into wrong hands."""

    old_valid_for_s: Annotated[int, Field(ge=0, le=90 * 24 * 3600)] = 24 * 3600


class RotatedOut(NewKeyOut):
    old: KeyOut


def build_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/sources", tags=["sources"])
    reads = requires("sources:read")
    writes = requires("sources:write")
    store = deps.source_store

    @router.get("")
    async def list_sources(
        _principal: Annotated[Principal, reads],
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> SourcesOut:
        after = None if cursor is None else decode_cursor(cursor, str)[0]
        async with deps.database.connection() as connection:
            found = await store.list_sources(connection, after=after, limit=limit + 1)
        page = found[:limit]
        return SourcesOut(
            items=[_show(source) for source in page], next_cursor=encode_cursor((page[-1].id,)) if len(found) > limit else None
        )

    @router.post("", status_code=201)
    async def create_source(body: SourceIn, response: Response, _principal: Annotated[Principal, writes]) -> SourceOut:
        """It has no key yet: make one under `/keys`."""
        source = Source(
            id=body.id or _make_id(body.name),
            name=body.name,
            kind=body.kind,
            verified=body.kind in _BELIEVED if body.verified is None else body.verified,
            default_channel=body.default_channel,
            default_currency=body.default_currency,
            user_id_kind=body.user_id_kind,
            enabled=body.enabled,
            allowed_origins=tuple(body.allowed_origins),
            max_events_per_s=body.max_events_per_s,
            burst_events=body.burst_events,
            ip_policy=body.ip_policy,
        )
        async with deps.database.transaction() as tx:
            await handlers.create_source(tx, store, source)
        await deps.refresh_access()
        response.headers["location"] = f"/v1/sources/{source.id}"
        return _show(source)

    @router.get("/{source_id}")
    async def get_source(source_id: SourceId, _principal: Annotated[Principal, reads]) -> SourceDetailOut:
        """What other processes counted shows within some seconds."""
        await deps.upkeep.flush()
        today = deps.clock.now().date()
        async with deps.database.connection() as connection:
            source = await handlers.get_source(connection, store, source_id)
            counts = await deps.tallies.list_counts(connection, source_id, since=today, until=today)
            seen_at = await deps.tallies.find_seen(connection, source_id)
            plan = (await deps.plans.find_assigned(connection, source_id)) or None
        return SourceDetailOut(**_show(source).model_dump(), tracking_plan=plan, last_seen_at=seen_at, today=show_counts(counts))

    @router.patch("/{source_id}")
    async def change_source(source_id: SourceId, body: SourcePatch, _principal: Annotated[Principal, writes]) -> SourceOut:
        """In force everywhere within 5 s. A disabled source's touchpoints are parked, not lost."""
        changes = body.model_dump(exclude_unset=True)
        if any(value is None and name not in _MAY_BE_NULL for name, value in changes.items()):
            raise BodyInvalid(f"Only {', '.join(sorted(_MAY_BE_NULL))} may be null.")
        if "allowed_origins" in changes:
            changes["allowed_origins"] = tuple(changes["allowed_origins"])
        async with deps.database.transaction() as tx:
            source = await handlers.change_source(tx, store, source_id, changes)
        await deps.refresh_access()
        return _show(source)

    _add_keys(router, deps)
    return router


def _add_keys(router: APIRouter, deps: ApiDeps) -> None:
    reads = requires("sources:read")
    writes = requires("sources:write")
    store = deps.source_store

    @router.get("/{source_id}/keys")
    async def list_keys(source_id: SourceId, _principal: Annotated[Principal, reads]) -> KeysOut:
        async with deps.database.connection() as connection:
            keys = await handlers.list_keys(connection, store, source_id)
        return KeysOut(items=[_show_key(key) for key in keys])

    @router.post("/{source_id}/keys", status_code=201)
    async def create_key(source_id: SourceId, _principal: Annotated[Principal, writes]) -> NewKeyOut:
        """Several may be valid at once."""
        async with deps.database.transaction() as tx:
            key = await store.create_key(tx, source_id)
        await deps.refresh_access()
        return NewKeyOut(write_key=key)

    @router.post("/{source_id}/keys/{key_id}/rotate", status_code=201)
    async def rotate_key(
        source_id: SourceId, key_id: str, _principal: Annotated[Principal, writes], body: RotationIn | None = None
    ) -> RotatedOut:
        """A new key; the old one goes on for a day, or as long as you say, while the senders move over."""
        valid_for_s = (body or RotationIn()).old_valid_for_s
        async with deps.database.transaction() as tx:
            key, old = await handlers.rotate_key(tx, store, source_id, key_id, old_valid_for_s=valid_for_s)
        await deps.refresh_access()
        return RotatedOut(write_key=key, old=_show_key(old))

    @router.delete("/{source_id}/keys/{key_id}", status_code=204)
    async def revoke_key(source_id: SourceId, key_id: str, _principal: Annotated[Principal, writes]) -> None:
        """Refused everywhere within 5 s."""
        async with deps.database.transaction() as tx:
            await handlers.revoke_key(tx, store, source_id, key_id)
        await deps.refresh_access()


def _show_key(key: WriteKey) -> KeyOut:
    return KeyOut(id=key.id, created_at=key.created_at, revoked_at=key.revoked_at)


def _make_id(name: str) -> str:
    """A readable id out of the name."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")
    if not words:
        raise BodyInvalid("No id can be made of this name: give one.")
    return words


def _show(source: Source) -> SourceOut:
    return SourceOut(
        id=source.id,
        name=source.name,
        kind=source.kind,
        verified=source.verified,
        default_channel=source.default_channel,
        default_currency=source.default_currency,
        user_id_kind=source.user_id_kind,
        enabled=source.enabled,
        allowed_origins=list(source.allowed_origins),
        max_events_per_s=source.max_events_per_s,
        burst_events=source.burst_events,
        ip_policy=source.ip_policy,
    )
