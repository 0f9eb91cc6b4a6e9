"""Composition root of segmentation: `python -m services.segmentation.main api | worker | all`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from libs.durable.jobs import JobFunction, JobRunner, PostgresJobs, jobs_router
from libs.durable.outbox import PostgresOutbox
from libs.durable.runtime import Runtime, open_runtime
from libs.durable.upkeep import PURGE_EVERY_S, purge_keys_regularly, repeat
from libs.durable.webhooks import PostgresWebhooks, WebhookClient, WebhookLane
from libs.kit.http import create_app as create_kit_app
from libs.kit.process import exit_with, run_from_command_line
from libs.messaging.admin import consumer_lag
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy
from libs.subscriber import Arrivals
from services.segmentation.adapters.progress import ConsumedProgress
from services.segmentation.api import ROUTERS, ApiDeps
from services.segmentation.consumer import GROUP, Checks, Exports, Fills, TimerLoop, build_handlers
from services.segmentation.handlers.context import Registries, Segmentation
from services.segmentation.settings import Settings
from services.segmentation.store import (
    PostgresBehaviours,
    PostgresDefinitions,
    PostgresLists,
    PostgresMemberships,
    PostgresProfilePages,
    PostgresViewHistory,
)
from services.segmentation.store.reading import load_trait_names


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a process of this service works with."""

    settings: Settings
    runtime: Runtime
    outbox: PostgresOutbox
    seg: Segmentation
    arrivals: Arrivals
    consumer: BatchConsumer
    timers: TimerLoop
    fills: JobRunner
    reports: JobRunner
    exports: Exports
    webhooks: WebhookLane


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    async with open_runtime(settings, service=GROUP) as runtime, _build_client(settings) as client:
        outbox = PostgresOutbox(runtime.database, runtime.publisher, new_id=runtime.new_id)
        seg = build_segmentation(settings, runtime)
        arrivals = Arrivals(runtime.database, runtime.clock)
        source = KafkaSource(settings.platform, group=GROUP)
        progress = ConsumedProgress(source, partial(consumer_lag, settings.platform, GROUP), runtime.clock)
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(seg, arrivals, progress),
            source=source,
            database=runtime.database,
            outbox=outbox,
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        timers = TimerLoop(runtime.database, outbox, seg, progress, settings.timer_poll_ms / 1000, settings.timer_batch_profiles)
        runtime.health.add("consumer", consumer.check_ready)
        try:
            fills = Fills(runtime.database, outbox, seg, PostgresProfilePages(), settings.fill_chunk_profiles)
            checks = Checks(runtime.database, seg, PostgresProfilePages())
            exports = Exports(runtime.database, seg, PostgresJobs(), PostgresWebhooks(), client, settings.export_dir)
            # Two queues: nobody waits for members because everything is being compared or written out.
            yield Deps(
                settings,
                runtime,
                outbox,
                seg,
                arrivals,
                consumer,
                timers,
                _build_runner(settings, runtime, fills.kinds()),
                _build_runner(settings, runtime, {**checks.kinds(), **exports.kinds()}),
                exports,
                _build_webhooks(settings, runtime, client),
            )
        finally:
            await arrivals.close()


def build_segmentation(settings: Settings, runtime: Runtime) -> Segmentation:
    definitions = PostgresDefinitions()
    return Segmentation(
        definitions=definitions,
        behaviours=PostgresBehaviours(settings.platform.default_currency),
        memberships=PostgresMemberships(),
        view_history=PostgresViewHistory(),
        lists=PostgresLists(),
        registries=Registries(definitions),
        clock=runtime.clock,
        new_id=runtime.new_id,
    )


def _build_runner(settings: Settings, runtime: Runtime, kinds: Mapping[str, JobFunction]) -> JobRunner:
    return JobRunner(runtime.database, kinds, clock=runtime.clock, poll_s=settings.job_poll_ms / 1000)


def _build_client(settings: Settings) -> WebhookClient:
    return WebhookClient(allow_private=settings.webhook_allow_private, timeout_s=settings.webhook_timeout_s)


def _build_webhooks(settings: Settings, runtime: Runtime, client: WebhookClient) -> WebhookLane:
    return WebhookLane(
        runtime.database,
        runtime.clock,
        PostgresWebhooks(),
        client,
        poll_s=settings.webhook_poll_ms / 1000,
        disable_after=timedelta(hours=settings.webhook_disable_after_h),
        keep=timedelta(days=settings.webhook_keep_days),
    )


def create_app(deps: Deps) -> FastAPI:
    runtime = deps.runtime
    app = create_kit_app(
        service=GROUP,
        title="Rapport segmentation",
        description="Groups of customers: who is in, since when, and why.",
        health=runtime.health,
        access=runtime.access,
        clock=runtime.clock,
    )
    api = ApiDeps(
        database=runtime.database,
        seg=deps.seg,
        jobs=PostgresJobs(),
        arrivals=deps.arrivals,
        identity_key=runtime.identity_key,
        preview_source=PostgresProfilePages(),
        trait_names=load_trait_names,
        preview_max_profiles=deps.settings.preview_max_profiles,
        list_max_refs=deps.settings.list_max_refs,
        list_max_bytes=deps.settings.list_max_bytes,
        longest_stream_s=deps.settings.longest_stream_s,
        allow_private_webhooks=deps.settings.webhook_allow_private,
        has_export_folder=deps.settings.export_dir is not None,
    )
    for build_router in ROUTERS:
        app.include_router(build_router(api))
    app.include_router(
        jobs_router(runtime.database, clock=runtime.clock, read_scope="segments:read", write_scope="segments:write")
    )
    return app


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    """Follow profile changes, the clock, and the queues of jobs and webhooks. Where one ends, the others are stopped."""
    ended = asyncio.Event()
    parts = [
        asyncio.create_task(part.run(ended)) for part in (deps.consumer, deps.timers, deps.fills, deps.reports, deps.webhooks)
    ]
    parts.append(asyncio.create_task(purge_keys_regularly(deps.runtime.database, deps.runtime.clock, ended)))
    parts.append(asyncio.create_task(repeat(deps.exports.queue_due, deps.settings.export_poll_s, ended)))
    parts.append(asyncio.create_task(repeat(deps.webhooks.purge, PURGE_EVERY_S, ended)))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.set()
        stopping.cancel()
        await asyncio.gather(stopping, *parts, return_exceptions=True)
    for part in parts:
        part.result()


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
