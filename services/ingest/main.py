"""Composition root of ingest: `python -m services.ingest.main api | worker | all`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from libs.durable.jobs import JobRunner, PostgresJobs, jobs_router
from libs.durable.outbox import PostgresOutbox
from libs.durable.runtime import Runtime, open_runtime
from libs.kit.errors import ConfigurationRefused
from libs.kit.http import create_app as create_kit_app
from libs.kit.process import exit_with, run_from_command_line
from libs.kit.redis import connect_redis
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy
from libs.messaging.producer import KafkaPublisher, PublisherOptions
from services.ingest.adapters.limiters import build_limiter
from services.ingest.adapters.sns import HttpSns
from services.ingest.adapters.source_log import KafkaSourceLog
from services.ingest.adapters.spool import FileSpool
from services.ingest.adapters.spooling_publisher import SpoolingPublisher
from services.ingest.api import ApiDeps, add_routes
from services.ingest.api.gate import Gate
from services.ingest.consumer import GROUP, build_handlers, sweep_rejections
from services.ingest.consumer.imports import ImportJobs, sweep_imports
from services.ingest.domain.devices import load_patterns
from services.ingest.handlers.governance import Governance
from services.ingest.handlers.imports import Imports
from services.ingest.handlers.parked import Replay
from services.ingest.handlers.take_touchpoints import Intake
from services.ingest.handlers.take_webhooks import WebhookIntake
from services.ingest.settings import Settings
from services.ingest.store.imports import PostgresImports
from services.ingest.store.plans import PostgresPlans
from services.ingest.store.rejections import PostgresRejections
from services.ingest.store.sources import PostgresSources
from services.ingest.store.suppressions import PostgresSuppressions
from services.ingest.store.tallies import PostgresTallies
from services.ingest.store.webhooks import PostgresWebhooks, WebhookCache
from services.ingest.upkeep import Upkeep

HASTY = PublisherOptions(deadline_s=0.9)
"""What isn't acknowledged within a second (the deadline is looked at ten times a second) goes to the spool."""


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
    async with (
        open_runtime(settings, service=GROUP) as runtime,
        open_gateway_publisher(settings, runtime) as publisher,
        _open_governance(settings, runtime) as upkeep,
        KafkaSourceLog(settings.platform) as log,
    ):
        rejections = PostgresRejections()
        intake = Intake(
            runtime.identity_key,
            region=settings.platform.default_region,
            publisher=publisher,
            new_id=runtime.new_id,
            governance=upkeep.governance,
        )
        webhook_store = PostgresWebhooks()
        webhooks = WebhookCache(runtime.database, webhook_store)
        await webhooks.start()
        sns = HttpSns()
        webhook_intake = WebhookIntake(intake, webhooks, runtime.access, sns)
        api = ApiDeps(
            settings=settings,
            clock=runtime.clock,
            database=runtime.database,
            sources=runtime.access,
            intake=intake,
            gate=Gate(settings.max_pending_bytes),
            replay=Replay(rejections, intake, runtime.access, runtime.clock, webhook_intake),
            rejections=rejections,
            source_store=PostgresSources(),
            imports=Imports(PostgresImports(), PostgresJobs()),
            refresh_access=runtime.access.refresh,
            webhook_store=webhook_store,
            webhook_intake=webhook_intake,
            refresh_webhooks=webhooks.refresh,
            governance=upkeep.governance,
            upkeep=upkeep,
            plans=upkeep.plans,
            tallies=upkeep.tallies,
            log=log,
        )
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(rejections, upkeep.suppressions),
            source=KafkaSource(settings.platform, group=GROUP),
            database=runtime.database,
            outbox=PostgresOutbox(runtime.database, runtime.publisher, new_id=runtime.new_id),
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        runtime.health.add("kafka", publisher.check_ready)
        try:
            import_jobs = ImportJobs(
                runtime.database, api.imports, intake, runtime.publisher, runtime.access, runtime.clock, settings
            )
            yield Deps(settings, runtime, api, consumer, import_jobs)
        finally:
            await sns.close()
            await webhooks.close()


@asynccontextmanager
async def open_gateway_publisher(settings: Settings, runtime: Runtime) -> AsyncIterator[KafkaPublisher | SpoolingPublisher]:
    """What requests are published with: with a spool it is in a hurry, because there is somewhere else to go."""
    if settings.spool_dir is None:
        yield runtime.publisher
        return
    try:
        spool = await FileSpool.open(settings.spool_dir, max_bytes=settings.spool_max_bytes)
    except OSError as error:
        raise ConfigurationRefused(f"INGEST_SPOOL_DIR={settings.spool_dir} can't be used: {error.strerror}.") from error
    hasty = KafkaPublisher(settings.platform, client_id=f"rapport-{GROUP}-gateway", options=HASTY)
    try:
        async with hasty, SpoolingPublisher(hasty, runtime.publisher, spool, runtime.clock) as publisher:
            yield publisher
    finally:
        await spool.close()


@asynccontextmanager
async def _open_governance(settings: Settings, runtime: Runtime) -> AsyncIterator[Upkeep]:
    """What this process judges by, loaded and kept fresh."""
    platform = settings.platform
    redis = await connect_redis(platform.redis, ssl_cafile=platform.redis_ssl_cafile)
    try:
        limiter = build_limiter(redis, runtime.clock, prefix=platform.topic_prefix)
        upkeep = Upkeep(runtime.database, Governance(limiter=limiter), PostgresPlans(), PostgresSuppressions(), PostgresTallies())
        async with upkeep.run():
            yield upkeep
    finally:
        if redis is not None:
            await redis.aclose()


def create_app(deps: Deps) -> FastAPI:
    load_patterns()
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
        runtime, api, settings = deps.runtime, deps.api, deps.settings
        tasks.create_task(sweep_rejections(runtime.database, api.rejections, api.tallies, runtime.clock, settings, stop))
        tasks.create_task(sweep_imports(runtime.database, api.imports, runtime.clock, settings, stop))
        for _ in range(settings.import_runners):
            tasks.create_task(_build_import_runner(deps).run(stop))


def _build_import_runner(deps: Deps) -> JobRunner:
    runtime = deps.runtime
    return JobRunner(runtime.database, deps.import_jobs.kinds(), clock=runtime.clock, lease_s=deps.settings.import_lease_s)


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
