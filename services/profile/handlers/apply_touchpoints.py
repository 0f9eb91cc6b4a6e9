"""The consumer of `touchpoints`: every touchpoint's effects in one transaction, exactly once, in the order of DESIGN 4.2."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from msgspec import Raw
from msgspec.structs import replace

from libs.events import codec
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import Cause
from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.messaging.outcomes import DUPLICATE, HANDLED, Ignored, Outcome, Reject
from libs.messaging.ports import BatchResult
from services.profile.domain.accounts import collect_grouped
from services.profile.domain.edits import COMMAND_SOURCES
from services.profile.domain.graph import BlockedSeen
from services.profile.domain.identity import BLOCKED, NO_IDENTIFIER
from services.profile.domain.messages import choose_last, render_last_message
from services.profile.domain.rules import Rules
from services.profile.domain.search import SearchKeys, compute_trait_keys
from services.profile.domain.texts import read_text_to_score
from services.profile.domain.views import compare_facets, render_facets
from services.profile.handlers.change_rules import LiveRules
from services.profile.handlers.fold_profiles import ProfileWork
from services.profile.handlers.metrics import EPOCHS_OPENED, MERGES, PROFILES_CREATED, REFUSALS, VERSIONS
from services.profile.handlers.open_graph import POSITIONS_PER_TOUCHPOINT, OpenedGraph, open_graph, sort_ids
from services.profile.handlers.tell_profiles import Moment, Told, make_moment, tell_absorbed, tell_ignored, tell_version
from services.profile.ports import (
    AccountStore,
    FacetStore,
    FragmentIds,
    GraphStore,
    NewFragment,
    ProfileGraph,
    ProfileGroup,
    ProfileRow,
    ScoredText,
    Sentiment,
    TimelineEntry,
)

Fold: TypeAlias = Callable[[Tx, Sequence[ProfileWork]], Awaitable[None]]
UNKNOWN_TYPE = Ignored("unknown_type")
LEFT_WITH_NONE = Ignored(NO_IDENTIFIER)
APPLIED: Final[tuple[Cause, ...]] = ("touchpoint",)
MERGED: Final[tuple[Cause, ...]] = ("merge", "touchpoint")


@dataclass(frozen=True, slots=True)
class Applying:
    """What applying touchpoints needs. `generation` is read once at start: only a rebuild with stopped workers raises it.

    Texts are scored before anything is asked or locked.
    """

    graph: GraphStore
    facets: FacetStore
    accounts: AccountStore
    fold: Fold
    rules: LiveRules
    fragment_id: FragmentIds
    clock: Clock
    sentiment: Sentiment
    generation: int = 0


async def apply_touchpoints(tx: Tx, messages: Sequence[Incoming], applying: Applying) -> BatchResult:
    """A BatchHandler. (1) New ids only; (2)-(4) the graph under its locks; (5) fold, write each row once, tell each profile."""
    outcomes: list[Outcome] = [DUPLICATE] * len(messages)
    read = _read(messages, outcomes)
    sentiments = await _score_texts([touchpoint for _, touchpoint in read], applying.sentiment)
    fresh = await _keep_new(tx, read, outcomes, applying.graph)
    if not fresh:
        return BatchResult(outcomes)
    rules = applying.rules.in_force
    kept, ignored = _drop_blocked(fresh, rules) if rules.drops else ([_Kept(*one) for one in fresh], [])
    opened = await open_graph(tx, [one.touchpoint for one in kept], applying.graph, rules, applying.fragment_id)
    for number, one in enumerate(kept):
        opened.graph.apply(opened.base + number * POSITIONS_PER_TOUCHPOINT, one.touchpoint, one.blocked, one.sent)
    for number, one in enumerate(ignored, len(kept)):
        outcomes[one.place] = LEFT_WITH_NONE
        position = opened.base + number * POSITIONS_PER_TOUCHPOINT
        opened.graph.blocked.append(BlockedSeen(position, one.touchpoint.id, None, one.blocked))
    groups = opened.graph.groups()
    for group in groups:
        if group.absorbed:
            _settle_absorbed(group)
    await take_facets(tx, groups, applying.facets)
    folded = [group for group in groups if group.applied or group.absorbed]
    states = await fold_groups(tx, folded, opened.missing, applying)
    batch = _Batch(opened, [messages[one.place] for one in kept], states, sentiments)
    outgoing = await _write(tx, groups, batch, applying)
    _count(groups, opened.graph)
    return BatchResult(outcomes, outgoing)


class _Kept(NamedTuple):
    """A new touchpoint, its place in the poll, which of its identifiers it is taken without, and how it was `sent` with them."""

    place: int
    touchpoint: TouchpointRecorded
    blocked: tuple[Identifier, ...] = ()
    sent: TouchpointRecorded | None = None


def _drop_blocked(fresh: Sequence[tuple[int, TouchpointRecorded]], rules: Rules) -> tuple[list[_Kept], list[_Kept]]:
    """Those that are left with an identifier of their own, without the blocked ones; those that aren't, as they came."""
    kept: list[_Kept] = []
    ignored: list[_Kept] = []
    for place, touchpoint in fresh:
        own, blocked = rules.sort_out(touchpoint.identifiers)
        if touchpoint.source_id in COMMAND_SOURCES and touchpoint.identifiers[0] in blocked:
            # It is addressed to somebody we know already: whoever is known by a value that is blocked now may still say no.
            own, blocked = (touchpoint.identifiers[0], *own), tuple(one for one in blocked if one != touchpoint.identifiers[0])
        previous, given_up = rules.sort_out(touchpoint.previous)
        if not own:
            ignored.append(_Kept(place, touchpoint, blocked + given_up))
        elif blocked or given_up:
            named = replace(touchpoint, identifiers=own, previous=previous)
            kept.append(_Kept(place, named, blocked + given_up, touchpoint))
        else:
            kept.append(_Kept(place, touchpoint))
    return kept, ignored


