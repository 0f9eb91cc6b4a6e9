"""Profile's tables in dictionaries: what PostgreSQL keeps of the graph, the journal, commands and accounts, one writer at a time.

Rows are kept encoded, as there, so that nothing read is still somebody's object. The same histories run over both
(tests/integration/profile/test_exactness.py), and every table must end the same.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from libs.kit.times import from_micros
from services.profile.domain.accounts import Grouped, merge_stored
from services.profile.domain.graph import EpochOpened, Group
from services.profile.domain.search import SearchKeys
from services.profile.domain.views import FacetRow
from services.profile.ports import (
    BanInForce,
    Lifted,
    Located,
    NewFragment,
    ProfileGraph,
    ProfileGroup,
    ProfileRow,
    Regrouped,
    TimelineEntry,
)
from services.profile.store.graph import decode_nodes, encode_nodes

RENEWED_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True)
class FragmentRow:
    kind: str
    value: str
    epoch: int
    profile_id: UUID
    state: bytes = b""


@dataclass(frozen=True)
class ProfileStored:
    founding: UUID
    founded: int
    version: int = 0
    members: frozenset[UUID] = frozenset()
    absorbed_into: UUID | None = None
    causes: str = ""
    nodes: bytes = b""
    totals: bytes = b""
    identifiers: bytes = b""
    core: bytes = b""
    facets: bytes = b""


@dataclass(frozen=True)
class LinkRow:
    received_max: datetime
    vouched_max: datetime | None
    by_alias: bool
    applied: int


class BanRow(NamedTuple):
    """`void_until` None: for ever, as long as nobody lifts it."""

    void_until: datetime | None
    ban_id: UUID


class RefusalRow(NamedTuple):
    own: UUID
    fragments: frozenset[UUID]
    applied: int


class HistoryRow(NamedTuple):
    kind: str
    profile_id: UUID
    fragments: tuple[UUID, ...]
    command_id: UUID | None


class TimelineRow(NamedTuple):
    fragment: UUID
    applied: int
    body: str


Pair = tuple[UUID, UUID]


@dataclass
class FakeProfileStore:
    """GraphStore, CommandStore, FacetStore (of which nobody ever says anything) and AccountStore in one."""

    touchpoints: set[UUID] = field(default_factory=set)
    fragments: dict[UUID, FragmentRow] = field(default_factory=dict)
    profiles: dict[UUID, ProfileStored] = field(default_factory=dict)
    epochs: dict[UUID, tuple[UUID, int]] = field(default_factory=dict)
    links: dict[Pair, LinkRow] = field(default_factory=dict)
    bans: dict[Pair, BanRow] = field(default_factory=dict)
    refusals: dict[tuple[UUID, str], RefusalRow] = field(default_factory=dict)
    history: dict[tuple[int, UUID], HistoryRow] = field(default_factory=dict)
    timeline: dict[UUID, TimelineRow] = field(default_factory=dict)
    trait_keys: dict[UUID, tuple[int, ...]] = field(default_factory=dict)
    names: dict[UUID, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    accounts: dict[str, bytes] = field(default_factory=dict)
    account_members: dict[tuple[str, UUID], int] = field(default_factory=dict)
    applications: int = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Stands for the database and for a transaction's savepoints."""
        yield self

    # GraphStore

    async def insert_touchpoints(self, tx: Any, ids: Sequence[UUID]) -> set[UUID]:
        new = {one for one in ids if one not in self.touchpoints}
        self.touchpoints |= new
        return new

    async def locate(self, tx: Any, addresses: Collection[UUID]) -> dict[UUID, Located]:
        found = {}
        for address in addresses:
            fragment = self.epochs.get(address, (address, 0))[0]
            if fragment in self.fragments:
                found[address] = Located(fragment, self.fragments[fragment].profile_id)
        return found

    async def insert_fragments(self, tx: Any, fragments: Sequence[NewFragment]) -> set[UUID]:
        new = [one for one in fragments if one.node.fragment not in self.fragments]
        for one in new:
            node = one.node
            self.fragments[node.fragment] = FragmentRow(node.kind, node.value, node.epoch, one.profile_id)
        return {one.node.fragment for one in new}

    async def lock_profiles(self, tx: Any, profile_ids: Sequence[UUID]) -> None:
        assert list(profile_ids) == sorted(profile_ids)

    async def load_groups(self, tx: Any, profile_ids: Collection[UUID]) -> list[ProfileGroup]:
        return [self._load(profile_id) for profile_id in profile_ids if profile_id in self.profiles]

    def _load(self, profile_id: UUID) -> ProfileGroup:
        row = self.profiles[profile_id]
        nodes = {node.fragment: node for node in decode_nodes(row.nodes)}
        before = tuple(nodes)
        return Group(profile_id, row.founding, row.founded, nodes, row.version, True, row.totals, row.core, row.facets, before)

    async def load_states(self, tx: Any, fragments: Collection[UUID]) -> dict[UUID, bytes]:
        return {one: self.fragments[one].state for one in fragments if one in self.fragments}

    async def next_application(self, tx: Any) -> int:
        self.applications += 1
        return self.applications

    async def save_profiles(self, tx: Any, rows: Sequence[ProfileRow], now: datetime) -> None:
        for row in rows:
            group = row.group
            known = self.profiles.get(group.id)
            assert (known is not None) == group.stored
            stored = known or ProfileStored(group.founding, group.founded, members=frozenset(group.nodes))
            if known is not None and row.regrouped:
                root = group.absorbed_into.id if group.absorbed_into else None
                stored = replace(stored, members=frozenset(group.nodes), absorbed_into=root)
            self.profiles[group.id] = replace(
                stored,
                version=group.version,
                causes=",".join(row.causes),
                nodes=encode_nodes(list(group.nodes.values())),
                totals=group.totals,
                identifiers=row.identifiers,
                core=group.core,
                facets=group.facets,
            )

    async def save_fragments(self, tx: Any, states: Mapping[UUID, bytes], moves: Mapping[UUID, UUID]) -> None:
        for fragment, state in states.items():
            self.fragments[fragment] = replace(self.fragments[fragment], state=state)
        for fragment, profile_id in moves.items():
            self.fragments[fragment] = replace(self.fragments[fragment], profile_id=profile_id)

    async def save_graph(self, tx: Any, graph: ProfileGraph, now: datetime) -> None:
        for pair, seen in graph.links.items():
            received = from_micros(seen.received_us)
            vouched = None if seen.vouched_us is None else from_micros(seen.vouched_us)
            self._save_link(pair, LinkRow(received, vouched, seen.by_alias, seen.position))
        for merge in graph.merges:
            self.history[merge.position, merge.absorbed] = HistoryRow("merge", merge.survivor, merge.link, None)
        for refusal in graph.refusals:
            for reason in {refuse.reason for refuse in refusal.refused}:
                gone = frozenset(refuse.claim.fragment for refuse in refusal.refused if refuse.reason == reason)
                self.refusals[refusal.touchpoint_id, reason] = RefusalRow(refusal.own, gone, refusal.position)
        await self.open_epochs(tx, graph.epochs, now)

    def _save_link(self, pair: Pair, link: LinkRow) -> None:
        """A link that stands and was lately renewed is left alone, as long as no ban asks for its age."""
        known = self.links.get(pair)
        if known is None:
            self.links[pair] = link
        elif link.by_alias or self._is_stale(pair, known, link):
            words = [one for one in (known.vouched_max, link.vouched_max) if one is not None]
            self.links[pair] = replace(
                known,
                received_max=max(known.received_max, link.received_max),
                vouched_max=max(words, default=None),
                by_alias=known.by_alias or link.by_alias,
            )

    def _is_stale(self, pair: Pair, known: LinkRow, link: LinkRow) -> bool:
        vouched = link.vouched_max is not None and (
            known.vouched_max is None or link.vouched_max > known.vouched_max + RENEWED_AFTER
        )
        later = link.received_max > known.received_max + (timedelta(0) if pair in self.bans else RENEWED_AFTER)
        return vouched or later

    async def open_epochs(self, tx: Any, epochs: Sequence[EpochOpened], now: datetime) -> None:
        for epoch in epochs:
            self.epochs[epoch.address] = (epoch.node.fragment, epoch.node.epoch)

    async def append_timeline(self, tx: Any, entries: Sequence[TimelineEntry]) -> None:
        for entry in entries:
            assert entry.touchpoint.id not in self.timeline
            self.timeline[entry.touchpoint.id] = TimelineRow(entry.fragment, entry.applied, entry.body.decode())

    async def index_traits(self, tx: Any, keys: Mapping[UUID, SearchKeys | tuple[()]]) -> None:
        for profile_id, own in keys.items():
            self.trait_keys.pop(profile_id, None)
            self.names.pop(profile_id, None)
            if own and own.traits:
                self.trait_keys[profile_id] = tuple(own.traits)
            if own and own.names:
                self.names[profile_id] = (own.name, tuple(own.names))

    # CommandStore

    async def find_foundings(self, tx: Any, profile_ids: Collection[UUID]) -> dict[UUID, UUID]:
        return {one: self.profiles[one].founding for one in profile_ids if one in self.profiles}

    async def find_owners(self, tx: Any, fragments: Collection[UUID]) -> dict[UUID, UUID]:
        return {one: self.fragments[one].profile_id for one in fragments if one in self.fragments}

    async def save_regrouped(self, tx: Any, command: Regrouped, now: datetime) -> None:
        vouched = now if command.kind == "merge" else None
        for link in command.links:
            pair = _sort_pair(link.a, link.b)
            known = self.links.get(pair, LinkRow(now, vouched, link.by_alias, command.position))
            self.links[pair] = replace(
                known,
                received_max=max(known.received_max, now),
                vouched_max=max((one for one in (known.vouched_max, vouched) if one is not None), default=None),
                by_alias=known.by_alias or link.by_alias,
            )
        for a, b in command.banned:
            self.bans[_sort_pair(a, b)] = BanRow(None, command.id)
        self.history[command.position, command.other_id] = HistoryRow(
            command.kind, command.profile_id, command.fragments, command.id
        )

    async def find_ban(self, tx: Any, ban_id: UUID) -> BanInForce | None:
        pairs = list(self._in_force(ban_id))
        if not pairs:
            return None
        fragment = next(row.fragments[0] for row in self.history.values() if row.command_id == ban_id)
        return BanInForce(fragment, tuple({one for pair in pairs for one in pair} - {fragment}))

    async def lift_ban(self, tx: Any, ban_id: UUID, now: datetime) -> set[UUID]:
        pairs = list(self._in_force(ban_id))
        self.bans.update({pair: BanRow(now, ban_id) for pair in pairs})
        return {fragment for pair in pairs for fragment in pair}

    async def save_lifted(self, tx: Any, lifted: Lifted, now: datetime) -> None:
        for other in lifted.others:
            self.history[lifted.position, other] = HistoryRow("unban", lifted.profile_id, (lifted.fragment,), lifted.ban_id)

    def _in_force(self, ban_id: UUID) -> Iterator[Pair]:
        return (pair for pair, ban in self.bans.items() if ban == BanRow(None, ban_id))

    async def save_nodes(self, tx: Any, group: ProfileGroup) -> None:
        nodes = encode_nodes(list(group.nodes.values()))
        self.profiles[group.id] = replace(self.profiles[group.id], nodes=nodes)

    # FacetStore

    async def save_judged(self, tx: Any, versions: Mapping[tuple[UUID, str], int]) -> set[UUID]:
        return set()

    async def take_pending(self, tx: Any, profile_ids: Collection[UUID]) -> set[UUID]:
        return set()

    async def load_facets(self, tx: Any, profile_ids: Collection[UUID]) -> dict[UUID, list[FacetRow]]:
        return {}

    # AccountStore

    async def save_grouped(self, tx: Any, grouped: Grouped) -> None:
        for account_id, account in grouped.accounts.items():
            self.accounts[account_id] = merge_stored(self.accounts.get(account_id, b""), account)
        for key, since_us in grouped.members.items():
            self.account_members[key] = min(since_us, self.account_members.get(key, since_us))


def _sort_pair(a: UUID, b: UUID) -> Pair:
    return (a, b) if a < b else (b, a)
