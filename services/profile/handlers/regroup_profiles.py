"""Commands of identity: merge two profiles, split an identifier off, lift a ban. One transaction each, under the profiles' locks.

The order of locks is `open_graph`'s: profile rows, sorted, in one statement; then what led to them is read again, and loaded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from uuid import UUID

from libs.events.envelope import Outgoing
from libs.events.profiles import Cause
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx
from libs.kit.times import to_micros
from services.profile.domain.identity import BANNED, MAX_IDENTIFIERS, SHARED_DEVICE, TOO_MANY
from services.profile.domain.nodes import Node, compute_profile_id
from services.profile.domain.regrouping import (
    Parted,
    Refused,
    find_live,
    is_only_identifier,
    join_profiles,
    lift_bans,
    part_profile,
)
from services.profile.domain.search import compute_trait_keys
from services.profile.domain.view import ALL_PARTS
from services.profile.domain.views import LEFT, next_version, render_view
from services.profile.errors import (
    BanNotFound,
    IdentifierNotHeld,
    IdentifiersBanned,
    MergeRefused,
    OnlyIdentifier,
    ProfileNotFound,
    SameProfile,
)
from services.profile.handlers.apply_touchpoints import Applying, fold_groups, take_facets
from services.profile.handlers.metrics import MERGES, SPLITS, VERSIONS
from services.profile.handlers.open_graph import POSITIONS_PER_BATCH_BITS, sort_ids
from services.profile.handlers.tell_profiles import Moment, make_moment, tell_absorbed, tell_version
from services.profile.ports import CommandStore, Lifted, ProfileGroup, ProfileRow, Regrouped

Target = UUID | tuple[str, str]
"""Whom a command names: a profile id, or kind and normalised value of an identifier."""
MERGED: Final[tuple[Cause, ...]] = ("merge",)
SPLIT: Final[tuple[Cause, ...]] = ("split",)
_REASONS: Final = {
    BANNED: "An identifier of one was split from one of the other. Lift the ban (GET /v1/identity/bans) and merge again.",
    SHARED_DEVICE: "One of them is the anonymous rest of a shared device, which is nobody's.",
    TOO_MANY: f"Together they would have more than {MAX_IDENTIFIERS} identifiers, or too long ones for a record to list.",
}


@dataclass(frozen=True, slots=True)
class Regrouping:
    applying: Applying
    commands: CommandStore


class Command(NamedTuple):
    """Who wants it, and why. The id is the cause in links and history, and that of a split's ban."""

    id: UUID
    actor: str
    reason: str


class Regroupment(NamedTuple):
    """What a command made: `profile` survived or stayed, `other_id` was absorbed or left; views as they read now."""

    profile: bytes
    other_id: UUID
    other: bytes | None
    outgoing: list[Outgoing]


class _MovedError(Exception):
    """Who belongs where changed before the locks were had: leaves the savepoint, so that they are given back."""


async def merge_profiles(tx: Tx, one: Target, other: Target, command: Command, regrouping: Regrouping) -> Regroupment:
    """Raises ProfileNotFound, SameProfile, MergeRefused, IdentifiersBanned."""
    applying = regrouping.applying
    places, _ = await _lock(tx, [one, other], regrouping)
    first, second = places
    if first is second:
        raise SameProfile("Both references lead to the same profile.")
    moment = make_moment(applying.clock.now(), applying.generation)
    position = await applying.graph.next_application(tx) << POSITIONS_PER_BATCH_BITS
    joined = join_profiles(first, second, applying.rules.in_force, to_micros(moment.now))
    if isinstance(joined, Refused):
        raise _refuse(joined.reason)
    survivor, gone = joined.survivor, joined.absorbed
    moved = dict.fromkeys(gone.members_before, survivor.id)
    await take_facets(tx, [survivor], applying.facets, afresh=True)
    await fold_groups(tx, [survivor], (), applying)
    rows, views, outgoing = _tell([survivor], MERGED, moment)
    outgoing.append(tell_absorbed(gone, survivor.id, moment))
    gone.totals, gone.core = b"", b""
    rows.append(ProfileRow(gone, MERGED, regrouped=True))
    fragments = tuple(joined.link[:2])
    told = Regrouped(
        command.id, "merge", position, command.reason, command.actor, survivor.id, gone.id, fragments, (joined.link,)
    )
    await _write(tx, rows, moved, told, moment, regrouping)
    await applying.graph.index_traits(tx, {survivor.id: compute_trait_keys(survivor.core), gone.id: ()})
    return Regroupment(views[0], gone.id, None, outgoing)


