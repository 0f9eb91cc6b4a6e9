"""What became of touchpoints, for those who wait for them; and the installation's generation."""

from uuid import UUID

from libs.kit.db import Tx
from libs.subscriber.waiting import AppliedOutcome

_DISMISSED = "SELECT id, outcome FROM touchpoint_outcomes WHERE id = ANY($1::uuid[])"
_APPLIED = """
SELECT t.id, coalesce(o.outcome, 'applied')
  FROM touchpoints t LEFT JOIN touchpoint_outcomes o ON o.id = t.id AND o.outcome = 'ignored'
 WHERE t.id = ANY($1::uuid[])
"""


async def find_outcomes(tx: Tx, touchpoint_ids: list[UUID]) -> dict[UUID, AppliedOutcome]:
    """Of those whose effects are in, or never will be. A dead letter that was replayed and applied counts as applied."""
    found: dict[UUID, AppliedOutcome] = {row[0]: row[1] for row in await tx.fetch(_APPLIED, touchpoint_ids)}
    left = [touchpoint_id for touchpoint_id in touchpoint_ids if touchpoint_id not in found]
    if left:
        found.update((row[0], row[1]) for row in await tx.fetch(_DISMISSED, left))
    return found


async def load_generation(tx: Tx) -> int:
    """0 until a rebuild or a restore raises it."""
    generation: int = await tx.fetchval("SELECT value FROM generation")
    return generation
