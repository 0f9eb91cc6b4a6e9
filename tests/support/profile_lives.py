"""Random lives of a few customers who share identifiers and devices, told to the profile service in every way it may hear them.

A life is a list of moves: touchpoints, and commands that merge, split and lift bans. `live` tells it through the real handlers
over dictionaries; `read_journal` says in which order the service applied it; `assert_equal` holds every table against the
reference replayed in that order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.events.touchpoints import TouchpointRecorded
from libs.identity import strength_key
from libs.kit.clock import Clock
from libs.kit.ids import read_id
from libs.kit.times import from_micros
from services.profile.domain.accounts import show_account
from services.profile.domain.nodes import compute_profile_id
from services.profile.errors import BanNotFound, IdentifiersBanned, MergeRefused, OnlyIdentifier, ProfileNotFound, SameProfile
from services.profile.handlers.apply_touchpoints import Applying
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.fold_profiles import ProfileWork, fold_rows
from services.profile.handlers.open_graph import POSITIONS_PER_BATCH_BITS
from services.profile.handlers.regroup_profiles import Regrouping
from services.profile.ports import Sentiment
from tests.builders.touchpoints import make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.fakes.profile_store import RENEWED_AFTER, FakeProfileStore, ProfileStored
from tests.integration.profile.driving import KEY, START, Profiles, make_identifier
from tests.support.fold_histories import KINDS, MOMENTS
from tests.support.plain_profiles import Node, PlainProfiles
from tests.support.profile_orders import show

NAMES = ("u1", "u2", "u3", "e1", "e2", "d1", "d2", "x1", "c1")
HARMLESS = ("u1", "e1", "e2", "d1", "d2", "x1", "c1")
"""One user, everything verified: no rule is ever hit, unless a split has left a ban."""
RECEIVED = START + timedelta(days=2)
REFUSED = (BanNotFound, IdentifiersBanned, MergeRefused, OnlyIdentifier, ProfileNotFound, SameProfile)
PARTITIONS = 3
_touchpoint = msgspec.json.Decoder(TouchpointRecorded, dec_hook=read_id)


class Touch(NamedTuple):
    touchpoint: TouchpointRecorded


class Merge(NamedTuple):
    """`by_id`: names the first by the id of the profile that it founded, if it did."""

    one: str
    other: str
    by_id: bool


class Split(NamedTuple):
    value: str


class Lift(NamedTuple):
    """The ban of the so-many-th split; nothing where there is none."""

    number: int


Move = Touch | Merge | Split | Lift


class Lifted(NamedTuple):
    ban_id: UUID
    at: datetime


# What is told


def _build_touch(number: int, names: Sequence[str], previous: Sequence[str], at: datetime, late: int, said: Any) -> Touch:
    said = {name: value for name, value in said.items() if name not in ("extra", "early")}
    received_at = RECEIVED + timedelta(minutes=number - late)
    built = make_touchpoint(f"life {number}", at=at, received_at=received_at, **said)
    named = sorted(map(make_identifier, names), key=lambda one: strength_key(one.kind, one.value))
    return Touch(replace(built, identifiers=tuple(named), previous=tuple(map(make_identifier, previous))))


def _moves(names: Sequence[str], *, harmless: bool) -> st.SearchStrategy[tuple[str, Any]]:
    one = st.sampled_from(names)
    named = st.lists(one, min_size=1, max_size=3, unique=True)
    if not harmless:
        by_browser = named.map(lambda told: [f"?{name}" if name[0] in "ue" else name for name in told])
        named = st.one_of(named, named, by_browser)
    aliases = st.sampled_from([name for name in names if name[0] in "ud"])
    previous = st.one_of(st.just([]), st.just([]), st.just([]), st.lists(aliases, max_size=2, unique=True))
    touch = st.tuples(named, previous, MOMENTS, st.integers(0, 8), st.one_of([KINDS[kind] for kind in KINDS]))
    return st.one_of(
        touch.map(lambda told: ("touch", told)),
        touch.map(lambda told: ("touch", told)),
        touch.map(lambda told: ("touch", told)),
        touch.map(lambda told: ("touch", told)),
        st.builds(
            lambda a, b, by_id: ("merge", Merge(a, b, by_id)), one, one, st.just(value=False) if harmless else st.booleans()
        ),
        one.map(lambda value: ("split", Split(value))),
        st.integers(0, 2).map(lambda number: ("lift", Lift(number))),
    )


def lives(names: Sequence[str] = NAMES, *, harmless: bool = False, max_size: int = 16) -> st.SearchStrategy[list[Move]]:
    """`harmless`: no browsers' claims, nor ids, which depend on who came first."""

    def build(told: list[tuple[str, Any]]) -> list[Move]:
        return [_build_touch(number, *said) if what == "touch" else said for number, (what, said) in enumerate(told)]

    return st.lists(_moves(names, harmless=harmless), min_size=2, max_size=max_size).map(build)


