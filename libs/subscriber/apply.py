"""Apply a poll of profile-changes exactly once, in any order, with several workers (DESIGN section 4.5)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from libs.events.envelope import Incoming
from libs.events.profiles import ProfileChanged
from libs.kit.db import Tx
from libs.messaging.outcomes import HANDLED
from libs.messaging.ports import BatchResult
from libs.subscriber import store
from libs.subscriber.changes import Affected, Change, FactTouchpoint, Judge, SaveFacts
from libs.subscriber.poll import Entry, Poll, read_poll, sort_ids
from libs.subscriber.store import Owner
from libs.subscriber.waiting import OUTCOME_NUMBERS


async def apply_changes(
    tx: Tx, messages: Sequence[Incoming], *, facts: SaveFacts, judge: Judge, keep_snapshots: bool
) -> BatchResult:
    """Handle a poll: save facts by fragment, take over views and memberships, judge every profile that any of it touches.

    The order is the guarantee. (1) Fragments are locked, sorted: no other worker can apply a touchpoint or a membership
    of theirs now. (2) Touchpoint ids are inserted; only new ones go to `facts`. (3) Profiles are locked, sorted: those of
    the records, and those that own or owned a fragment concerned. (4) Only then the map is read, in a statement of its own,
    and `judge` is called. A worker that moves a fragment locks both profiles, so whoever judges last sees all of it.
    """
    poll = read_poll(messages)
    owners = await store.lock_fragments(tx, poll.named_fragments())
    await _drop_dead(tx, poll, owners)
    await _mark_dismissed(tx, poll)
    fresh = await _save_facts(tx, poll, facts)
    moves = _compute_moves(poll.entries, owners)
    latest = _choose_latest(poll.entries)
    concerned = _Concerned(owners=owners, moves=moves, fresh=fresh)
    locked = sort_ids(set(latest) | concerned.profile_ids())
    saved = await store.lock_and_save_profiles(tx, locked, latest, keep_snapshots=keep_snapshots)
    await store.save_owners(tx, moves)
    affected = await _build_affected(tx, poll, concerned, {profile_id: latest[profile_id] for profile_id in saved})
    outgoing = await judge(tx, affected) if affected else ()
    return BatchResult(poll.outcomes, outgoing)


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


async def _save_facts(tx: Tx, poll: Poll, facts: SaveFacts) -> dict[int, tuple[FactTouchpoint, ...]]:
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
    if fresh:
        await facts(tx, [fact for group in fresh.values() for fact in group])
    return {index: tuple(group) for index, group in fresh.items()}


def _compute_moves(entries: Iterable[Entry], owners: dict[UUID, Owner]) -> dict[UUID, Owner]:
    """Rows of the map that some record knows better: of each fragment the highest membership wins, wherever it stands."""
    moves: dict[UUID, Owner] = {}
    for entry in entries:
        for member in entry.record.members:
            known = moves.get(member.fragment) or owners.get(member.fragment)
            if known is not None and member.membership > known.membership:
                moves[member.fragment] = Owner(entry.record.profile_id, member.membership, member.address)
    return moves


def _choose_latest(entries: Iterable[Entry]) -> dict[UUID, ProfileChanged]:
    latest: dict[UUID, ProfileChanged] = {}
    for entry in entries:
        known = latest.get(entry.record.profile_id)
        if known is None or known.version < entry.record.version:
            latest[entry.record.profile_id] = entry.record
    return latest


@dataclass(slots=True)
class _Concerned:
    """What the poll changes, before profiles are locked. `owners` as found, `moves` as they will be, `fresh` by place."""

    owners: dict[UUID, Owner]
    moves: dict[UUID, Owner]
    fresh: dict[int, tuple[FactTouchpoint, ...]]
    regrouped: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        for fragment, owner in self.moves.items():
            before = self.owners[fragment].profile_id
            if before != owner.profile_id:
                self.regrouped.update(profile_id for profile_id in (before, owner.profile_id) if profile_id is not None)

    def owner_of(self, fragment: UUID) -> UUID | None:
        return (self.moves.get(fragment) or self.owners[fragment]).profile_id

    def profile_ids(self) -> set[UUID]:
        """Profiles that own or owned a fragment that moves or gets a touchpoint."""
        receiving = {self.owner_of(fact.fragment) for group in self.fresh.values() for fact in group}
        return self.regrouped | {profile_id for profile_id in receiving if profile_id is not None}

    def touched_by(self, entry: Entry) -> set[UUID]:
        """Profiles to judge because of this record, its own apart."""
        touched: set[UUID | None] = {self.owner_of(fact.fragment) for fact in self.fresh.get(entry.index, ())}
        for member in entry.record.members:
            move = self.moves.get(member.fragment)
            if move is not None and move.profile_id == entry.record.profile_id:
                touched.update((self.owners[member.fragment].profile_id, move.profile_id))
        return {profile_id for profile_id in touched if profile_id is not None}


async def _build_affected(tx: Tx, poll: Poll, concerned: _Concerned, saved: dict[UUID, ProfileChanged]) -> list[Affected]:
    """The profiles to judge, sorted, each with the records that touch it; settles the records' outcomes on the way."""
    changes: dict[UUID, list[Change]] = defaultdict(list)
    for entry in poll.entries:
        record = entry.record
        is_latest = saved.get(record.profile_id) is record
        touched = concerned.touched_by(entry)
        if is_latest or record.probe:
            touched.add(record.profile_id)
        if is_latest or touched:
            poll.outcomes[entry.index] = HANDLED
        change = Change(record, concerned.fresh.get(entry.index, ()), is_latest, record.probe)
        for profile_id in touched:
            changes[profile_id].append(change)
    profile_ids = sort_ids(set(changes))
    stored = await store.load_profiles(tx, [profile_id for profile_id in profile_ids if profile_id not in saved])
    members = await store.load_members(tx, profile_ids)
    affected = []
    for profile_id in profile_ids:
        view = stored[profile_id] if profile_id in stored else store.StoredProfile.of(saved[profile_id])
        affected.append(
            Affected(
                profile_id=profile_id,
                version=view.version,
                fragments=tuple(members[profile_id]),
                snapshot=view.snapshot,
                changes=tuple(changes[profile_id]),
                membership_changed=profile_id in concerned.regrouped,
                probe=any(change.probe and change.record.profile_id == profile_id for change in changes[profile_id]),
            )
        )
    return affected
