"""Drives the profile service's use cases over real PostgreSQL: touchpoints in, rows and records out."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from libs.events import codec
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import ProfileChanged
from libs.events.topics import TOUCHPOINTS
from libs.events.touchpoints import ConsentStatement, Identifier, TouchpointRecorded, compute_touchpoint_id
from libs.identity import IdentityKey, strength_key
from libs.kit.clock import Clock, FakeClock
from libs.kit.db import Database, Tx
from libs.kit.ids import build_id_factory
from libs.messaging.ports import BatchResult
from libs.orders.statements import OrderStatement
from services.profile.domain.rules import INSTALLED, KindRules, Rules
from services.profile.handlers.apply_facets import apply_facets, flush_facets
from services.profile.handlers.apply_touchpoints import Applying, apply_touchpoints
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.fold_profiles import fold_profiles
from services.profile.handlers.regroup_profiles import (
    Command,
    Regrouping,
    Regroupment,
    lift_ban,
    merge_profiles,
    split_profile,
)
from services.profile.ports import Sentiment
from services.profile.store.accounts import PostgresAccounts
from services.profile.store.commands import PostgresCommands
from services.profile.store.facets import PostgresFacets
from services.profile.store.graph import PostgresGraph
from services.profile.store.views import load_by_address, load_by_id
from services.profile.tables import METADATA

KEY = IdentityKey(b"a key for tests only, 32 bytes..")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = {"u": "user_id", "e": "email", "d": "anonymous_id", "x": "device_id", "c": "loyalty_card"}


def make_identifier(name: str) -> Identifier:
    """`u1`: user_id u1; `e1`, `d1`, `x1`, `c1` likewise; `?` in front: only claimed by a browser."""
    verified, value = not name.startswith("?"), name.lstrip("?")
    kind = KINDS[value[0]]
    return Identifier(kind=kind, value=value, fragment=KEY.fragment_id(kind, value), verified=verified)


def _identifiers(names: Sequence[str]) -> tuple[Identifier, ...]:
    return tuple(sorted(map(make_identifier, names), key=lambda one: strength_key(one.kind, one.value)))


def make_touchpoint(
    number: int | str, *names: str, previous: Sequence[str] = (), minute: float | None = None, **fields: Any
) -> TouchpointRecorded:
    at = START + timedelta(minutes=minute if minute is not None else float(number))
    values: dict[str, Any] = {
        "id": compute_touchpoint_id("test", str(number)),
        "message_id": str(number),
        "source_id": "test",
        "kind": "track",
        "name": "Button Clicked",
        "channel": "web",
        "occurred_at": at,
        "received_at": at,
        "identifiers": _identifiers(names),
        "previous": _identifiers(previous),
    }
    return TouchpointRecorded(**(values | fields))


def make_order(
    number: int | str, *names: str, order_id: str, amount: str, step: str = "completed", **fields: Any
) -> TouchpointRecorded:
    statement = OrderStatement(step=step, order_id=order_id, amount=amount, currency="EUR")  # type: ignore[arg-type]
    return make_touchpoint(number, *names, name=f"Order {step.capitalize()}", order=statement, channel="server", **fields)


def make_identify(number: int | str, *names: str, **traits: Any) -> TouchpointRecorded:
    return make_touchpoint(number, *names, kind="identify", name="Identified", traits=msgspec.Raw(msgspec.json.encode(traits)))


def make_consent(number: int | str, *names: str, status: str = "granted") -> TouchpointRecorded:
    statement = ConsentStatement(purpose="marketing", channel="email", status=status)  # type: ignore[arg-type]
    return make_touchpoint(number, *names, name="Consent Changed", consent=(statement,))


def encode_touchpoint(touchpoint: TouchpointRecorded) -> Outgoing:
    return codec.encode(
        touchpoint,
        topic=TOUCHPOINTS,
        key=touchpoint.identifiers[0].fragment,
        event_id=str(touchpoint.id),
        source=touchpoint.source_id,
        time=touchpoint.occurred_at,
        received_ms=int(touchpoint.received_at.timestamp() * 1000),
    )


def to_incoming(outgoing: Outgoing, partition: int = 0, offset: int = 0) -> Incoming:
    headers = dict(outgoing.headers)
    return Incoming(outgoing.topic, partition, offset, outgoing.key, outgoing.value, headers, outgoing.timestamp_ms or 0)


class FlatSentiment:
    """Everything is of the same mood; `version` and `score` may be set to another one's."""

    def __init__(self) -> None:
        self.version = "flat-1"
        self.score = "0.0000"
        self.scored: list[str] = []

    def __call__(self, text: str) -> str:
        return self.score

    async def warm(self, texts: Collection[str]) -> None:
        self.scored += texts


def _target(ref: str | UUID) -> UUID | tuple[str, str]:
    return ref if isinstance(ref, UUID) else (KINDS[ref[0]], ref)