# How it is told


def make_memory_profiles(store: FakeProfileStore) -> Profiles:
    rows = FakeFactRows()

    def build(clock: Clock, sentiment: Sentiment) -> Regrouping:
        async def fold(_tx: Any, work: Sequence[ProfileWork]) -> None:
            await fold_rows(rows, work, sentiment=sentiment)

        stores: dict[str, Any] = dict.fromkeys(("graph", "facets", "accounts"), store)
        applying = Applying(**stores, fold=fold, rules=LiveRules(), fragment_id=KEY.fragment_id, clock=clock, sentiment=sentiment)
        return Regrouping(applying, store)

    return Profiles(store, stores=build)  # type: ignore[arg-type]


def shuffle_between_commands(moves: Sequence[Move], random: Random) -> list[list[Move]]:
    """Stretches between splits and liftings, each in any order and with copies: what comes before a split stays before it."""
    stretches: list[list[Move]] = [[]]
    for move in moves:
        if isinstance(move, Split | Lift):
            stretches += [[move], []]
        else:
            stretches[-1].append(move)
    return [shuffle(stretch, random) for stretch in stretches if stretch]


def shuffle(moves: Sequence[Move], random: Random) -> list[Move]:
    """Any order, some touchpoints twice or more."""
    again = [move for move in moves if isinstance(move, Touch) and random.random() < 0.25]
    told = [*moves, *again]
    random.shuffle(told)
    return told


def poll(moves: Sequence[Move], random: Random) -> list[list[Touch] | Move]:
    """As workers with partitions of their own would bring it: order holds within a partition, polls cut it anywhere."""
    queues: dict[int, list[Touch]] = {}
    rest: list[Move] = []
    for move in moves:
        if isinstance(move, Touch):
            queues.setdefault(move.touchpoint.identifiers[0].fragment.int % PARTITIONS, []).append(move)
        else:
            rest.append(move)
    told: list[list[Touch] | Move] = []
    while queues or rest:
        if rest and (not queues or random.random() < 0.4):
            told.append(rest.pop(0))
            continue
        batch: list[Touch] = []
        for partition in random.sample(sorted(queues), random.randint(1, min(2, len(queues)))):
            size = random.randint(1, 3)
            batch += queues[partition][:size]
            queues[partition] = queues[partition][size:]
            if not queues[partition]:
                del queues[partition]
        told.append(batch)
    return told


@dataclass
class Told:
    """What the tables don't hold. `between`: liftings and commands that were refused, each after so many applications."""

    between: list[tuple[int, Lifted | Merge | Split]] = field(default_factory=list)
    commands: dict[UUID, Merge | Split] = field(default_factory=dict)
    at: dict[UUID, datetime] = field(default_factory=dict)
    bans: list[UUID] = field(default_factory=list)


async def live(profiles: Profiles, store: FakeProfileStore, stretches: Iterable[Sequence[Move]], random: Random) -> Told:
    """One thing after the other. A merge of somebody who isn't there yet is asked for again at the end of its stretch."""
    told = Told()
    profiles.clock.set(RECEIVED)
    for stretch in stretches:
        await _live_stretch(profiles, store, poll(stretch, random), told)
    return told


