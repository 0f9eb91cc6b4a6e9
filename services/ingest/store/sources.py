"""Sources and write keys in schema `access`, which ingest may write."""

from dataclasses import astuple
from typing import TYPE_CHECKING

from libs.kit import auth
from libs.kit.auth import SOURCE_COLUMNS, SOURCE_FIELDS, Source, read_source
from services.ingest.ports import WriteKey

if TYPE_CHECKING:
    from libs.kit.db import Tx

_LIST = f"SELECT {SOURCE_COLUMNS} FROM access.sources WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - our own names
_FIND = f"SELECT {SOURCE_COLUMNS} FROM access.sources WHERE id = $1"  # noqa: S608
_LOCK = _FIND + " FOR UPDATE"
_SAVE = (
    "UPDATE access.sources SET "  # noqa: S608
    + ", ".join(f"{name} = ${number}" for number, name in enumerate(SOURCE_FIELDS, start=1))
    + " WHERE id = $1"
)


class PostgresSources:
    """See services.ingest.ports.SourceStore."""

    async def list_sources(self, tx: "Tx", *, after: str | None, limit: int) -> list[Source]:
        rows = await tx.fetch(_LIST, after, limit)
        return [read_source(row) for row in rows]

    async def find(self, tx: "Tx", source_id: str) -> Source | None:
        row = await tx.fetchrow(_FIND, source_id)
        return None if row is None else read_source(row)

    async def lock(self, tx: "Tx", source_id: str) -> Source | None:
        row = await tx.fetchrow(_LOCK, source_id)
        return None if row is None else read_source(row)

    async def create(self, tx: "Tx", source: Source) -> bool:
        return await auth.create_source(tx, source)

    async def save(self, tx: "Tx", source: Source) -> None:
        await tx.execute(_SAVE, *astuple(source))

    async def list_keys(self, tx: "Tx", source_id: str) -> list[WriteKey]:
        rows = await tx.fetch(
            """
            SELECT left(encode(hash, 'hex'), 16) AS id, created_at, revoked_at FROM access.write_keys
            WHERE source_id = $1 ORDER BY created_at, hash
            """,
            source_id,
        )
        return [WriteKey(**dict(row)) for row in rows]

    async def create_key(self, tx: "Tx", source_id: str) -> str:
        return await auth.create_write_key(tx, source_id)

    async def revoke_key(self, tx: "Tx", source_id: str, key_id: str, *, after_s: int = 0) -> WriteKey | None:
        row = await tx.fetchrow(
            f"""
            UPDATE access.write_keys SET revoked_at = least(revoked_at, now() + make_interval(secs => $3))
            WHERE source_id = $1 AND left(encode(hash, 'hex'), 16) = $2 AND {auth.KEY_IS_VALID}
            RETURNING left(encode(hash, 'hex'), 16) AS id, created_at, revoked_at
            """,  # noqa: S608 - our own text
            source_id,
            key_id,
            after_s,
        )
        return None if row is None else WriteKey(**dict(row))
