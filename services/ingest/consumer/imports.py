"""The job behind an import: fetch the file, judge and publish batch after batch, commit after each where it is.

Publish, then commit: a crash in between publishes the same ids again, which every consumer knows. Position, counts, failed rows
and the job's progress are one transaction, so none of them ever says more than the others.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.durable.jobs import JobFunction, JobPaused, RunningJob
from libs.durable.upkeep import repeat
from libs.kit.clock import Clock
from libs.kit.db import Database
from libs.kit.logging import get_logger
from libs.kit.metrics import counter
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Publisher
from services.ingest.adapters.import_files.feed import Feed
from services.ingest.adapters.import_files.scratch import open_scratch
from services.ingest.domain.arrivals import ArrivalSource
from services.ingest.domain.imports.tally import Tally
from services.ingest.errors import BrokerAway, ImportFailsThroughout, ImportNotFound, ImportSourceUnusable
from services.ingest.handlers.import_rows import Judged, Pace, PreparedRow, judge_rows, prepare_row
from services.ingest.handlers.imports import IMPORT_JOB, Imports
from services.ingest.handlers.take_touchpoints import Intake
from services.ingest.ports import Import, Sources
from services.ingest.settings import Settings

_ROWS: Final = counter("ingest_import_rows_total", "Rows of imports by what became of them.", ("outcome",))
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImportJobs:
    """The job function, for a JobRunner."""

    database: Database
    imports: Imports
    intake: Intake
    publisher: Publisher
    sources: Sources
    clock: Clock
    settings: Settings

    def kinds(self) -> Mapping[str, JobFunction]:
        return {IMPORT_JOB: self.run}

    async def run(self, job: RunningJob) -> dict[str, Any]:
        """From behind the last committed batch to the end of the file; the report is the job's result."""
        async with self.database.connection() as connection:
            made = await self.imports.store.find(connection, job.id)
        if made is None:
            raise ImportNotFound("The import was removed.")
        await self._rest_if_wanted(job)
        tally = made.tally
        with open_scratch() as folder:
            path = await self._fetch(made, folder)
            async with Feed(
                path,
                made.layout,
                skip=tally.steps,
                batch_rows=self.settings.import_batch_rows,
                max_bytes=self.settings.import_max_bytes,
                prepare=prepare_row,
            ) as feed:
                pace = Pace()
                while batch := await feed.next_batch():
                    judged, rest_s = await self._publish(job, made, tally, batch, pace)
                    await self._commit(job, made, tally, judged)
                    tally = judged.tally
                    if rest_s:
                        await asyncio.sleep(rest_s)
        await job.report(done=tally.rows, total=tally.rows)
        report: dict[str, Any] = msgspec.to_builtins(tally)
        return report

    async def _fetch(self, made: Import, folder: Path) -> Path:
        """The file out of the database, chunk after chunk: formats that need to jump about need it on a disk."""
        path = folder / "file"
        with path.open("wb") as file:
            number = 0
            while True:
                async with self.database.connection() as connection:
                    chunk = await self.imports.store.read_chunk(connection, made.id, number)
                if chunk is None:
                    return path
                await asyncio.to_thread(file.write, chunk)
                number += 1

    async def _publish(
        self, job: RunningJob, made: Import, before: Tally, batch: list[PreparedRow], pace: Pace
    ) -> tuple[Judged, float]:
        """Judged by the source's present rules, in the log, and how long to rest now."""
        while True:
            judged = await judge_rows(
                self.intake,
                self._find_source(made),
                batch,
                before,
                received_at=self.clock.now(),
                give_way=lambda: asyncio.sleep(0),
            )
            began_s = self.clock.monotonic()
            try:
                await self.intake.publish(judged.receipt, through=self.publisher)
            except PublishFailed as error:
                if not error.retryable:
                    raise BrokerAway from error
                _log.warning("import_waits_for_log", job=str(job.id))
                await asyncio.sleep(pace.after_failure())
                await self._rest_if_wanted(job)
            else:
                return judged, pace.after_publish(self.clock.monotonic() - began_s)

    def _find_source(self, made: Import) -> ArrivalSource:
        source = self.sources.source_by_id(made.source_id)
        if source is None or not source.enabled:
            raise ImportSourceUnusable(f"The source `{made.source_id}` is disabled or gone. Nothing more was imported.")
        return source

    async def _commit(self, job: RunningJob, made: Import, before: Tally, judged: Judged) -> None:
        """Where the import is now. Raises JobPaused, and ImportFailsThroughout, with the batch in hand committed."""
        tally = judged.tally
        async with self.database.transaction() as tx:
            known = await self.imports.store.lock(tx, made.id)
            await self.imports.store.save_tally(tx, made.id, tally)
            await self.imports.store.add_errors(tx, made.id, judged.errors)
            await job.save(tx, done=tally.rows)
            is_paused = known is not None and known.pause_requested
            if is_paused:
                await job.rest(tx)
        _ROWS.labels("accepted").inc(tally.accepted_rows - before.accepted_rows)
        _ROWS.labels("failed").inc(len(judged.errors))
        if is_paused:
            raise JobPaused
        ratio = made.max_error_ratio if known is None else known.max_error_ratio
        if tally.is_hopeless(ratio):
            raise ImportFailsThroughout(
                f"{tally.rows - tally.accepted_rows} of the first {tally.rows} rows failed, most of them with "
                f"`{tally.most_frequent_reason()}`. Nothing more is imported: see the errors, mend the mapping or the file, or "
                "allow more with `max_error_ratio`."
            )

    async def _rest_if_wanted(self, job: RunningJob) -> None:
        async with self.database.transaction() as tx:
            known = await self.imports.store.lock(tx, job.id)
            is_paused = known is not None and known.pause_requested
            if is_paused:
                await job.rest(tx)
        if is_paused:
            raise JobPaused


async def sweep_imports(database: Database, imports: Imports, clock: Clock, settings: Settings, stop: asyncio.Event) -> None:
    """Until stopped: forget imports whose keeping time is over, file and errors with them, a piece at a time."""

    async def sweep() -> None:
        before = clock.now() - timedelta(days=settings.import_kept_days)
        async with database.connection() as connection:
            expired = await imports.store.list_expired(connection, before)
        for import_id in expired:
            await forget_import(database, imports, import_id)
            _log.info("import_forgotten", job=str(import_id))

    await repeat(sweep, settings.import_sweep_s, stop)


async def forget_import(database: Database, imports: Imports, import_id: UUID) -> None:
    async with database.transaction() as tx:
        await imports.jobs.delete(tx, import_id)
    more = True
    while more:
        async with database.transaction() as tx:
            more = await imports.forget_some(tx, import_id)