async def _live_stretch(
    profiles: Profiles, store: FakeProfileStore, deliveries: Sequence[list[Touch] | Move], told: Told
) -> None:
    waiting: list[Merge] = []
    for delivery in deliveries:
        profiles.clock.advance(timedelta(minutes=1))
        if isinstance(delivery, list):
            await apply(profiles, delivery)
        elif isinstance(delivery, Lift):
            await lift(profiles, delivery, told, store.applications)
        elif not await regroup(profiles, delivery, told):
            told.between.append((store.applications, delivery))
            waiting += [delivery] if isinstance(delivery, Merge) else []
    for merge in waiting:
        profiles.clock.advance(timedelta(minutes=1))
        if not await regroup(profiles, merge, told):
            told.between.append((store.applications, merge))


async def apply(profiles: Profiles, batch: Sequence[Touch]) -> None:
    await profiles.apply(*(one.touchpoint for one in batch))


async def lift(profiles: Profiles, move: Lift, told: Told, applied: int) -> None:
    if move.number < len(told.bans):
        try:
            await profiles.lift(told.bans[move.number])
        except BanNotFound:
            return
        told.between.append((applied, Lifted(told.bans[move.number], profiles.clock.now())))


async def regroup(profiles: Profiles, move: Merge | Split, told: Told) -> bool:
    """Whether it was done."""
    command_id = profiles.new_id()
    try:
        if isinstance(move, Merge):
            await profiles.merge(compute_target(move), move.other, command_id=command_id)
        else:
            await profiles.split(move.value, move.value, command_id=command_id)
            told.bans.append(command_id)
    except REFUSED:
        return False
    told.commands[command_id] = move
    told.at[command_id] = profiles.clock.now()
    return True


def compute_target(move: Merge) -> UUID | str:
    return compute_profile_id(make_identifier(move.one).fragment) if move.by_id else move.one


# What came of it


class Applied(NamedTuple):
    """A batch in its order, or a command, at its place in the order of application."""

    number: int
    touchpoints: tuple[TouchpointRecorded, ...] = ()
    command_id: UUID | None = None


def read_journal(store: FakeProfileStore) -> list[Applied]:
    batches: dict[int, list[tuple[int, TouchpointRecorded]]] = {}
    for row in store.timeline.values():
        batches.setdefault(row.applied >> POSITIONS_PER_BATCH_BITS, []).append((row.applied, _touchpoint.decode(row.body)))
    journal = [
        Applied(number, tuple(touchpoint for _, touchpoint in sorted(batch, key=lambda one: one[0])))
        for number, batch in batches.items()
    ]
    for (applied, _), row in store.history.items():
        if row.command_id is not None and row.kind != "unban":
            journal.append(Applied(applied >> POSITIONS_PER_BATCH_BITS, command_id=row.command_id))
    return sorted(journal, key=lambda one: one.number)


def replay(store: FakeProfileStore, told: Told, plain: PlainProfiles | None = None) -> PlainProfiles:
    """The reference, told the same in the journalled order. What was refused then must be refused now."""
    plain = plain or PlainProfiles()
    between = list(told.between)
    for applied in [*read_journal(store), Applied(store.applications + 1)]:
        while between and between[0][0] < applied.number:
            _replay_between(plain, between.pop(0)[1])
        plain.apply(applied.touchpoints)
        if applied.command_id is not None:
            assert run_command(plain, told.commands[applied.command_id], applied.command_id), "the reference refuses it"
    return plain


def _replay_between(plain: PlainProfiles, what: Lifted | Merge | Split) -> None:
    if isinstance(what, Lifted):
        plain.lift(*what)
    else:
        assert not run_command(plain, what, UUID(int=0)), "the reference doesn't refuse it"


def run_command(plain: PlainProfiles, move: Merge | Split, command_id: UUID) -> bool:
    if isinstance(move, Split):
        return plain.split(move.value, command_id)
    return plain.merge((move.one, 0) if move.by_id else move.one, move.other)


