"""Composition root of profile: `python -m services.profile.main api | worker | all`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from fastapi import FastAPI

from libs.durable.outbox import PostgresOutbox
from libs.durable.runtime import Runtime, open_runtime
from libs.events.envelope import Outgoing
from libs.kit.db import Tx
from libs.kit.freshness import KeptFresh
from libs.kit.ids import Id, read_id
from libs.kit.process import exit_with, run_from_command_line
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.policy import ConsumerPolicy
from libs.messaging.ports import Outbox
from libs.subscriber import Arrivals
from services.profile.adapters.dismissals import DismissingOutbox
from services.profile.adapters.sentiment import VaderSentiment
from services.profile.api.app import create_profile_app
from services.profile.api.deps import ApiDeps
from services.profile.api.reading import Reader
from services.profile.consumer import GROUP, build_handlers
from services.profile.domain.lead import LeadStages
from services.profile.handlers.apply_touchpoints import Applying
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.fold_profiles import ProfileWork, fold_profiles
from services.profile.handlers.regroup_profiles import Regrouping
from services.profile.handlers.tell_profiles import build_present
from services.profile.settings import Settings
from services.profile.store.accounts import PostgresAccounts
from services.profile.store.commands import PostgresCommands
from services.profile.store.facets import PostgresFacets, find_unjudged
from services.profile.store.graph import PostgresGraph
from services.profile.store.outcomes import find_outcomes, load_generation
from services.profile.store.rules import PostgresRules
from services.profile.store.views import load_newer
from services.profile.upkeep import RULES_REFRESH_S, FacetFlusher, RulesKeeper, Upkeep


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a process of this service works with."""

    settings: Settings
    runtime: Runtime
    consumer: BatchConsumer
    upkeep: Upkeep
    api: ApiDeps


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    async with open_runtime(settings, service=GROUP) as runtime:
        outbox = DismissingOutbox(
            PostgresOutbox(runtime.database, runtime.publisher, current=load_current, new_id=runtime.new_id)
        )
        async with runtime.database.connection() as connection:
            generation = await load_generation(connection)
        arrivals = Arrivals(runtime.database, runtime.clock, find=find_outcomes)
        rules = RulesKeeper(runtime.database, PostgresRules(), LiveRules())
        await rules.refresh()
        kept_rules = KeptFresh(rules.refresh, every_s=RULES_REFRESH_S, what="identity rules")
        applying = _build_applying(runtime, rules.live, generation)
        flusher = FacetFlusher(runtime.database, outbox, applying.graph, applying.facets, runtime.clock, generation)
        consumer = BatchConsumer(
            group=GROUP,
            handlers=build_handlers(applying, arrivals),
            source=KafkaSource(settings.platform, group=GROUP),
            database=runtime.database,
            outbox=outbox,
            clock=runtime.clock,
            policy=ConsumerPolicy(batch_max_records=settings.batch_max_records),
        )
        runtime.health.add("consumer", consumer.check_ready)
        reader = Reader(
            database=runtime.database,
            outbox=outbox,
            arrivals=arrivals,
            flusher=flusher,
            identity_key=runtime.identity_key,
            clock=runtime.clock,
            region=settings.platform.default_region,
            batch_max=settings.read_batch_max,
        )
        upkeep = Upkeep(runtime.database, flusher, runtime.clock, settings.facets_flush_interval_s)
        kept_rules.go_on()
        try:
            regrouping = Regrouping(applying, PostgresCommands())
            api = _build_api_deps(settings, runtime, reader, outbox, regrouping, rules)
            yield Deps(settings, runtime, consumer, upkeep, api)
        finally:
            await kept_rules.close()
            await reader.close()
            await arrivals.close()


def _build_applying(runtime: Runtime, rules: LiveRules, generation: int) -> Applying:
    sentiment = VaderSentiment()

    async def fold(tx: Tx, work: Sequence[ProfileWork]) -> None:
        await fold_profiles(tx, work, sentiment=sentiment)

    return Applying(
        graph=PostgresGraph(),
        facets=PostgresFacets(),
        accounts=PostgresAccounts(),
        fold=fold,
        rules=rules,
        fragment_id=runtime.identity_key.fragment_id,
        clock=runtime.clock,
        generation=generation,
        sentiment=sentiment,
    )


def _build_api_deps(
    settings: Settings, runtime: Runtime, reader: Reader, outbox: Outbox, regrouping: Regrouping, rules: RulesKeeper
) -> ApiDeps:
    return ApiDeps(
        database=runtime.database,
        publisher=runtime.publisher,
        reader=reader,
        access=runtime.access,
        identity_key=runtime.identity_key,
        clock=runtime.clock,
        new_id=runtime.new_id,
        env=settings.platform.env,
        region=settings.platform.default_region,
        outbox=outbox,
        regrouping=regrouping,
        longest_stream_s=settings.longest_stream_s,
        rules=rules,
        lead_stages=msgspec.toml.decode(settings.lead_stages.read_bytes(), type=LeadStages),
        consent_defaults=settings.platform.consent_defaults,
    )


async def load_current(tx: Tx, published: Sequence[tuple[bytes, int]]) -> list[Outgoing]:
    """For the outbox: the present records of profiles that have a higher version than was published."""
    versions = [(read_id(Id, key.decode()), version) for key, version in published]
    newer = await load_newer(tx, versions)
    unjudged = await find_unjudged(tx, [profile.id for profile in newer])
    return [build_present(profile, probe=profile.id in unjudged) for profile in newer]


def create_app(deps: Deps) -> FastAPI:
    return create_profile_app(deps.api, deps.runtime.health, deps.runtime.clock)


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    """Follow the topics and tell facets in time; when either fails the other stops, too."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deps.consumer.run(stop))
        tasks.create_task(deps.upkeep.run(stop))


if __name__ == "__main__":
    exit_with(run_from_command_line(GROUP, build, create_app, run_worker, Settings))
