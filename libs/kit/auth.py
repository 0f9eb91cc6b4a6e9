"""Who may send and who may ask: write keys name a source, API keys carry scopes. Only SHA-256 hashes of keys are stored.

Keys are 256 bits of entropy, so a plain hash can't be guessed back; looking one up by its hash leaks nothing through time.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Final, Literal, Protocol

from libs.kit.errors import ConfigurationRefused, Forbidden, NotFound, Unauthorized, Unavailable
from libs.kit.freshness import KeptFresh
from libs.kit.scopes import ALL_SCOPES, KeyScope

if TYPE_CHECKING:
    import asyncpg

    from libs.kit.db import Database, Tx

DEV_WRITE_KEY = "dev-write-key"
DEV_BROWSER_KEY = "dev-browser-key"
DEV_API_KEY = "dev-api-key"
ENGAGEMENT_SOURCE = "engagement"
KEY_ID_LENGTH = 16
_REFRESH_S = 2.0
"""A revoked key is refused within 5 s: this, and the time of the query."""


IpPolicy = Literal["none", "truncated", "full"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where touchpoints come from. `verified`: its claims about who somebody is are believed (a server, not a browser).

    `allowed_origins`: the websites a browser may use its keys from; empty: any. `max_events_per_s` with bursts of
    `burst_events`; None: no limit. `ip_policy`: what is kept of the addresses of those who visit.
    """

    id: str
    name: str
    kind: str
    verified: bool
    default_channel: str | None = None
    default_currency: str = "EUR"
    user_id_kind: str = "user_id"
    enabled: bool = True
    allowed_origins: tuple[str, ...] = ()
    max_events_per_s: int | None = None
    burst_events: int | None = None
    ip_policy: IpPolicy = "none"


SOURCE_FIELDS: Final = tuple(field.name for field in fields(Source))
SOURCE_COLUMNS: Final = ", ".join(SOURCE_FIELDS)
"""The columns of access.sources that make a Source, in the order of its fields."""


