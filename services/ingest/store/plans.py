"""Tracking plans in PostgreSQL: versions are only ever added."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.ingest.domain.tallies import Breaches, Broken
from services.ingest.ports import PlanEntry, PlanVersion
from services.ingest.store.tallies import decode_samples

if TYPE_CHECKING:
    from libs.kit.db import Tx

_ENTRY = """
    SELECT id, version, active_version,
      ARRAY(SELECT source_id FROM tracking_plan_sources WHERE plan_id = id ORDER BY source_id) AS sources
    FROM tracking_plans
"""
_VERSION = "SELECT plan_id, version, document, created_at, created_by FROM tracking_plan_versions WHERE plan_id = $1"


class PostgresPlans:
    """See services.ingest.ports.PlanStore."""

    async def list_plans(self, tx: "Tx", *, after: str | None, limit: int) -> list[PlanEntry]:
        rows = await tx.fetch(_ENTRY + "WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2", after, limit)
        return [PlanEntry(*row) for row in rows]

    async def find(self, tx: "Tx", plan_id: str) -> PlanEntry | None:
        row = await tx.fetchrow(_ENTRY + "WHERE id = $1", plan_id)
        return None if row is None else PlanEntry(*row)

    async def lock(self, tx: "Tx", plan_id: str) -> PlanEntry | None:
        row = await tx.fetchrow(_ENTRY + "WHERE id = $1 FOR UPDATE", plan_id)
        return None if row is None else PlanEntry(*row)

    async def create(self, tx: "Tx", version: PlanVersion) -> bool:
        made = await tx.execute(
            "INSERT INTO tracking_plans (id, version) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
            version.plan_id,
            version.version,
        )
        if made.endswith(" 0"):
            return False
        await self._insert(tx, version)
        return True

    async def add_version(self, tx: "Tx", version: PlanVersion) -> None:
        await self._insert(tx, version)
        await tx.execute("UPDATE tracking_plans SET version = $2 WHERE id = $1", version.plan_id, version.version)

    async def _insert(self, tx: "Tx", version: PlanVersion) -> None:
        await tx.execute(
            "INSERT INTO tracking_plan_versions (plan_id, version, document, created_at, created_by) VALUES ($1, $2, $3, $4, $5)",
            *version,
        )

    async def find_version(self, tx: "Tx", plan_id: str, version: int) -> PlanVersion | None:
        row = await tx.fetchrow(_VERSION + " AND version = $2", plan_id, version)
        return None if row is None else PlanVersion(*row)

    async def list_versions(self, tx: "Tx", plan_id: str) -> list[PlanVersion]:
        return [PlanVersion(*row) for row in await tx.fetch(_VERSION + " ORDER BY version DESC", plan_id)]

    async def activate(self, tx: "Tx", plan_id: str, version: int) -> None:
        await tx.execute("UPDATE tracking_plans SET active_version = $2 WHERE id = $1", plan_id, version)

    async def assign(self, tx: "Tx", plan_id: str, source_id: str) -> None:
        await tx.execute(
            """
            INSERT INTO tracking_plan_sources (plan_id, source_id) VALUES ($1, $2)
            ON CONFLICT (source_id) DO UPDATE SET plan_id = excluded.plan_id
            """,
            plan_id,
            source_id,
        )

    async def withdraw(self, tx: "Tx", plan_id: str, source_id: str) -> bool:
        gone = await tx.execute("DELETE FROM tracking_plan_sources WHERE plan_id = $1 AND source_id = $2", plan_id, source_id)
        return gone.endswith(" 1")

    async def find_assigned(self, tx: "Tx", source_id: str) -> str | None:
        plan_id: str | None = await tx.fetchval("SELECT plan_id FROM tracking_plan_sources WHERE source_id = $1", source_id)
        return plan_id

    async def read_active(self, tx: "Tx") -> Mapping[str, tuple[str, int]]:
        rows = await tx.fetch(
            """
            SELECT source_id, plan_id, active_version FROM tracking_plan_sources JOIN tracking_plans ON id = plan_id
            WHERE active_version IS NOT NULL
            """
        )
        return {row["source_id"]: (row["plan_id"], row["active_version"]) for row in rows}

    async def list_violations(self, tx: "Tx", plan_id: str, *, source_id: str | None, limit: int) -> Mapping[Broken, Breaches]:
        rows = await tx.fetch(
            """
            SELECT plan_id, version, source_id, event, place, count, first_at, last_at, samples FROM plan_violations
            WHERE plan_id = $1 AND ($2::text IS NULL OR source_id = $2)
            ORDER BY count DESC, version DESC, source_id, event, place LIMIT $3
            """,
            plan_id,
            source_id,
            limit,
        )
        return {
            Broken(*row[:5]): Breaches(row["count"], row["first_at"], row["last_at"], decode_samples(row["samples"]))
            for row in rows
        }
