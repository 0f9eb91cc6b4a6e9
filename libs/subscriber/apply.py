"""Apply a poll of profile-changes exactly once, in any order, with several workers (DESIGN section 4.5)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from libs.events.envelope import Incoming
from libs.events.profiles import ProfileChanged
from libs.kit.db import Tx
from libs.messaging.outcomes import HANDLED
from libs.messaging.ports import BatchResult
from libs.subscriber import store
from libs.subscriber.changes import Affected, Change, FactTouchpoint, Judge, SaveFacts
from libs.subscriber.poll import Entry, Poll, as_int, read_poll, sort_ids
from libs.subscriber.store import Known, Move, Owner, StoredProfile
from libs.subscriber.waiting import OUTCOME_NUMBERS


async def apply_changes(
    tx: Tx,
    messages: Sequence[Incoming],
    *,
    facts: SaveFacts | None,
    judge: Judge | None,
    keep_snapshots: bool,
    now: datetime | None = None,
    bears: Callable[[FactTouchpoint], bool] | None = None,
) -> BatchResult:
    """Handle a poll: save facts by fragment, take over views and memberships, judge every profile that any of it touches.

    A service without facts or judgements of its own gives None for them. Where the judgement rests on some touchpoints alone,
    `bears` tells which: profiles that get none of those aren't judged, but for probes and where older fragments come or go.

    The order is the guarantee. (1) Fragments are locked, sorted: no other worker can apply a touchpoint or a membership
    of theirs now. (2) Touchpoint ids are inserted; only new ones go to `facts`. (3) Profiles are locked, sorted: those of
    the records, and those that own or owned a fragment concerned. (4) Only then the map is read, in a statement of its own,
    and `judge` is called. A worker that moves a fragment locks both profiles, so whoever judges last sees all of it.

    `now` is for those who judge by the clock: it gives `Affected.instant`, which is stored with the profile.
    """
    poll = read_poll(messages)
    first_moves = _compute_moves(poll.entries, None)
    owners, new = await store.lock_fragments(tx, poll.named_fragments(), first_moves)
    written = {fragment: first_moves.get(fragment, store.NOBODYS) for fragment in new}
    await _drop_dead(tx, poll, owners)
    await _mark_dismissed(tx, poll)
    fresh = await _save_facts(tx, poll, facts)
    moves = _compute_moves(poll.entries, owners)
    latest = _choose_latest(poll.entries)
    concerned = _Concerned(owners, moves, fresh, new)
    locked = sort_ids(concerned.profile_ids().union(latest))
    known = await store.lock_known_profiles(tx, locked)
    instants = concerned.compute_instants(locked, known, now) if now is not None else {}
    newer = [latest[id_] for id_ in locked if id_ in latest and _is_newer(latest[id_], known)]
    saved_ids = await store.save_profiles(tx, newer, known, instants, keep_snapshots=keep_snapshots)
    await store.save_moves(tx, _find_unwritten(moves, written))
    saved = {profile_id: latest[profile_id] for profile_id in saved_ids}
    changes = _attribute_changes(poll, concerned, saved)
    if judge is None:
        return BatchResult(poll.outcomes)
    await store.save_judged_at(tx, {id_: instants[id_] for id_ in changes if id_ in instants and id_ not in saved})
    if bears is not None:
        changes = _keep_bearing(changes, concerned, bears)
    affected = await _build_affected(tx, changes, concerned, _Profiles(saved, known, instants))
    outgoing = await judge(tx, affected) if affected else ()
    return BatchResult(poll.outcomes, outgoing)


def _find_unwritten(moves: Mapping[UUID, Move], written: Mapping[UUID, Move]) -> dict[UUID, Move]:
    """Rows that stand otherwise than they should: all that were there before, and new ones whose record turned out dead."""
    unwritten = {fragment: move for fragment, move in moves.items() if written.get(fragment) != move}
    unwritten.update((fragment, store.NOBODYS) for fragment, row in written.items() if fragment not in moves and row.profile_id)
    return unwritten


def _keep_bearing(
    changes: Mapping[UUID, list[Change]], concerned: "_Concerned", bears: Callable[[FactTouchpoint], bool]
) -> dict[UUID, list[Change]]:
    return {
        profile_id: own
        for profile_id, own in changes.items()
        if profile_id in concerned.rejoined or any(change.probe or any(map(bears, change.touchpoints)) for change in own)
    }


def _is_newer(record: ProfileChanged, known: Mapping[UUID, Known]) -> bool:
    stored = known.get(record.profile_id)
    return stored is None or stored.version < record.version


async def _drop_dead(tx: Tx, poll: Poll, owners: dict[UUID, Owner]) -> None:
    """Forget whatever names an erased profile or fragment. Asked after the locks, which an erasure takes, too."""
    profile_ids = {entry.record.profile_id for entry in poll.entries}
    dead = await store.find_dead(tx, [*owners, *profile_ids]) if profile_ids else set()
    if not dead:
        return
    for fragment in dead & owners.keys():
        del owners[fragment]
    poll.entries[:] = [entry for entry in poll.entries if entry.record.profile_id not in dead]
    for entry in poll.entries:
        entry.bodies[:] = [(fragment, body) for fragment, body in entry.bodies if fragment not in dead]


async def _mark_dismissed(tx: Tx, poll: Poll) -> None:
    numbers = {event.touchpoint_id: OUTCOME_NUMBERS[event.outcome] for _, event in poll.dismissed}
    new = await store.insert_dismissed(tx, numbers)
    for index, event in poll.dismissed:
        if event.touchpoint_id in new:
            poll.outcomes[index] = HANDLED


async def _save_facts(tx: Tx, poll: Poll, facts: SaveFacts | None) -> dict[int, tuple[FactTouchpoint, ...]]:
    """Keep the touchpoints that are new; which of them came with which record (by its place in the poll)."""
    first: dict[UUID, tuple[int, FactTouchpoint]] = {}
    for entry in poll.entries:
        for fragment, body in entry.bodies:
            first.setdefault(body.id, (entry.index, FactTouchpoint(fragment, body)))
    new = await store.insert_touchpoints(tx, sort_ids(set(first)))
    fresh: dict[int, list[FactTouchpoint]] = defaultdict(list)
    for touchpoint_id, (index, fact) in first.items():
        if touchpoint_id in new:
            fresh[index].append(fact)
    if fresh and facts is not None:
        await facts(tx, [fact for group in fresh.values() for fact in group])
    return {index: tuple(group) for index, group in fresh.items()}


def _compute_moves(entries: Iterable[Entry], owners: Mapping[UUID, Owner] | None) -> dict[UUID, Move]:
    """Rows of the map that some record knows better: of each fragment the highest membership wins, wherever it stands.

    `owners`: what the map has; None while it hasn't been asked, then every record knows better.
    """
    moves: dict[UUID, Move] = {}
    for entry in entries:
        profile_id = entry.record.profile_id
        for member in entry.record.members:
            fragment = member.fragment
            known = owners.get(fragment) if owners is not None else store.UNOWNED
            if known is None or member.membership <= known.membership:
                continue
            better = moves.get(fragment)
            if better is None or member.membership > better.membership:
                moves[fragment] = Move(profile_id, member.membership, member.address)
    return moves


def _choose_latest(entries: Iterable[Entry]) -> dict[UUID, ProfileChanged]:
    latest: dict[UUID, ProfileChanged] = {}
    for entry in entries:
        known = latest.get(entry.record.profile_id)
        if known is None or known.version < entry.record.version:
            latest[entry.record.profile_id] = entry.record
    return latest


class _Concerned:
    """What the poll changes, known before profiles are locked. `fresh` are new touchpoints by their record's place.

    `regrouped` are profiles that a fragment leaves or joins; `rejoined` those of them where the fragment isn't new with this
    poll and may bring what it holds already.
    """

    __slots__ = ("fresh", "moves", "owners", "regrouped", "rejoined")

    def __init__(
        self,
        owners: dict[UUID, Owner],
        moves: dict[UUID, Move],
        fresh: dict[int, tuple[FactTouchpoint, ...]],
        new: AbstractSet[UUID],
    ) -> None:
        self.owners, self.moves, self.fresh = owners, moves, fresh
        self.regrouped: set[UUID] = set()
        self.rejoined: set[UUID] = set()
        for fragment, move in moves.items():
            before = owners[fragment].profile_id
            if before != move.profile_id:
                concerned = {profile_id for profile_id in (before, move.profile_id) if profile_id is not None}
                self.regrouped |= concerned
                if fragment not in new:
                    self.rejoined |= concerned

    def owner_of(self, fragment: UUID) -> UUID | None:
        """Who has the fragment after this poll."""
        return (self.moves.get(fragment) or self.owners[fragment]).profile_id

    def profile_ids(self) -> set[UUID]:
        """Profiles that own or owned a fragment that moves or gets a touchpoint."""
        ids = set(self.regrouped)
        for facts in self.fresh.values():
            for fact in facts:
                owner = self.owner_of(fact.fragment)
                if owner is not None:
                    ids.add(owner)
        return ids

    def compute_instants(self, profile_ids: Iterable[UUID], known: Mapping[UUID, Known], now: datetime) -> dict[UUID, datetime]:
        """When each profile is judged: now, but never before the receipt of what is judged, nor before the time before."""
        instants = dict.fromkeys(profile_ids, now)
        for profile_id, stored in known.items():
            if stored.judged_at is not None and stored.judged_at > now:
                instants[profile_id] = stored.judged_at
        for facts in self.fresh.values():
            for fact in facts:
                owner = self.owner_of(fact.fragment)
                if owner is not None and fact.body.received_at > instants[owner]:
                    instants[owner] = fact.body.received_at
        return instants

    def touched_by(self, entry: Entry) -> set[UUID]:
        """Profiles to judge because of this record's touchpoints and members."""
        touched = {self.owner_of(fact.fragment) for fact in self.fresh.get(entry.index, ())}
        if self.moves:
            for member in entry.record.members:
                move = self.moves.get(member.fragment)
                if move is not None and move.profile_id == entry.record.profile_id:
                    touched.add(self.owners[member.fragment].profile_id)
                    touched.add(move.profile_id)
        return {profile_id for profile_id in touched if profile_id is not None}


