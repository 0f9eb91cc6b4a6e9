"""Composition root of engagement: `python -m services.engagement.main api | worker | all`."""

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
from services.engagement.adapters.smtp import SmtpMailer
from services.engagement.api.deps import ApiDeps
from services.engagement.api.routes import build_router
from services.engagement.consumer import GROUP, build_handlers
from services.engagement.handlers import Engagement
from services.engagement.sender import Sender
from services.engagement.settings import Settings
from services.engagement.store import Library, PostgresOutreach

_OWNER_BITS = 62


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a process of this service works with."""

    settings: Settings
    runtime: Runtime
    outbox: PostgresOutbox
    engagement: Engagement
    arrivals: Arrivals
    consumer: BatchConsumer
    sender: Sender


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    async with open_runtime(settings, service=GROUP) as runtime:
        outbox = PostgresOutbox(runtime.database, runtime.publisher, new_id=runtime.new_id)
        engagement = Engagement(
            PostgresOutreach(), runtime.identity_key, runtime.clock, runtime.new_id, settings.platform.consent_defaults
        )
        arrivals = Arrivals(runtime.database, runtime.clock)
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(engagement, arrivals),
            source=KafkaSource(settings.platform, group=GROUP),
            database=runtime.database,
            outbox=outbox,
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        runtime.health.add("consumer", consumer.check_ready)
        try:
            yield Deps(
                settings, runtime, outbox, engagement, arrivals, consumer, _build_sender(settings, runtime, outbox, engagement)
            )
        finally:
            await arrivals.close()


def _build_sender(settings: Settings, runtime: Runtime, outbox: PostgresOutbox, engagement: Engagement) -> Sender:
    mailer = SmtpMailer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=settings.smtp_password,
        use_tls=settings.smtp_use_tls,
        domain=settings.message_id_domain,
        timeout_s=settings.smtp_timeout_s,
        clock=runtime.clock,
    )
    return Sender(
        database=runtime.database,
        outbox=outbox,
        engagement=engagement,
        mailer=mailer,
        public_url=settings.public_url.rstrip("/"),
        new_owner=lambda: runtime.new_id().int & ((1 << _OWNER_BITS) - 1),
        pause_s=settings.send_pause_s,
    )


def create_app(deps: Deps) -> FastAPI:
    runtime = deps.runtime
    app = create_kit_app(
        service=GROUP,
        title="Rapport engagement",
        description="Consented messages: templates, campaigns, and what became of each message.",
        health=runtime.health,
        access=runtime.access,
        clock=runtime.clock,
    )
    app.include_router(
        build_router(
            ApiDeps(
                database=runtime.database,
                outbox=deps.outbox,
                engagement=deps.engagement,
                library=Library(),
                identity_key=runtime.identity_key,
                arrivals=deps.arrivals,
                default_sender=deps.settings.default_sender,
            )
        )
    )
    return app


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    """Follow the topics, send, and forget old idempotency keys; when one fails the others stop, too."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deps.consumer.run(stop))
        tasks.create_task(deps.sender.run(stop))
        tasks.create_task(purge_keys_regularly(deps.runtime.database, deps.runtime.clock, stop))


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
