"""What privacy requests said of fragments. One row counts revisions: who holds it changes, so they commit in order."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from services.ingest.domain.suppressions import NOTHING_SAID, Suppression, apply_request
from services.ingest.ports import PrivacyRequest

if TYPE_CHECKING:
    import asyncpg

    from libs.kit.db import Tx

_READ = "SELECT fragment, suppressed, cutoff, decided_at, decided_by FROM suppressions WHERE fragment = ANY($1::uuid[])"
_WRITE = """
    INSERT INTO suppressions (fragment, suppressed, cutoff, decided_at, decided_by, revision)
    SELECT *, $6 FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[], $4::timestamptz[], $5::uuid[])
    ON CONFLICT (fragment) DO UPDATE SET suppressed = excluded.suppressed, cutoff = excluded.cutoff,
      decided_at = excluded.decided_at, decided_by = excluded.decided_by, revision = excluded.revision
"""


class PostgresSuppressions:
    """See services.ingest.ports.SuppressionStore."""

    async def apply(self, tx: "Tx", requests: Sequence[PrivacyRequest]) -> None:
        if not requests:
            return
        # Held until the commit: a reader who has seen a revision has seen all before it.
        revision = 1 + await tx.fetchval("SELECT revision FROM suppression_revision FOR UPDATE")
        fragments = sorted({fragment for request in requests for fragment in request.fragments})
        held = {row["fragment"]: _to_suppression(row) for row in await tx.fetch(_READ, fragments)}
        said = dict(held)
        for request in requests:
            for fragment in request.fragments:
                said[fragment] = apply_request(
                    said.get(fragment, NOTHING_SAID),
                    request.kind,
                    cutoff=request.cutoff,
                    at=request.at,
                    request_id=request.id,
                )
        changed = [(fragment, one) for fragment, one in sorted(said.items()) if held.get(fragment) != one]
        if not changed:
            return
        rows = [(fragment, one.suppressed, one.cutoff, *(one.decided or (None, None))) for fragment, one in changed]
        await tx.execute(_WRITE, *map(list, zip(*rows, strict=True)), revision)
        await tx.execute("UPDATE suppression_revision SET revision = $1", revision)

    async def read_changes(self, tx: "Tx", after: int) -> tuple[int, Mapping[UUID, Suppression]]:
        rows = await tx.fetch(
            "SELECT fragment, suppressed, cutoff, decided_at, decided_by, revision FROM suppressions WHERE revision > $1", after
        )
        newest = max((row["revision"] for row in rows), default=after)
        return newest, {row["fragment"]: _to_suppression(row) for row in rows}


def _to_suppression(row: "asyncpg.Record") -> Suppression:
    decided = None if row["decided_at"] is None else (row["decided_at"], row["decided_by"])
    return Suppression(row["suppressed"], row["cutoff"], decided)