@dataclass(frozen=True, slots=True)
class _Batch:
    """`messages` in the order of application; `sentiments` by touchpoint id."""

    opened: OpenedGraph
    messages: Sequence[Incoming]
    states: dict[UUID, bytes]
    sentiments: Mapping[UUID, ScoredText]


async def _score_texts(touchpoints: Iterable[TouchpointRecorded], sentiment: Sentiment) -> dict[UUID, ScoredText]:
    texts = {one.id: text for one in touchpoints if (text := read_text_to_score(one)) is not None}
    if not texts:
        return {}
    await sentiment.warm(texts.values())
    return {id_: ScoredText(Raw(sentiment(text).encode()), sentiment.version) for id_, text in texts.items()}


def _read(messages: Sequence[Incoming], outcomes: list[Outcome]) -> list[tuple[int, TouchpointRecorded]]:
    """Decoded touchpoints with their places in the poll, in the order in which they are applied: (partition, offset)."""
    read = []
    for index, message in enumerate(messages):
        try:
            event = codec.decode(message)
        except codec.EventMalformed:
            outcomes[index] = Reject("malformed", "decode")
            continue
        if isinstance(event, TouchpointRecorded):
            read.append((index, event))
        else:
            outcomes[index] = UNKNOWN_TYPE
    read.sort(key=lambda one: (messages[one[0]].partition, messages[one[0]].offset))
    return read


async def _keep_new(
    tx: Tx, read: Sequence[tuple[int, TouchpointRecorded]], outcomes: list[Outcome], store: GraphStore
) -> list[tuple[int, TouchpointRecorded]]:
    """The first copy of each id that was never applied before."""
    if not read:
        return []
    first: dict[UUID, tuple[int, TouchpointRecorded]] = {}
    for one in read:
        first.setdefault(one[1].id, one)
    new = await store.insert_touchpoints(tx, sort_ids(first))
    fresh = list(first.values()) if len(new) == len(first) else [one for one in first.values() if one[1].id in new]
    for index, _ in fresh:
        outcomes[index] = HANDLED
    return fresh


def _settle_absorbed(group: ProfileGroup) -> None:
    """What several profiles had applied stands in one order; whoever was absorbed on the way points at the root."""
    group.applied.sort(key=lambda applied: applied.position)
    for gone in group.absorbed:
        gone.absorbed_into = group


async def take_facets(tx: Tx, groups: Iterable[ProfileGroup], store: FacetStore, *, afresh: bool = False) -> None:
    """Facets that changed meanwhile become part of this version instead of making one of their own.

    `afresh`: whether any wait or not, for a profile that may have been absorbed when they came.
    """
    told = {group.id: group for group in groups if group.stored and group.is_told}
    pending = await store.take_pending(tx, told.keys()) if told else set()
    wanted = told.keys() if afresh else pending
    if not wanted:
        return
    rows = await store.load_facets(tx, wanted)
    for profile_id in wanted:
        facets = render_facets(rows.get(profile_id, ()))
        parts = compare_facets(told[profile_id].facets, facets)
        if parts:
            told[profile_id].parts |= parts
            told[profile_id].facets = facets


async def fold_groups(
    tx: Tx, folded: Sequence[ProfileGroup], missing: Collection[UUID], applying: Applying, *, rebuild: bool = False
) -> dict[UUID, bytes]:
    """Fold what was applied, and what merges brought together or splits took apart (`rebuild`); changed states by fragment."""
    if missing:
        stored = [fragment for group in folded for fragment in group.nodes if fragment not in missing]
    else:
        stored = [fragment for group in folded for fragment in group.nodes]
    states = await applying.graph.load_states(tx, stored) if stored else {}
    work = [_build_work(group, states, rebuild=rebuild) for group in folded]
    await applying.fold(tx, work)
    changed: dict[UUID, bytes] = {}
    for group, one in zip(folded, work, strict=True):
        last = render_last_message(choose_last(node.message for node in group.nodes.values()))
        group.totals, group.core = one.totals, b"%b,%b" % (one.core, last)
        group.parts |= one.parts
        changed.update(one.changed_states)
    return changed


