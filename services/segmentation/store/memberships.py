"""Levels, edges and timers in PostgreSQL: one statement a table a batch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from libs.events.envelope import to_key
from libs.kit.db import Tx
from libs.messaging.partitions import compute_murmur2
from services.segmentation.domain.judging import Membership
from services.segmentation.domain.segments import SetTimer
from services.segmentation.ports import KnownEdge, Timer, ToldEdge
from services.segmentation.store.pages import FIRST_ID

_POSITIVE: Final = 0x7FFFFFFF
_EDGE_COLUMNS: Final = ("segment_id", "profile_id", "seq", "at_us", "version", "cause")


class PostgresMemberships:
    """See the port `Memberships`."""

    async def load(
        self, tx: Tx, profile_ids: Collection[UUID], segment_ids: Collection[str]
    ) -> dict[UUID, dict[str, Membership]]:
        found: dict[UUID, dict[str, Membership]] = {profile_id: {} for profile_id in profile_ids}
        if profile_ids and segment_ids:
            rows = await tx.fetch(
                "SELECT profile_id, segment_id, is_member, seq, since_us FROM memberships"
                " WHERE profile_id = ANY($1::uuid[]) AND segment_id = ANY($2::text[])",
                list(profile_ids),
                list(segment_ids),
            )
            for profile_id, segment_id, is_member, seq, since_us in rows:
                found[profile_id][segment_id] = Membership(is_member, seq, since_us)
        return found

    async def save(self, tx: Tx, edges: Sequence[ToldEdge]) -> None:
        if not edges:
            return
        last = {(told.profile_id, told.edge.segment.id): told.edge for told in edges}
        await tx.execute(
            "INSERT INTO memberships (profile_id, segment_id, is_member, seq, since_us, version)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::int[])"
            " ON CONFLICT (profile_id, segment_id) DO UPDATE SET is_member = excluded.is_member, seq = excluded.seq,"
            " since_us = excluded.since_us, version = excluded.version",
            [profile_id for profile_id, _ in last],
            [segment_id for _, segment_id in last],
            [edge.entered for edge in last.values()],
            [edge.seq for edge in last.values()],
            [edge.at_us for edge in last.values()],
            [edge.segment.version for edge in last.values()],
        )
        await tx.copy_records_to_table(
            "edges",
            records=[
                (told.edge.segment.id, told.profile_id, told.edge.seq, told.edge.at_us, told.edge.segment.version, told.cause)
                for told in edges
            ],
            columns=_EDGE_COLUMNS,
        )

    async def load_told(self, tx: Tx, profile_id: UUID, segment_ids: Collection[str], at_us: int) -> dict[str, int]:
        rows = await tx.fetch(
            "SELECT s.id, e.at_us FROM unnest($2::text[]) AS s (id) CROSS JOIN LATERAL (SELECT seq, at_us FROM edges"
            " WHERE segment_id = s.id AND profile_id = $1 AND at_us <= $3 ORDER BY seq DESC LIMIT 1) AS e WHERE e.seq % 2 = 1",
            profile_id,
            list(segment_ids),
            at_us,
        )
        return {row[0]: row[1] for row in rows}

    async def load_edges_after(
        self, tx: Tx, profile_id: UUID, segment_ids: Collection[str], at_us: int, *, limit: int
    ) -> list[KnownEdge]:
        rows = await tx.fetch(
            "SELECT segment_id, seq, at_us, version, cause FROM edges WHERE segment_id = ANY($2::text[]) AND profile_id = $1"
            " AND at_us > $3 ORDER BY at_us, segment_id, seq LIMIT $4",
            profile_id,
            list(segment_ids),
            at_us,
            limit,
        )
        return [KnownEdge(*row) for row in rows]

    async def load_timers(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, dict[str, SetTimer]]:
        rows = await tx.fetch(
            "SELECT profile_id, segment_id, due_us, rule_version FROM timers WHERE profile_id = ANY($1::uuid[])",
            list(profile_ids),
        )
        found: dict[UUID, dict[str, SetTimer]] = {}
        for profile_id, segment_id, due_us, rule_version in rows:
            found.setdefault(profile_id, {})[segment_id] = SetTimer(due_us, rule_version)
        return found

    async def save_timers(self, tx: Tx, timers: Sequence[Timer], dropped: Iterable[tuple[UUID, str]]) -> None:
        gone = list(dropped)
        if gone:
            await tx.execute(
                "DELETE FROM timers t USING unnest($1::uuid[], $2::text[]) AS n (profile_id, segment_id)"
                " WHERE t.profile_id = n.profile_id AND t.segment_id = n.segment_id",
                [profile_id for profile_id, _ in gone],
                [segment_id for _, segment_id in gone],
            )
        if timers:
            await tx.execute(
                "INSERT INTO timers (profile_id, segment_id, due_us, rule_version, slot)"
                " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::int[])"
                " ON CONFLICT (profile_id, segment_id) DO UPDATE SET"
                " due_us = excluded.due_us, rule_version = excluded.rule_version",
                [timer.profile_id for timer in timers],
                [timer.segment_id for timer in timers],
                [timer.due_us for timer in timers],
                [timer.rule_version for timer in timers],
                [compute_murmur2(to_key(timer.profile_id)) & _POSITIVE for timer in timers],
            )

    async def find_first_due(self, tx: Tx) -> int | None:
        first: int | None = await tx.fetchval("SELECT min(due_us) FROM timers")
        return first

    async def find_due(self, tx: Tx, due_us: Mapping[int, int], partitions: int, *, limit: int) -> list[UUID]:
        if not due_us:
            return []
        rows = await tx.fetch(
            "SELECT t.profile_id FROM timers t JOIN unnest($1::int[], $2::bigint[]) AS p (partition, due_us)"
            " ON t.slot % $3 = p.partition AND t.due_us <= p.due_us WHERE t.due_us <= $4 ORDER BY t.due_us LIMIT $5",
            list(due_us),
            list(due_us.values()),
            partitions,
            max(due_us.values()),
            limit,
        )
        return sorted({row[0] for row in rows})

    async def find_torn(self, tx: Tx, profile_ids: Collection[UUID], segment_ids: Collection[str]) -> list[tuple[str, UUID]]:
        rows = await tx.fetch(
            "SELECT segment_id, profile_id FROM (SELECT segment_id, profile_id, count(*) AS edges, max(seq) AS seq,"
            " (array_agg(at_us ORDER BY seq DESC))[1] AS at_us FROM edges"
            " WHERE profile_id = ANY($1::uuid[]) AND segment_id = ANY($2::text[]) GROUP BY 1, 2) AS e"
            " FULL JOIN (SELECT segment_id, profile_id, seq, since_us FROM memberships"
            " WHERE profile_id = ANY($1::uuid[]) AND segment_id = ANY($2::text[])) AS m USING (segment_id, profile_id)"
            " WHERE (e.edges, e.seq, e.at_us) IS DISTINCT FROM (m.seq, m.seq, m.since_us) ORDER BY 1, 2",
            list(profile_ids),
            list(segment_ids),
        )
        return [(row[0], row[1]) for row in rows]

    async def load_members(
        self, tx: Tx, segment_id: str, after: UUID | None, limit: int, *, since_us: int | None = None
    ) -> list[tuple[UUID, int]]:
        rows = await tx.fetch(
            "SELECT m.profile_id, m.since_us FROM memberships m JOIN sub_profiles p USING (profile_id)"
            " WHERE m.segment_id = $1 AND m.is_member AND p.absorbed_into IS NULL AND m.profile_id > $2 AND p.profile_id > $2"
            " AND ($4::bigint IS NULL OR m.since_us > $4) ORDER BY m.profile_id LIMIT $3",
            segment_id,
            after or FIRST_ID,
            limit,
            since_us,
        )
        return [(row[0], row[1]) for row in rows]