async def split_profile(
    tx: Tx, target: Target, identifier: tuple[str, str], command: Command, regrouping: Regrouping
) -> Regroupment:
    """Raises ProfileNotFound, IdentifierNotHeld, OnlyIdentifier."""
    applying = regrouping.applying
    [group], founded = await _lock(tx, [target], regrouping, with_founded=True)
    leaving = find_live(group, *identifier)
    if leaving is None:
        raise IdentifierNotHeld(f"The profile has no such {identifier[0]}.")
    if is_only_identifier(group, leaving):
        raise OnlyIdentifier("The identifier has nothing to be split from: the profile has no other.")
    moment = make_moment(applying.clock.now(), applying.generation)
    position = await applying.graph.next_application(tx) << POSITIONS_PER_BATCH_BITS
    parted = part_profile(group, leaving, founded, position)
    parts = [parted.remaining, parted.departed]
    if parted.departed is group:
        # It took the id along, but what was said of the id is what both were: hidden until it is judged alone.
        await applying.facets.save_judged(tx, {(group.id, LEFT): next_version(group.version, moment.generation)})
    await take_facets(tx, parts, applying.facets, afresh=True)
    await fold_groups(tx, parts, (), applying, rebuild=True)
    for part in parts:
        part.parts |= ALL_PARTS
    rows, views, outgoing = _tell(parts, SPLIT, moment, probed=group if parted.departed is group else None)
    for gone, root in parted.led:
        if gone.is_born:
            outgoing.append(tell_absorbed(gone, root.id, moment, SPLIT))
        rows.append(ProfileRow(gone, SPLIT if gone.is_born else (), regrouped=True))
    moved = {fragment: part.id for part in parts if part is not group for fragment in part.nodes}
    await _write(tx, rows, moved, _describe_split(parted, leaving, command, position), moment, regrouping)
    await applying.graph.index_traits(tx, {part.id: compute_trait_keys(part.core) for part in parts})
    return Regroupment(views[0], parted.departed.id, views[1], outgoing)


async def lift_ban(tx: Tx, ban_id: UUID, actor: str, regrouping: Regrouping) -> None:
    """What was banned may be linked again, by touchpoints received from now on; all profiles concerned remember who said so.

    Raises BanNotFound.
    """
    commands, applying = regrouping.commands, regrouping.applying
    ban = await commands.find_ban(tx, ban_id)
    if ban is None:
        raise BanNotFound("No ban in force has this id.")
    group, *others = await _lock_anchors(tx, [ban.fragment, *ban.others], regrouping)
    now = applying.clock.now()
    lifted = await commands.lift_ban(tx, ban_id, now)
    if not lifted:  # by somebody else, while the lock was waited for
        raise BanNotFound("No ban in force has this id.")
    lift_bans(group.nodes[ban.fragment], lifted - {ban.fragment}, to_micros(now))
    await commands.save_nodes(tx, group)
    position = await applying.graph.next_application(tx) << POSITIONS_PER_BATCH_BITS
    concerned = tuple(dict.fromkeys(other.id for other in others))
    await commands.save_lifted(tx, Lifted(ban_id, position, actor, group.id, ban.fragment, concerned), now)


def count_command(kind: Literal["merge", "split"]) -> None:
    """Once it is committed; a dry run isn't."""
    VERSIONS.labels(kind).inc()
    (MERGES if kind == "merge" else SPLITS).inc()


def _refuse(reason: str) -> MergeRefused | IdentifiersBanned:
    if reason == BANNED:
        return IdentifiersBanned(_REASONS[reason])
    kind = reason.removesuffix("_limit")
    limited = (
        f"Together they would have more identifiers of the kind {kind} than a profile may have. If both are one person's, say so"
        " with an alias call from a server source; if one of them is wrong, split it off first."
    )
    return MergeRefused(_REASONS.get(reason, limited))


async def _lock(
    tx: Tx, targets: Sequence[Target], regrouping: Regrouping, *, with_founded: bool = False
) -> tuple[list[ProfileGroup], dict[UUID, ProfileGroup]]:
    """The profiles that have the targets, locked, and with `founded` those that their fragments founded once.

    Raises ProfileNotFound.
    """
    while True:
        try:
            async with tx.transaction():
                anchors = await _find_anchors(tx, targets, regrouping)
                founded: dict[UUID, ProfileGroup] = {}
                groups = await _try_lock(tx, anchors, regrouping, founded if with_founded else None)
                _check_unmoved(anchors, await _find_anchors(tx, targets, regrouping))
                _check_shown(targets, anchors, groups)
                return groups, founded
        except _MovedError:
            continue


