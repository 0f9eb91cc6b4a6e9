"""What the worker does beside consuming: tell waiting facets in time, forget old idempotency keys, count profiles."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

from libs.durable.upkeep import purge_keys_regularly, repeat
from libs.kit.clock import Clock
from libs.kit.db import Database
from libs.kit.logging import get_logger
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox
from services.profile.handlers.apply_facets import FLUSH_LIMIT, flush_facets
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.metrics import PROFILES
from services.profile.ports import FacetStore, GraphStore, RulesStore

_log = get_logger(__name__)
_COUNT_EVERY_S = 15.0
RULES_REFRESH_S = 2.0
"""A changed rule is in force everywhere within 5 s: this, and the time of a query and of the batch at hand."""
_ESTIMATE = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'profiles'::regclass"


class FacetFlusher:
    """Makes versions of facets that found no change to go with. Several may run: each profile is one's at a time.

    What waits is told at the second look that finds it, so that the facets one touchpoint moves, which come back some
    milliseconds apart, make one version and not one each.
    """

    def __init__(
        self, database: Database, outbox: Outbox, graph: GraphStore, facets: FacetStore, clock: Clock, generation: int
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._graph = graph
        self._facets = facets
        self._clock = clock
        self._generation = generation
        self._seen: set[UUID] = set()

    async def flush_waiting(self) -> int:
        """Tell what waited at the look before; how many records told it."""
        async with self._database.connection() as connection:
            waiting = set(await self._facets.find_pending(connection, FLUSH_LIMIT))
        due, self._seen = waiting & self._seen, waiting - self._seen
        return await self.flush(due) if due else 0

    async def flush(self, profile_ids: Collection[UUID] | None = None) -> int:
        """Tell now, of these profiles or of all that wait; how many records told it."""
        async with self._database.transaction() as tx:
            outgoing = await flush_facets(tx, self._graph, self._facets, self._clock, self._generation, profile_ids)
            staged = await self._outbox.stage(tx, outgoing)
        if staged is not None:
            # Committed: what isn't told now is told by the next sweep.
            with suppress(PublishFailed):
                await self._outbox.publish(staged, outgoing)
        return len(outgoing)


class RulesKeeper:
    """Keeps the rules that this process decides by in step with the database."""

    def __init__(self, database: Database, store: RulesStore, live: LiveRules) -> None:
        self.store = store
        self.live = live
        self._database = database

    async def refresh(self) -> None:
        async with self._database.connection() as connection:
            await self.live.refresh(connection, self.store)


class Upkeep:
    """Runs until stopped. A database that is away is waited for."""

    def __init__(self, database: Database, flusher: FacetFlusher, clock: Clock, flush_interval_s: float) -> None:
        self._database = database
        self._flusher = flusher
        self._clock = clock
        self._flush_interval_s = flush_interval_s

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(self._flusher.flush_waiting, self._flush_interval_s, stop))
            group.create_task(repeat(self._count, _COUNT_EVERY_S, stop))
            group.create_task(purge_keys_regularly(self._database, self._clock, stop))

    async def _count(self) -> None:
        async with self._database.connection() as connection:
            PROFILES.set(await connection.fetchval(_ESTIMATE))
