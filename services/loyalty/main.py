"""Composition root of loyalty: `python -m services.loyalty.main api | worker | all`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from libs.durable.outbox import PostgresOutbox
from libs.durable.runtime import Runtime, open_runtime
from libs.durable.upkeep import purge_keys_regularly
from libs.kit.http import create_app as create_kit_app
from libs.kit.process import exit_with, run_from_command_line
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy
from libs.subscriber import Arrivals
from services.loyalty.api import ApiDeps, build_router
from services.loyalty.consumer import GROUP, build_handlers
from services.loyalty.domain.programs import DEFAULT_PROGRAM
from services.loyalty.handlers import Loyalty
from services.loyalty.settings import Settings
from services.loyalty.store import PostgresLedger


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a process of this service works with."""

    runtime: Runtime
    outbox: PostgresOutbox
    loyalty: Loyalty
    arrivals: Arrivals
    consumer: BatchConsumer


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    async with open_runtime(settings, service=GROUP) as runtime:
        outbox = PostgresOutbox(runtime.database, runtime.publisher, new_id=runtime.new_id)
        loyalty = Loyalty(DEFAULT_PROGRAM, PostgresLedger(), runtime.clock, runtime.new_id)
        arrivals = Arrivals(runtime.database, runtime.clock)
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(loyalty, arrivals),
            source=KafkaSource(settings.platform, group=GROUP),
            database=runtime.database,
            outbox=outbox,
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        runtime.health.add("consumer", consumer.check_ready)
        try:
            yield Deps(runtime, outbox, loyalty, arrivals, consumer)
        finally:
            await arrivals.close()


def create_app(deps: Deps) -> FastAPI:
    runtime = deps.runtime
    app = create_kit_app(
        service=GROUP,
        title="Rapport loyalty",
        description="Points: what a member has, what moved it, and spending it.",
        health=runtime.health,
        access=runtime.access,
        clock=runtime.clock,
    )
    app.include_router(build_router(ApiDeps(runtime.database, deps.outbox, deps.loyalty, runtime.identity_key, deps.arrivals)))
    return app


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    """Follow the topics and forget old idempotency keys; when either fails the other stops, too."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deps.consumer.run(stop))
        tasks.create_task(purge_keys_regularly(deps.runtime.database, deps.runtime.clock, stop))


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