def make_applying(clock: Clock, rules: LiveRules | None = None, sentiment: Sentiment | None = None) -> Applying:
    """All stores real."""
    scoring = sentiment or FlatSentiment()

    async def fold(tx: Tx, work: Sequence[Any]) -> None:
        await fold_profiles(tx, work, sentiment=scoring)

    return Applying(
        graph=PostgresGraph(),
        facets=PostgresFacets(),
        accounts=PostgresAccounts(),
        fold=fold,
        rules=rules or LiveRules(),
        fragment_id=KEY.fragment_id,
        clock=clock,
        sentiment=scoring,
    )


async def empty(database: Database) -> None:
    tables = ", ".join(sorted(set(METADATA.tables) - {"generation"}))
    async with database.connection() as connection:
        await connection.execute(f"TRUNCATE {tables}")


def make_regrouping(clock: Clock, sentiment: Sentiment) -> Regrouping:
    return Regrouping(make_applying(clock, sentiment=sentiment), PostgresCommands())


@dataclass
class Profiles:
    """The service without its edges. `log` is every record told, in the order of the commits."""

    database: Database
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    sentiment: FlatSentiment = field(default_factory=FlatSentiment)
    log: list[Outgoing] = field(default_factory=list)
    offset: int = 0
    stores: Callable[[Clock, Sentiment], Regrouping] = make_regrouping

    def __post_init__(self) -> None:
        self.regrouping = self.stores(self.clock, self.sentiment)
        self.applying = self.regrouping.applying
        self.graph, self.facets = self.applying.graph, self.applying.facets
        self.handle = partial(apply_touchpoints, applying=self.applying)
        self.new_id = build_id_factory(self.clock)

    def decide_by(self, **kinds: KindRules) -> None:
        """Rules for what comes: these kinds, the others as installed."""
        self.applying.rules.in_force = Rules({**INSTALLED, **kinds}, self.applying.rules.in_force.version + 1)

    async def apply(self, *touchpoints: TouchpointRecorded) -> BatchResult:
        """One poll."""
        messages = [to_incoming(encode_touchpoint(one), offset=self.offset + index) for index, one in enumerate(touchpoints)]
        self.offset += len(messages)
        async with self.database.transaction() as tx:
            result = await self.handle(tx, messages)
        self.log += result.outgoing
        return result

    async def apply_facets(self, *events: Outgoing) -> BatchResult:
        async with self.database.transaction() as tx:
            return await apply_facets(tx, [to_incoming(event) for event in events], self.graph, self.facets)

    async def flush(self) -> list[Outgoing]:
        async with self.database.transaction() as tx:
            outgoing = await flush_facets(tx, self.graph, self.facets, self.clock, 0)
        self.log += outgoing
        return outgoing

    async def merge(
        self, one: str | UUID, other: str | UUID, reason: str = "one person", *, command_id: UUID | None = None
    ) -> Regroupment:
        command = self._command(reason, command_id)
        return await self._regroup(lambda tx: merge_profiles(tx, _target(one), _target(other), command, self.regrouping))

    async def split(
        self, ref: str | UUID, name: str, reason: str = "two persons", *, command_id: UUID | None = None
    ) -> tuple[Regroupment, UUID]:
        """What was made, and the ban's id."""
        command = self._command(reason, command_id)
        identifier = (KINDS[name[0]], name)
        return await self._regroup(lambda tx: split_profile(tx, _target(ref), identifier, command, self.regrouping)), command.id

    async def lift(self, ban_id: UUID) -> None:
        async with self.database.transaction() as tx:
            await lift_ban(tx, ban_id, "tester", self.regrouping)

    async def _regroup(self, run: Callable[[Tx], Awaitable[Regroupment]]) -> Regroupment:
        async with self.database.transaction() as tx:
            made = await run(tx)
        self.log += made.outgoing
        return made

    def _command(self, reason: str, command_id: UUID | None) -> Command:
        return Command(command_id or self.new_id(), "tester", reason)

    async def view(self, name: str | UUID) -> dict[str, Any] | None:
        async with self.database.connection() as connection:
            if isinstance(name, UUID):
                profile = (await load_by_id(connection, [name])).get(name)
            else:
                address = make_identifier(name).fragment
                profile = (await load_by_address(connection, [address])).get(address)
        if profile is None:
            return None
        core = msgspec.json.decode(b"{%b}" % profile.core)
        facets = msgspec.json.decode(b"{%b}" % profile.facets) if profile.facets else {}
        return (
            {"id": profile.id, "version": profile.version, "identifiers": msgspec.json.decode(profile.identifiers)}
            | core
            | facets
        )

    async def members(self, name: str) -> set[str]:
        """Live identifiers of the profile that a value resolves to; none where it resolves to nobody."""
        view = await self.view(name)
        return {one["value"] for one in view["identifiers"]} if view else set()

    def told(self) -> list[ProfileChanged]:
        found = [codec.decode(to_incoming(outgoing)) for outgoing in self.log]
        return [event for event in found if isinstance(event, ProfileChanged)]

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return await connection.fetch(statement, *arguments)