def read_source(row: "asyncpg.Record") -> Source:
    """A row of `SOURCE_COLUMNS`."""
    return Source(**{**dict(row), "allowed_origins": tuple(row["allowed_origins"])})


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of an API key."""

    name: str
    scopes: frozenset[str]

    def has(self, scope: str) -> bool:
        return scope in self.scopes or ALL_SCOPES in self.scopes


class Access(Protocol):
    """Looks keys up without I/O. None means: no such key, or revoked. Raises Unavailable while nothing could be loaded yet."""

    def source_for(self, write_key: str) -> Source | None:
        """The enabled source of an active write key."""
        ...

    def find_source(self, write_key: str) -> Source | None:
        """The source of an active write key, a disabled one too: what such a one sends is parked, not refused."""
        ...

    def source_by_id(self, source_id: str) -> Source | None: ...

    def principal_for(self, api_key: str) -> Principal | None: ...


def hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def key_id(key: str) -> str:
    """What a key is called where the key itself must not stand: the beginning of its hash."""
    return hash_key(key).hex()[:KEY_ID_LENGTH]


_DEV_HASHES = frozenset(hash_key(key) for key in (DEV_WRITE_KEY, DEV_BROWSER_KEY, DEV_API_KEY))


class FixedAccess:
    """Keys given by hand, for tests and tools."""

    def __init__(self, *, sources: Mapping[str, Source] | None = None, principals: Mapping[str, Principal] | None = None) -> None:
        self._sources = dict(sources or {})
        self._principals = dict(principals or {})

    def source_for(self, write_key: str) -> Source | None:
        source = self._sources.get(write_key)
        return source if source is not None and source.enabled else None

    def find_source(self, write_key: str) -> Source | None:
        return self._sources.get(write_key)

    def source_by_id(self, source_id: str) -> Source | None:
        return next((source for source in self._sources.values() if source.id == source_id), None)

    def principal_for(self, api_key: str) -> Principal | None:
        return self._principals.get(api_key)


KEY_IS_VALID: Final = "(revoked_at IS NULL OR revoked_at > now())"
"""A rotated key goes on for a while: its end is then in the future."""


class AccessCache:
    """All sources and active keys in memory, read again every 2 s. While PostgreSQL is away the last state known holds."""

    def __init__(self, database: "Database", *, env: str = "local", refresh_s: float = _REFRESH_S) -> None:
        self._database = database
        self._production = env == "production"
        self._sources: dict[bytes, Source] | None = None
        self._sources_by_id: dict[str, Source] = {}
        self._principals: dict[bytes, Principal] = {}
        self._kept = KeptFresh(self.refresh, every_s=refresh_s, what="access keys")

    async def start(self) -> None:
        """Load, then keep fresh. With PostgreSQL away it starts empty and answers Unavailable until it could load once."""
        await self._kept.start()

    async def close(self) -> None:
        await self._kept.close()

    async def refresh(self) -> None:
        async with self._database.connection() as connection:
            sources = await connection.fetch(f"SELECT {SOURCE_COLUMNS} FROM access.sources")  # noqa: S608 - our own names
            write_keys = await connection.fetch(f"SELECT hash, source_id FROM access.write_keys WHERE {KEY_IS_VALID}")  # noqa: S608 - our own text
            api_keys = await connection.fetch("SELECT hash, name, scopes FROM access.api_keys WHERE revoked_at IS NULL")
        if self._production and any(row["hash"] in _DEV_HASHES for row in (*write_keys, *api_keys)):
            raise ConfigurationRefused(
                "Development keys (dev-write-key, dev-browser-key or dev-api-key) are active and RAPPORT_ENV=production. "
                "Revoke them with `rapport keys revoke --dev`."
            )
        by_id = {row["id"]: read_source(row) for row in sources}
        # One assignment each, so that a request never sees half of a refresh.
        self._sources_by_id = by_id
        self._sources = {row["hash"]: by_id[row["source_id"]] for row in write_keys if row["source_id"] in by_id}
        self._principals = {row["hash"]: Principal(row["name"], frozenset(row["scopes"])) for row in api_keys}

    def source_for(self, write_key: str) -> Source | None:
        source = self.find_source(write_key)
        return source if source is not None and source.enabled else None

    def find_source(self, write_key: str) -> Source | None:
        if self._sources is None:
            raise Unavailable("Keys can't be checked yet: the database is away.")
        return self._sources.get(hash_key(write_key))

    def source_by_id(self, source_id: str) -> Source | None:
        return self._sources_by_id.get(source_id)

    def principal_for(self, api_key: str) -> Principal | None:
        if self._sources is None:
            raise Unavailable("Keys can't be checked yet: the database is away.")
        return self._principals.get(hash_key(api_key))


def authorise(access: Access, authorization: str | None, scope: KeyScope | None) -> Principal:
    """The principal of an `Authorization: Bearer` header. Raises Unauthorized, or Forbidden without the scope."""
    kind, _, key = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Unauthorized("Send an API key: `Authorization: Bearer <key>`.")
    principal = access.principal_for(key.strip())
    if principal is None:
        raise Unauthorized("The API key isn't known or was revoked.")
    if scope is not None and not principal.has(scope):
        raise Forbidden(f"The API key doesn't have the scope `{scope}`.")
    return principal


async def create_source(tx: "Tx", source: Source) -> bool:
    """False where a source of that id exists already; it is left as it is."""
    places = ", ".join(f"${number}" for number in range(1, len(SOURCE_FIELDS) + 1))
    status = await tx.execute(
        f"INSERT INTO access.sources ({SOURCE_COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO NOTHING",  # noqa: S608 - our own names
        *astuple(source),
    )
    return status.endswith(" 1")


async def create_write_key(tx: "Tx", source_id: str) -> str:
    """The key, shown this once. Raises NotFound for an unknown source."""
    key = f"rk_write_{secrets.token_urlsafe(32)}"
    status = await tx.execute(
        "INSERT INTO access.write_keys (hash, source_id) SELECT $1, id FROM access.sources WHERE id = $2",
        hash_key(key),
        source_id,
    )
    if status.endswith(" 0"):
        raise NotFound("There is no such source.")
    return key


async def create_api_key(tx: "Tx", name: str, scopes: Sequence[str]) -> str:
    """The key, shown this once."""
    key = f"rk_live_{secrets.token_urlsafe(32)}"
    await tx.execute(
        "INSERT INTO access.api_keys (hash, name, scopes) VALUES ($1, $2, $3::text[])", hash_key(key), name, sorted(set(scopes))
    )
    return key


async def revoke_key(tx: "Tx", key: str) -> bool:
    """Revoke a write or API key, given as itself. False where no active key is it."""
    return await _revoke(tx, [hash_key(key)])


async def revoke_key_with_id(tx: "Tx", wanted: str) -> bool:
    """Revoke the write or API key of that id (see `key_id`). False where no active key has it."""
    if len(wanted) != KEY_ID_LENGTH:
        return False
    rows = await tx.fetch(
        """
        SELECT hash FROM access.write_keys WHERE left(encode(hash, 'hex'), $2) = $1
        UNION ALL SELECT hash FROM access.api_keys WHERE left(encode(hash, 'hex'), $2) = $1
        """,
        wanted.lower(),
        KEY_ID_LENGTH,
    )
    return await _revoke(tx, [row["hash"] for row in rows])


async def revoke_api_keys_named(tx: "Tx", name: str) -> int:
    """Revoke all active API keys of that name; how many."""
    return len(
        await tx.fetch("UPDATE access.api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING 1", name)
    )


async def revoke_dev_keys(tx: "Tx") -> bool:
    return await _revoke(tx, sorted(_DEV_HASHES))


async def _revoke(tx: "Tx", hashes: Sequence[bytes]) -> bool:
    revoked = await tx.fetch(
        f"""
        WITH writers AS (UPDATE access.write_keys SET revoked_at = now() WHERE hash = ANY($1) AND {KEY_IS_VALID} RETURNING 1),
             callers AS (UPDATE access.api_keys SET revoked_at = now() WHERE hash = ANY($1) AND revoked_at IS NULL RETURNING 1)
        SELECT FROM writers UNION ALL SELECT FROM callers
        """,  # noqa: S608 - our own text
        hashes,
    )
    return bool(revoked)


async def ensure_internal_sources(tx: "Tx") -> None:
    """The source under which engagement's own touchpoints run. No write key: nobody outside may speak as it."""
    await create_source(tx, Source(id=ENGAGEMENT_SOURCE, name="Engagement", kind="server", verified=True))


async def ensure_dev_keys(database: "Database", *, env: str = "local") -> None:
    """The keys that README and demos use. Refused in production; a revoked one is active again afterwards."""
    if env == "production":
        raise ConfigurationRefused("Development keys are never made when RAPPORT_ENV=production.")
    async with database.transaction() as tx:
        await ensure_internal_sources(tx)
        await create_source(tx, Source(id="dev-server", name="Development server", kind="server", verified=True))
        await create_source(tx, Source(id="dev-web", name="Development website", kind="web", verified=False))
        for key, source_id in ((DEV_WRITE_KEY, "dev-server"), (DEV_BROWSER_KEY, "dev-web")):
            await tx.execute(
                """
                INSERT INTO access.write_keys (hash, source_id) VALUES ($1, $2)
                ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL WHERE write_keys.revoked_at IS NOT NULL
                """,
                hash_key(key),
                source_id,
            )
        await tx.execute(
            """
            INSERT INTO access.api_keys (hash, name, scopes) VALUES ($1, 'development', $2::text[])
            ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL WHERE api_keys.revoked_at IS NOT NULL
            """,
            hash_key(DEV_API_KEY),
            [ALL_SCOPES],
        )
