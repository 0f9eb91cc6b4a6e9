"""Which links of a profile's identifiers a server, or a merge by command, vouches for. Reads only."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx

_VOUCHED: Final = """
SELECT l.a, l.b FROM links l
 WHERE l.a = ANY ($1::uuid[]) AND l.b = ANY ($1::uuid[]) AND l.vouched_max IS NOT NULL
   AND NOT EXISTS (SELECT FROM bans WHERE bans.a = l.a AND bans.b = l.b AND bans.void_until >= l.vouched_max)
"""


async def load_vouched(tx: Tx, fragments: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Pairs among the fragments; what a ban made void isn't among them."""
    return [(row[0], row[1]) for row in await tx.fetch(_VOUCHED, list(fragments))]