def _build_work(group: ProfileGroup, states: Mapping[UUID, bytes], *, rebuild: bool) -> ProfileWork:
    members = tuple(group.nodes)
    return ProfileWork(
        profile_id=group.id,
        members=members,
        absorbed=tuple((gone.id, gone.members_before, gone.totals) for gone in group.absorbed),
        own_before=group.members_before,
        applied=[(applied.fragment, applied.touchpoint) for applied in group.applied],
        states={fragment: states.get(fragment, b"") for fragment in members},
        totals=group.totals,
        core=b"" if rebuild else group.core,
        rebuild=rebuild,
        refused={applied.touchpoint.id: applied.refused for applied in group.applied if applied.refused},
    )


async def _write(tx: Tx, groups: Sequence[ProfileGroup], batch: _Batch, applying: Applying) -> list[Outgoing]:
    """Every row once; what is to be published once they are committed."""
    moment = make_moment(applying.clock.now(), applying.generation)
    graph, store = batch.opened.graph, applying.graph
    told = Told(batch.messages, batch.opened.base)
    rows, outgoing = _tell(groups, graph, told, moment)
    if graph.epochs:
        await store.insert_fragments(tx, [NewFragment(one.node, graph.owner[one.node.fragment].id) for one in graph.epochs])
    await store.save_fragments(tx, batch.states, _find_moves(groups, batch.opened))
    await store.save_profiles(tx, rows, moment.now)
    await store.save_graph(tx, graph, moment.now)
    await store.append_timeline(tx, _list_timeline(groups, told, batch.sentiments))
    keys: dict[UUID, SearchKeys | tuple[()]] = {
        group.id: compute_trait_keys(group.core) for group in groups if "traits" in group.parts
    }
    keys.update({gone.id: () for group in groups for gone in group.absorbed})
    ignored = {one.touchpoint_id: NO_IDENTIFIER for one in graph.blocked if one.own is None}
    if ignored:
        await store.save_ignored(tx, ignored, moment.now)
        outgoing += [tell_ignored(touchpoint_id, reason, moment) for touchpoint_id, reason in ignored.items()]
    if keys:
        await store.index_traits(tx, keys)
    applied = [one for group in groups for one in group.applied]
    # Last, because other profiles' workers wait for these rows.
    grouped = collect_grouped((one.fragment, one.touchpoint) for one in applied)
    if grouped.accounts:
        await applying.accounts.save_grouped(tx, grouped)
    return outgoing


def _tell(
    groups: Iterable[ProfileGroup], graph: ProfileGraph, told: Told, moment: Moment
) -> tuple[list[ProfileRow], list[Outgoing]]:
    """The rows to write and the records that tell of them: survivors and those that became part of one."""
    rows: list[ProfileRow] = []
    outgoing: list[Outgoing] = []
    for group in groups:
        if group.is_told:
            causes = MERGED if group.absorbed else APPLIED
            identifiers, records = tell_version(group, moment, causes, told)
            rows.append(ProfileRow(group, causes, "membership" in group.parts, identifiers))
            outgoing += records
        elif not group.stored or group.parts:
            rows.append(ProfileRow(group, (), "membership" in group.parts))
        for gone in group.absorbed:
            outgoing.append(tell_absorbed(gone, group.id, moment))
            gone.totals, gone.core = b"", b""
            rows.append(ProfileRow(gone, ("merge",), regrouped=True))
    for gone in graph.dissolved:
        gone.absorbed_into = _find_root(gone)
        rows.append(ProfileRow(gone, (), regrouped=True))
    return rows, outgoing


def _find_root(group: ProfileGroup) -> ProfileGroup:
    while group.absorbed_into is not None:
        group = group.absorbed_into
    return group


def _find_moves(groups: Iterable[ProfileGroup], opened: OpenedGraph) -> dict[UUID, UUID]:
    """Fragments whose row names another profile than the one that has them now."""
    return {
        fragment: group.id
        for group in groups
        if not group.stored or "membership" in group.parts
        for fragment in group.nodes
        if opened.pointers.get(fragment, group.id) != group.id
    }


def _list_timeline(groups: Iterable[ProfileGroup], told: Told, sentiments: Mapping[UUID, ScoredText]) -> list[TimelineEntry]:
    return [
        TimelineEntry(
            applied.fragment,
            applied.position,
            applied.touchpoint,
            told.body_of(applied.position),
            sentiments.get(applied.touchpoint.id),
        )
        for group in groups
        for applied in group.applied
    ]


def _count(groups: Iterable[ProfileGroup], graph: ProfileGraph) -> None:
    """Counts what is about to be committed; a batch that is rolled back and tried again counts twice."""
    told = [group for group in groups if group.is_told]
    VERSIONS.labels("touchpoint").inc(len(told))
    PROFILES_CREATED.inc(sum(not group.members_before for group in told))
    MERGES.inc(len(graph.merges))
    EPOCHS_OPENED.inc(len(graph.epochs))
    for refusal in graph.refusals:
        for refuse in refusal.refused:
            REFUSALS.labels(refuse.reason).inc()
    for seen in graph.blocked:
        REFUSALS.labels(BLOCKED if seen.own is not None else NO_IDENTIFIER).inc()