def _attribute_changes(poll: Poll, concerned: _Concerned, saved: dict[UUID, ProfileChanged]) -> dict[UUID, list[Change]]:
    """For each profile to judge the records that touch it. Settles the records' outcomes on the way."""
    changes: dict[UUID, list[Change]] = {}
    for entry in poll.entries:
        record = entry.record
        touched = concerned.touched_by(entry)
        if record.profile_id in saved or record.probe:
            touched.add(record.profile_id)
        if not touched:
            continue
        poll.outcomes[entry.index] = HANDLED
        is_latest = saved.get(record.profile_id) is record
        change = Change(record, concerned.fresh.get(entry.index, ()), is_latest, record.probe)
        for profile_id in touched:
            changes.setdefault(profile_id, []).append(change)
    return changes


class _Profiles(NamedTuple):
    """Views saved in this poll, what was known before it, and the instants of judgement where the clock matters."""

    saved: dict[UUID, ProfileChanged]
    known: dict[UUID, Known]
    instants: dict[UUID, datetime]


async def _build_affected(
    tx: Tx, changes: dict[UUID, list[Change]], concerned: _Concerned, profiles: _Profiles
) -> list[Affected]:
    """The profiles to judge, sorted, with their members by the map as it is under the locks."""
    saved, known, instants = profiles
    profile_ids = sort_ids(set(changes))
    stored = await store.load_profiles(tx, [profile_id for profile_id in profile_ids if profile_id not in saved])
    members = await _gather_members(tx, profile_ids, concerned)
    affected = []
    for profile_id in profile_ids:
        own = changes[profile_id]
        view = stored.get(profile_id) or StoredProfile.of(saved[profile_id])
        before = known.get(profile_id)
        affected.append(
            Affected(
                profile_id,
                view.version,
                tuple(members[profile_id]),
                view.snapshot,
                tuple(own),
                membership_changed=profile_id in concerned.regrouped,
                probe=any(change.probe and change.record.profile_id == profile_id for change in own),
                previous_version=before.version if before else None,
                judged_at=before.judged_at if before else None,
                instant=instants.get(profile_id),
            )
        )
    return affected


async def _gather_members(tx: Tx, profile_ids: list[UUID], concerned: _Concerned) -> dict[UUID, list[UUID]]:
    """Of the locked rows of the map we know who has them; the others are asked for now, after the profiles' locks."""
    members: dict[UUID, list[UUID]] = {profile_id: [] for profile_id in profile_ids}
    for fragment in concerned.owners:
        owner = concerned.owner_of(fragment)
        if owner in members:
            members[owner].append(fragment)
    for profile_id, fragment in await store.load_other_members(tx, profile_ids, concerned.owners.keys()):
        members[profile_id].append(fragment)
    for fragments in members.values():
        if len(fragments) > 1:
            fragments.sort(key=as_int)
    return members