def tell_plainly(moves: Sequence[Move]) -> PlainProfiles:
    """As it is written, one thing after the other, with nothing in between."""
    plain = PlainProfiles()
    waiting: list[Merge] = []
    splits: list[UUID] = []
    for number, move in enumerate([*moves, None]):
        if not isinstance(move, Touch | Merge):
            for merge in waiting:
                run_command(plain, merge, UUID(int=0))
            waiting.clear()
        if isinstance(move, Touch):
            plain.apply([move.touchpoint])
        elif isinstance(move, Merge):
            waiting += [] if run_command(plain, move, UUID(int=0)) else [move]
        elif isinstance(move, Split):
            splits += [UUID(int=number)] if run_command(plain, move, UUID(int=number)) else []
        elif isinstance(move, Lift) and move.number < len(splits):
            plain.lift(splits[move.number], RECEIVED + timedelta(minutes=number))
    return plain


def assert_equal(store: FakeProfileStore, plain: PlainProfiles) -> None:
    """Every table says what the reference does; ids stand for what founded them."""
    nodes = {id_: (row.value, row.epoch) for id_, row in store.fragments.items()}
    names = {id_: nodes[row.founding] for id_, row in store.profiles.items()}
    assert show_profiles(store, nodes) == plain.show_profiles()
    assert {
        names[id_]: names[store.fragments[row.founding].profile_id] for id_, row in store.profiles.items()
    } == plain.show_leads()
    assert {names[id_]: names[follow(store, id_)] for id_ in store.profiles} == plain.show_leads()
    assert all((row.absorbed_into is None) == bool(row.members) for row in store.profiles.values())
    assert {nodes[one]: names[row.profile_id] for one, row in store.fragments.items()} == {
        node: name for name, members in plain.profiles.items() for node in members
    }
    assert {id_: nodes[row.fragment] for id_, row in store.timeline.items()} == plain.identity.owner
    assert {
        (id_, nodes[fragment][0], reason) for (id_, reason), row in store.refusals.items() for fragment in row.fragments
    } == plain.show_refusals()
    assert {frozenset(nodes[one] for one in pair): ban.void_until for pair, ban in store.bans.items()} == plain.show_bans()
    links = {frozenset(nodes[one] for one in pair): row.received_max for pair, row in store.links.items()}
    assert all(links[pair] >= at - RENEWED_AFTER for pair, at in plain.show_links().items())
    told = [(row.kind, names[row.profile_id], names[other]) for (_, other), row in store.history.items() if row.kind != "unban"]
    assert sorted(told) == sorted(plain.regrouped)
    assert show_accounts(store, nodes) == plain.show_accounts()


def follow(store: FakeProfileStore, profile_id: UUID) -> UUID:
    """Whom an absorbed row names, and whom that one names if it was absorbed later."""
    while (root := store.profiles[profile_id].absorbed_into) is not None:
        profile_id = root
    return profile_id


def show_profiles(store: FakeProfileStore, nodes: Mapping[UUID, Node]) -> dict[Node, dict[str, Any]]:
    return {
        nodes[row.founding]: {"members": sorted(nodes[one] for one in row.members), **_view(row)}
        for row in store.profiles.values()
        if row.members
    }


def _view(row: ProfileStored) -> dict[str, Any]:
    if row.version == 0:
        return {}
    identifiers = msgspec.json.decode(row.identifiers)
    for one in identifiers:
        del one["fragment"]
    return {"identifiers": identifiers, **msgspec.json.decode(b"{%b}" % row.core)}


def show_accounts(store: FakeProfileStore, nodes: Mapping[UUID, Node]) -> dict[str, dict[str, Any]]:
    shown = {}
    for account_id, stored in store.accounts.items():
        account = msgspec.json.decode(msgspec.json.encode(show_account(account_id, stored)))
        members = {nodes[one]: show(from_micros(since)) for (of, one), since in store.account_members.items() if of == account_id}
        shown[account_id] = {"since": account["since"], "traits": account["traits"], "members": members}
    return shown


def views_by_label(shown: Mapping[Node, Mapping[str, Any]]) -> dict[tuple[Node, ...], dict[str, Any]]:
    """Less who founded it, which depends on the order."""
    return {tuple(view["members"]): dict(view) for view in shown.values() if "identifiers" in view}
