"""What a gateway does beside answering: keep its rules fresh, and write down what it counted. Both outlive an absent database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from libs.kit.db import DATABASE_ERRORS, Database
from libs.kit.freshness import KeptFresh
from services.ingest.domain.plans import Plan
from services.ingest.handlers.governance import Governance, LiveRules
from services.ingest.handlers.plans import compile_version
from services.ingest.ports import PlanStore, SuppressionStore, TallyStore

REFRESH_S = 2.0
"""A changed plan and a suppression count everywhere within 5 s: this, and the time of the queries."""


@dataclass(slots=True)
class Upkeep:
    """Keeps one process's `governance` in step with the database."""

    database: Database
    governance: Governance
    plans: PlanStore
    suppressions: SuppressionStore
    tallies: TallyStore
    refresh_s: float = REFRESH_S
    _revision: int = 0
    _compiled: dict[tuple[str, int], Plan] = field(default_factory=dict)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Upkeep"]:
        """Load first: a gateway that can't know who asked to be left alone doesn't start. Then keep fresh; flush at the end."""
        await self.refresh()
        kept = KeptFresh(self._keep, every_s=self.refresh_s, what="rules")
        kept.go_on()
        try:
            yield self
        finally:
            await kept.close()
            with suppress(*DATABASE_ERRORS, TimeoutError):
                await self.flush()

    async def refresh(self) -> None:
        """Adopt what changed. What was in force before stands until everything is read."""
        async with self.database.connection() as connection:
            revision, changed = await self.suppressions.read_changes(connection, self._revision)
            active = await self.plans.read_active(connection)
            for plan_id, version in set(active.values()) - self._compiled.keys():
                stored = await self.plans.find_version(connection, plan_id, version)
                if stored is not None:
                    self._compiled[plan_id, version] = compile_version(stored)
        self._compiled = {key: plan for key, plan in self._compiled.items() if key in set(active.values())}
        rules: LiveRules = self.governance.rules
        rules.plans = {source_id: self._compiled[key] for source_id, key in active.items() if key in self._compiled}
        for fragment, said in changed.items():
            if said.is_empty:
                rules.suppressions.pop(fragment, None)
            else:
                rules.suppressions[fragment] = said
        self._revision = revision

    async def flush(self) -> None:
        """Write down what was counted since the last time; what can't be written counts on."""
        async with self._flushing:
            if self.governance.tallies.is_empty:
                return
            taken = self.governance.tallies.take()
            try:
                async with self.database.transaction() as tx:
                    await self.tallies.add(tx, taken)
            except BaseException:
                self.governance.tallies.put_back(taken)
                raise

    async def _keep(self) -> None:
        await self.refresh()
        await self.flush()
