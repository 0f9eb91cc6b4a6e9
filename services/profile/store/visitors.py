"""Anonymous ids that a server tied to somebody known."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx

_SAVE: Final = "INSERT INTO vouched_visitors (address) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING"


class PostgresVisitors:
    """VisitorStore over the service's own schema."""

    async def save_vouched(self, tx: Tx, addresses: Sequence[UUID]) -> None:
        await tx.execute(_SAVE, addresses)


async def is_vouched(tx: Tx, address: UUID) -> bool:
    return await tx.fetchval("SELECT true FROM vouched_visitors WHERE address = $1", address) is not None