async def _lock_anchors(tx: Tx, anchors: Sequence[UUID], regrouping: Regrouping) -> list[ProfileGroup]:
    while True:
        try:
            async with tx.transaction():
                return await _try_lock(tx, anchors, regrouping, None)
        except _MovedError:
            continue


async def _find_anchors(tx: Tx, targets: Sequence[Target], regrouping: Regrouping) -> list[UUID]:
    """The fragment each target stands for: the founding one of a profile id, the live one of an identifier."""
    addresses = {one: regrouping.applying.fragment_id(*one, 0) for one in targets if isinstance(one, tuple)}
    foundings = await regrouping.commands.find_foundings(tx, [one for one in targets if isinstance(one, UUID)])
    located = await regrouping.applying.graph.locate(tx, addresses.values())
    anchors: list[UUID] = []
    for one in targets:
        place = located.get(addresses[one]) if isinstance(one, tuple) else None
        fragment = foundings.get(one) if isinstance(one, UUID) else place.fragment if place is not None else None
        if fragment is None:
            raise ProfileNotFound("Nobody is known by this reference.")
        anchors.append(fragment)
    return anchors


async def _try_lock(
    tx: Tx, anchors: Sequence[UUID], regrouping: Regrouping, founded: dict[UUID, ProfileGroup] | None
) -> list[ProfileGroup]:
    graph, commands = regrouping.applying.graph, regrouping.commands
    # 1. Where they are, and, beside no lock yet, which rows their fragments founded: a guess, checked below.
    owners = await commands.find_owners(tx, anchors)
    roots = set(owners.values())
    members = _list_members(await graph.load_groups(tx, roots)) if founded is not None else set()
    # 2. All of them locked in one order.
    await graph.lock_profiles(tx, sort_ids(roots | {compute_profile_id(fragment) for fragment in members}))
    # 3. Read again under the locks: if anything moved meanwhile, they are given back and taken anew.
    _check_unmoved(owners, await commands.find_owners(tx, anchors))
    # 4. Only now loaded, in a later statement.
    groups = {group.id: group for group in await graph.load_groups(tx, roots)}
    if founded is not None:
        _check_unmoved(members, _list_members(groups.values()))
        known = await graph.load_groups(tx, {compute_profile_id(fragment) for fragment in members} - roots)
        founded.update({group.founding: group for group in known})
    return [groups[owners[anchor]] for anchor in anchors]


def _check_unmoved(before: object, now: object) -> None:
    if now != before:
        raise _MovedError


def _list_members(groups: Collection[ProfileGroup]) -> set[UUID]:
    return {fragment for group in groups for fragment in group.nodes}


def _check_shown(targets: Sequence[Target], anchors: Sequence[UUID], groups: Sequence[ProfileGroup]) -> None:
    """Commands find whom reads find: born profiles, by identifiers that are live."""
    for target, anchor, group in zip(targets, anchors, groups, strict=True):
        if not group.is_born or (isinstance(target, tuple) and not group.nodes[anchor].is_live):
            raise ProfileNotFound("Nobody is known by this reference.")


def _tell(
    groups: Sequence[ProfileGroup], causes: tuple[Cause, ...], moment: Moment, *, probed: ProfileGroup | None = None
) -> tuple[list[ProfileRow], list[bytes], list[Outgoing]]:
    rows: list[ProfileRow] = []
    views: list[bytes] = []
    outgoing: list[Outgoing] = []
    for group in groups:
        identifiers, records = tell_version(group, moment, causes, probe=group is probed)
        rows.append(ProfileRow(group, causes, regrouped=True, identifiers=identifiers))
        views.append(render_view(group.id, group.version, moment.text, identifiers, group.core, group.facets))
        outgoing += records
    return rows, views, outgoing


async def _write(
    tx: Tx, rows: Sequence[ProfileRow], moved: Mapping[UUID, UUID], told: Regrouped, moment: Moment, regrouping: Regrouping
) -> None:
    await regrouping.applying.graph.save_fragments(tx, {}, moved)
    await regrouping.applying.graph.save_profiles(tx, rows, moment.now)
    await regrouping.commands.save_regrouped(tx, told, moment.now)


def _describe_split(parted: Parted[TouchpointRecorded], leaving: Node, command: Command, position: int) -> Regrouped:
    return Regrouped(
        command.id,
        "split",
        position,
        command.reason,
        command.actor,
        parted.remaining.id,
        parted.departed.id,
        (leaving.fragment,),
        parted.links,
        tuple((leaving.fragment, fragment) for fragment in parted.remaining.nodes),
    )
