"""Composition root of ingest: `python -m services.ingest.main api | worker | all`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from libs.durable.jobs import JobRunner, PostgresJobs, jobs_router
from libs.durable.outbox import PostgresOutbox
from libs.durable.runtime import Runtime, open_runtime
from libs.kit.http import create_app as create_kit_app
from libs.kit.process import exit_with, run_from_command_line
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy
from services.ingest.api import ApiDeps, add_routes
from services.ingest.api.gate import Gate
from services.ingest.consumer import GROUP, build_handlers, sweep_rejections
from services.ingest.consumer.imports import ImportJobs, sweep_imports
from services.ingest.handlers.imports import Imports
from services.ingest.handlers.parked import Replay
from services.ingest.handlers.take_touchpoints import Intake
from services.ingest.settings import Settings
from services.ingest.store.imports import PostgresImports
from services.ingest.store.rejections import PostgresRejections
from services.ingest.store.sources import PostgresSources


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a process of this service works with."""

    settings: Settings
    runtime: Runtime
    api: ApiDeps
    consumer: BatchConsumer
    import_jobs: ImportJobs


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    async with open_runtime(settings, service=GROUP) as runtime:
        rejections = PostgresRejections()
        intake = Intake(
            runtime.identity_key,
            region=settings.platform.default_region,
            publisher=runtime.publisher,
            new_id=runtime.new_id,
        )
        api = ApiDeps(
            settings=settings,
            clock=runtime.clock,
            database=runtime.database,
            sources=runtime.access,
            intake=intake,
            gate=Gate(settings.max_pending_bytes),
            replay=Replay(rejections, intake, runtime.access, runtime.clock),
            rejections=rejections,
            source_store=PostgresSources(),
            imports=Imports(PostgresImports(), PostgresJobs()),
            refresh_access=runtime.access.refresh,
        )
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(rejections),
            source=KafkaSource(settings.platform, group=GROUP),
            database=runtime.database,
            outbox=PostgresOutbox(runtime.database, runtime.publisher, new_id=runtime.new_id),
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        runtime.health.add("kafka", runtime.publisher.check_ready)
        import_jobs = ImportJobs(runtime.database, api.imports, intake, runtime.access, runtime.clock, settings)
        yield Deps(settings, runtime, api, consumer, import_jobs)


def create_app(deps: Deps) -> FastAPI:
    runtime = deps.runtime
    app = create_kit_app(
        service=GROUP,
        title="Rapport ingest",
        description="Takes touchpoints: the Segment tracking protocol as the SDKs speak it, and plain JSON.",
        health=runtime.health,
        access=runtime.access,
        clock=runtime.clock,
    )
    add_routes(app, deps.api)
    app.include_router(jobs_router(runtime.database, clock=runtime.clock, read_scope="imports:read", write_scope="imports:write"))
    return app


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deps.consumer.run(stop))
        tasks.create_task(sweep_rejections(deps.runtime.database, deps.api.rejections, deps.runtime.clock, deps.settings, stop))
        tasks.create_task(sweep_imports(deps.runtime.database, deps.api.imports, deps.runtime.clock, deps.settings, stop))
        for _ in range(deps.settings.import_runners):
            tasks.create_task(_build_import_runner(deps).run(stop))


def _build_import_runner(deps: Deps) -> JobRunner:
    runtime = deps.runtime
    return JobRunner(runtime.database, deps.import_jobs.kinds(), clock=runtime.clock, lease_s=deps.settings.import_lease_s)


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
