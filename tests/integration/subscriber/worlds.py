"""A small world of profiles that merge and split, told as the records profile would publish, and the plain truth about it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Raw

from libs.events import codec, topics
from libs.events.envelope import Event, Incoming
from libs.events.profiles import AppliedTouchpoint, Member, ProfileChanged
from libs.events.touchpoints import Identifier, TouchpointRecorded

AT = datetime(2026, 3, 1, tzinfo=UTC)


def make_incoming(event: Event, *, key: UUID, partition: int = 0, offset: int = 0) -> Incoming:
    outgoing = codec.encode(
        event, topic=topics.PROFILE_CHANGES, key=key, event_id=str(offset), source="profile", time=AT, received_ms=0
    )
    return Incoming("profile-changes", partition, offset, outgoing.key, outgoing.value, dict(outgoing.headers), 0)


def make_applied(fragment: UUID, touchpoint_id: UUID) -> AppliedTouchpoint:
    touchpoint = TouchpointRecorded(
        id=touchpoint_id,
        message_id=str(touchpoint_id),
        source_id="s",
        kind="track",
        name="Order Completed",
        channel="web",
        occurred_at=AT,
        received_at=AT,
        identifiers=(Identifier("email", "a@example.com", fragment),),
    )
    return AppliedTouchpoint(fragment, Raw(codec.encode_value(touchpoint)))


@dataclass
class World:
    """Fragments 1..n, each first with a profile of its own (id 100 + n), and every record that was ever published."""

    rng: random.Random
    size: int = 5
    owner: dict[UUID, UUID] = field(default_factory=dict)
    membership: dict[UUID, int] = field(default_factory=dict)
    version: dict[UUID, int] = field(default_factory=dict)
    touchpoints: dict[UUID, UUID] = field(default_factory=dict)
    records: list[ProfileChanged] = field(default_factory=list)

    def live(self) -> list[UUID]:
        return sorted(set(self.owner.values()))

    def fragments_of(self, profile: UUID) -> tuple[UUID, ...]:
        return tuple(sorted(fragment for fragment, owner in self.owner.items() if owner == profile))

    def publish(self, profile: UUID, touched: Sequence[UUID] = ()) -> None:
        self.version[profile] = self.version.get(profile, 0) + 1
        members = tuple(Member(f, self.membership[f], "email", f) for f in self.fragments_of(profile))
        self.records.append(
            ProfileChanged(
                profile_id=profile,
                version=self.version[profile],
                changed_at=AT,
                founding=UUID(int=profile.int - 100),
                parts=("web",),
                causes=("touchpoint",),
                members=members,
                touchpoints=tuple(make_applied(self.touchpoints[t], t) for t in touched),
                snapshot=Raw(b'{"version":%d}' % self.version[profile]) if members else Raw(b"null"),
            )
        )

    def touch(self) -> None:
        """A touchpoint of some fragment, new or known, and perhaps of a second one that it links."""
        fragment, other = (UUID(int=self.rng.randint(1, self.size)) for _ in range(2))
        for name in {fragment, other} - self.owner.keys():
            self.owner[name], self.membership[name] = UUID(int=100 + name.int), 1
        touchpoint = UUID(int=1000 + len(self.touchpoints))
        self.touchpoints[touchpoint] = fragment
        left = self.owner[other]
        if left != self.owner[fragment]:
            self._move([f for f in self.owner if self.owner[f] == left], self.owner[fragment])
            self.publish(left)
        self.publish(self.owner[fragment], [touchpoint])

    def split(self) -> None:
        """Some fragment leaves its profile for the one that was its own."""
        fragment = self.rng.choice(sorted(self.owner))
        before, own = self.owner[fragment], UUID(int=100 + fragment.int)
        if before == own:
            return
        self._move([fragment], own)
        for profile in self.rng.sample([before, own], 2):
            self.publish(profile)

    def _move(self, fragments: list[UUID], to: UUID) -> None:
        for fragment in fragments:
            self.owner[fragment] = to
            self.membership[fragment] += 1

    def truth(self) -> dict[UUID, tuple[int, tuple[UUID, ...], int]]:
        """What a follower has to say in the end: version, fragments and number of touchpoints of each profile."""
        return {
            profile: (
                version,
                self.fragments_of(profile),
                sum(self.owner[fragment] == profile for fragment in self.touchpoints.values()),
            )
            for profile, version in self.version.items()
        }


def make_world(seed: int, steps: int = 14) -> World:
    world = World(random.Random(seed))
    for _ in range(steps):
        (world.split if world.owner and world.rng.random() < 0.25 else world.touch)()
    return world


def shuffle_into_partitions(world: World, count: int) -> list[list[Incoming]]:
    """The records by key into partitions, in any order and some of them twice: order must be no more than a speed-up."""
    records = world.records + world.rng.sample(world.records, len(world.records) // 3)
    world.rng.shuffle(records)
    partitions: list[list[Incoming]] = [[] for _ in range(count)]
    for offset, record in enumerate(records):
        number = record.profile_id.int % count
        partitions[number].append(make_incoming(record, key=record.profile_id, partition=number, offset=offset))
    return partitions
