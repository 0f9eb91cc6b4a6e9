"""The versions of the rules of identity in PostgreSQL."""

from typing import Any, Final

import msgspec

from libs.kit.db import Tx
from services.profile.domain.rules import KindRules
from services.profile.ports import RulesVersion

_NEWEST: Final = "SELECT version, document, at, actor FROM identity_rules WHERE version < $1 ORDER BY version DESC LIMIT $2"
_INSERT: Final = "INSERT INTO identity_rules (version, document, at, actor) VALUES ($1, $2, $3, $4)"
_LAST: Final = (1 << 31) - 1
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, KindRules]).decode


class PostgresRules:
    """RulesStore over the service's own schema."""

    async def lock(self, tx: Tx) -> None:
        await tx.execute("LOCK TABLE identity_rules IN SHARE ROW EXCLUSIVE MODE")

    async def find_newest(self, tx: Tx) -> RulesVersion | None:
        found = await self.load_versions(tx, _LAST, 1)
        return found[0] if found else None

    async def insert(self, tx: Tx, made: RulesVersion) -> None:
        await tx.execute(_INSERT, made.version, _encode(made.kinds).decode(), made.at, made.actor)

    async def load_versions(self, tx: Tx, before: int, limit: int) -> list[RulesVersion]:
        return [_read(row) for row in await tx.fetch(_NEWEST, min(before, _LAST), limit)]


def _read(row: Any) -> RulesVersion:
    version, document, at, actor = row
    return RulesVersion(version, _decode(document), at, actor)
