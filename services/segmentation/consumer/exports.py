"""Exports whose time has come are queued; the job writes the members of one moment to the folder or posts them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from libs.durable.jobs import JobFunction, Jobs, RunningJob
from libs.durable.webhooks import DeliveryFailed, PostgresWebhooks, WebhookClient, sign
from libs.kit.db import Database
from libs.kit.times import format_utc, parse_utc
from services.segmentation.adapters.export_files import write_file
from services.segmentation.domain.exporting import MEDIA_TYPES, read_columns
from services.segmentation.errors import ExportFailed, ExportNotTaken, ExportTooLarge
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.schedule_exports import EXPORT, find_next_run, queue_run
from services.segmentation.ports import Export
from services.segmentation.store.exports import write_members
from services.segmentation.store.schedules import find_export, forget_runs, lock_due_exports, save_export, save_run

_AT_ONCE: Final = 20
_RUNS_KEPT: Final = 100
MOST_POSTED_BYTES: Final = 32 << 20
"""What is posted is signed as a whole, so it is held in memory; larger files go to the folder."""


@dataclass(frozen=True, slots=True)
class Exports:
    """The job function, for a JobRunner, and what queues it. `folder` None: nothing is written to files."""

    database: Database
    seg: Segmentation
    jobs: Jobs
    webhooks: PostgresWebhooks
    client: WebhookClient
    folder: Path | None

    def kinds(self) -> Mapping[str, JobFunction]:
        return {EXPORT: self.export}

    async def queue_due(self) -> int:
        """Once; how many were queued. For `upkeep.repeat`."""
        async with self.database.transaction() as tx:
            now = self.seg.clock.now()
            due = await lock_due_exports(tx, now, _AT_ONCE)
            for export in due:
                await queue_run(tx, export, export.next_at, self.jobs, save_run, self.seg.clock, self.seg.new_id)
                await save_export(tx, export._replace(next_at=find_next_run(export, now)))
                for job_id in await forget_runs(tx, export.id, _RUNS_KEPT):
                    await self.jobs.delete(tx, job_id)
        return len(due)

    async def export(self, job: RunningJob) -> dict[str, Any]:
        """Raises ExportFailed where it can't be done, ExportNotTaken (to be tried again) where the receiver fails."""
        due_at = parse_utc(job.input["due_at"])
        async with self.database.snapshot() as snapshot:
            export = await find_export(snapshot, UUID(job.input["export_id"]))
            if export is None:
                raise ExportFailed("The export was deleted.")
            if await self.seg.definitions.find(snapshot, export.segment_id) is None:
                raise ExportFailed(f"There is no segment {export.segment_id} any more.")
            at = format_utc(await snapshot.fetchval("SELECT now()"))
            chunks = write_members(snapshot, export.segment_id, read_columns(export.columns), export.form, None)
            if export.webhook_id is not None:
                posted = await self._collect(chunks)
            else:
                return {"snapshot_at": at, **await self._write(export, due_at, chunks)}
        # The snapshot isn't held while the receiver takes its time.
        return {"snapshot_at": at, **await self._post(export, export.webhook_id, job.id, posted)}

    async def _write(self, export: Export, due_at: datetime, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        if self.folder is None:
            raise ExportFailed("No folder is set: SEGMENTATION_EXPORT_DIR.")
        name = f"{export.segment_id}-{due_at:%Y%m%dT%H%M%SZ}-{export.id}.{export.form}"
        try:
            size = await write_file(self.folder, name, chunks)
        except OSError as error:
            raise ExportFailed(f"The file can't be written: {type(error).__name__}.") from error
        return {"file": name, "size_bytes": size}

    async def _collect(self, chunks: AsyncIterator[bytes]) -> bytes:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > MOST_POSTED_BYTES:
                raise ExportTooLarge(f"It is larger than {MOST_POSTED_BYTES >> 20} MB: write it to the folder instead.")
        return bytes(body)

    async def _post(self, export: Export, webhook_id: UUID, run_id: UUID, body: bytes) -> dict[str, Any]:
        async with self.database.connection() as connection:
            endpoint = await self.webhooks.find(connection, webhook_id)
        if endpoint is None or endpoint.state != "active":
            raise ExportFailed("The webhook was deleted or is disabled.")
        now = self.seg.clock.now()
        headers = {
            **sign(endpoint.secrets_at(now), f"export:{run_id}", body, now),
            "content-type": MEDIA_TYPES[export.form],
            "rapport-export": str(export.id),
            "rapport-segment": export.segment_id,
        }
        try:
            status = await self.client.post(endpoint.url, body, headers)
        except DeliveryFailed as failed:
            raise ExportNotTaken(f"The receiver didn't take it: {failed.failure.error}.") from failed
        return {"status": status, "size_bytes": len(body)}
