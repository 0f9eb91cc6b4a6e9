"""What processes counted, added up in PostgreSQL."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from services.ingest.domain.tallies import Count, Outcome, Sample, Tallies

if TYPE_CHECKING:
    from libs.kit.db import Tx

_COUNT = """
    INSERT INTO source_counts (source_id, day, outcome, reason, count)
    SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::bigint[])
    ON CONFLICT (source_id, day, outcome, reason) DO UPDATE SET count = source_counts.count + excluded.count
"""
_SEE = """
    INSERT INTO sources_seen (source_id, seen_at) SELECT * FROM unnest($1::text[], $2::timestamptz[])
    ON CONFLICT (source_id) DO UPDATE SET seen_at = greatest(sources_seen.seen_at, excluded.seen_at)
"""
# The latest samples stand: who looks for them wants to find the touchpoints.
_VIOLATE = """
    INSERT INTO plan_violations (plan_id, version, source_id, event, place, count, first_at, last_at, samples)
    SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
      $8::timestamptz[], $9::bytea[])
    ON CONFLICT (plan_id, version, source_id, event, place) DO UPDATE SET count = plan_violations.count + excluded.count,
      first_at = least(plan_violations.first_at, excluded.first_at),
      last_at = greatest(plan_violations.last_at, excluded.last_at), samples = excluded.samples
"""
_TRIM_VIOLATIONS = """
    DELETE FROM plan_violations WHERE last_at < $1 OR (plan_id, version, source_id, event, place) IN (
      SELECT plan_id, version, source_id, event, place FROM (
        SELECT *, row_number() OVER (PARTITION BY plan_id ORDER BY last_at DESC) AS number FROM plan_violations
      ) AS ranked WHERE number > $2
    )
"""
_KEPT_VIOLATIONS: Final = 10_000
_SAMPLES: Final = msgspec.json.Decoder(list[Sample])


class PostgresTallies:
    """See services.ingest.ports.TallyStore. All write rows in one order, so that processes never wait in a circle."""

    async def add(self, tx: "Tx", tallies: Tallies) -> None:
        counts = sorted((one.source_id, one.day, *one.outcome, one.total) for one in tallies.counts())
        if counts:
            await tx.execute(_COUNT, *map(list, zip(*counts, strict=True)))
        if tallies.seen:
            await tx.execute(_SEE, *map(list, zip(*sorted(tallies.seen.items()), strict=True)))
        if tallies.violations:
            broken = [
                (*where, one.count, one.first_at, one.last_at, msgspec.json.encode(one.samples))
                for where, one in sorted(tallies.violations.items(), key=lambda item: item[0])
            ]
            await tx.execute(_VIOLATE, *map(list, zip(*broken, strict=True)))

    async def find_seen(self, tx: "Tx", source_id: str) -> datetime | None:
        seen: datetime | None = await tx.fetchval("SELECT seen_at FROM sources_seen WHERE source_id = $1", source_id)
        return seen

    async def list_counts(self, tx: "Tx", source_id: str, *, since: date, until: date) -> list[Count]:
        rows = await tx.fetch(
            """
            SELECT source_id, day, outcome, reason, count FROM source_counts
            WHERE source_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day DESC, outcome, reason
            """,
            source_id,
            since,
            until,
        )
        return [Count(row["source_id"], row["day"], Outcome(row["outcome"], row["reason"]), row["count"]) for row in rows]

    async def trim(self, tx: "Tx", *, days_after: date, violations_after: datetime) -> int:
        counts = await tx.execute("DELETE FROM source_counts WHERE day < $1", days_after)
        violations = await tx.execute(_TRIM_VIOLATIONS, violations_after, _KEPT_VIOLATIONS)
        return sum(int(status.rpartition(" ")[2]) for status in (counts, violations))


def decode_samples(encoded: bytes) -> list[Sample]:
    return _SAMPLES.decode(encoded)
