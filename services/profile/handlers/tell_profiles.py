"""New versions of profiles: the view after a change, and the `ProfileChanged` records that tell it to everyone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Raw

from libs.events import codec
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import AppliedTouchpoint, Cause, Member, ProfileChanged, TouchpointDismissed
from libs.events.topics import PROFILE_CHANGES
from libs.kit.times import format_utc, to_micros
from services.profile.domain.nodes import Node
from services.profile.domain.values import render_time
from services.profile.domain.view import ALL_PARTS
from services.profile.domain.views import LOYALTY, SEGMENTS, next_version, render_identifiers, render_view
from services.profile.handlers.open_graph import POSITIONS_PER_TOUCHPOINT
from services.profile.ports import ProfileGroup, StoredProfile

MAX_TOUCHPOINTS: Final = 200
MAX_BYTES: Final = 256 * 1024
ROOM_BYTES: Final = 64 * 1024
"""For touchpoints beside a view that alone comes near `MAX_BYTES`: else each of them would make a record with all of it."""
SOURCE: Final = "profile"
EVERYTHING: Final = tuple(sorted({*ALL_PARTS, "identifiers", "membership", SEGMENTS, LOYALTY}))
_NO_TOUCHPOINTS: Final[tuple[AppliedTouchpoint, ...]] = ()
_EMPTY_VIEW: Final = Raw(b"null")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a batch is told, in the forms that are needed, and the generation its versions belong to."""

    now: datetime
    text: str
    ms: int
    generation: int


@dataclass(frozen=True, slots=True)
class Told:
    """The records behind a batch's touchpoints: the one at `base + n * POSITIONS_PER_TOUCHPOINT` is `messages[n]`."""

    messages: Sequence[Incoming]
    base: int

    def message_of(self, position: int) -> Incoming:
        return self.messages[(position - self.base) // POSITIONS_PER_TOUCHPOINT]

    def body_of(self, position: int) -> bytes:
        return self.message_of(position).value or b""


NOTHING_TOLD: Final = Told((), 0)


def make_moment(now: datetime, generation: int) -> Moment:
    return Moment(now, format_utc(now), to_micros(now) // 1000, generation)


def build_members(nodes: Iterable[Node]) -> tuple[Member, ...]:
    """All of them: the compacted log keeps no other word of who belongs to a profile."""
    return tuple(Member(node.fragment, node.membership, node.kind, node.address if node.carried else None) for node in nodes)


def build_record(  # noqa: PLR0913 - a record's parts, each by name
    group: ProfileGroup,
    moment: Moment,
    *,
    causes: tuple[Cause, ...],
    members: tuple[Member, ...],
    touchpoints: tuple[AppliedTouchpoint, ...] = _NO_TOUCHPOINTS,
    snapshot: Raw = _EMPTY_VIEW,
    absorbed_into: UUID | None = None,
    probe: bool = False,
    traceparent: str | None = None,
) -> Outgoing:
    """A record with the version that the group has now."""
    event = ProfileChanged(
        profile_id=group.id,
        version=group.version,
        changed_at=moment.now,
        founding=group.founding,
        parts=tuple(sorted(group.parts)),
        causes=causes,
        members=members,
        touchpoints=touchpoints,
        absorbed_into=absorbed_into,
        snapshot=snapshot,
        probe=probe,
    )
    return codec.encode(
        event,
        topic=PROFILE_CHANGES,
        key=group.id,
        event_id=f"{group.id}:{group.version}",
        source=SOURCE,
        time=moment.now,
        received_ms=moment.ms,
        traceparent=traceparent,
    )


def tell_version(
    group: ProfileGroup, moment: Moment, causes: tuple[Cause, ...], told: Told = NOTHING_TOLD, *, probe: bool = False
) -> tuple[bytes, list[Outgoing]]:
    """Raise the version and say it; also the identifiers as shown. `probe`: every facet is to judge it and to say so.

    One record for at most 200 touchpoints or 256 KB: more of them make several versions, each with the whole view.
    """
    identifiers = render_identifiers(group.nodes.values())
    members = build_members(group.nodes.values())
    first = told.message_of(group.applied[0].position).headers.get("traceparent") if group.applied else None
    traceparent = first.decode() if first is not None else None
    records = []
    for touchpoints in _cut(group, told, len(identifiers) + len(group.core) + 128 * len(members)):
        group.version = next_version(group.version, moment.generation)
        view = render_view(group.id, group.version, moment.text, identifiers, group.core, group.facets)
        records.append(
            build_record(
                group,
                moment,
                causes=causes,
                members=members,
                touchpoints=touchpoints,
                snapshot=Raw(view),
                probe=probe,
                traceparent=traceparent,
            )
        )
    return identifiers, records


def tell_absorbed(group: ProfileGroup, root: UUID, moment: Moment, causes: tuple[Cause, ...] = ("merge",)) -> Outgoing:
    """The last word of a profile that became another one's: nobody belongs to it any more."""
    group.version = next_version(group.version, moment.generation)
    group.parts = {"membership"}
    return build_record(group, moment, causes=causes, members=(), absorbed_into=root)


def tell_ignored(touchpoint_id: UUID, reason: str, moment: Moment) -> Outgoing:
    """For those who wait for the touchpoint: it changed no profile, and never will."""
    return codec.encode(
        TouchpointDismissed(touchpoint_id=touchpoint_id, outcome="ignored", reason=reason),
        topic=PROFILE_CHANGES,
        key=touchpoint_id,
        event_id=f"{touchpoint_id}:dismissed",
        source=SOURCE,
        time=moment.now,
        received_ms=moment.ms,
    )


def build_present(profile: StoredProfile, *, probe: bool = False) -> Outgoing:
    """What is so now: published again for the compacted log, or to ask subscribers for a word (`probe`).

    It claims that everything may have changed, because whoever reads it may have missed the versions before.
    """
    event = ProfileChanged(
        profile_id=profile.id,
        version=profile.version,
        changed_at=profile.updated_at,
        founding=profile.founding,
        parts=EVERYTHING,
        causes=profile.causes or ("touchpoint",),
        members=build_members(profile.nodes),
        absorbed_into=profile.absorbed_into,
        snapshot=Raw(render_stored(profile)) if profile.nodes else _EMPTY_VIEW,
        probe=probe,
    )
    return codec.encode(
        event,
        topic=PROFILE_CHANGES,
        key=profile.id,
        event_id=f"{profile.id}:{profile.version}{':probe' if probe else ''}",
        source=SOURCE,
        time=profile.updated_at,
        received_ms=to_micros(profile.updated_at) // 1000,
    )


def render_stored(profile: StoredProfile) -> bytes:
    """The view of `GET /v1/profiles/{id}`."""
    updated_at = render_time(to_micros(profile.updated_at))[1:-1].decode()
    return render_view(profile.id, profile.version, updated_at, profile.identifiers, profile.core, profile.facets)


def _cut(group: ProfileGroup, told: Told, overhead: int) -> Sequence[tuple[AppliedTouchpoint, ...]]:
    """The touchpoints in application order, in portions that fit into a record; one empty portion where there are none."""
    if not group.applied:
        return (_NO_TOUCHPOINTS,)
    if len(group.applied) == 1:
        one = group.applied[0]
        return ((AppliedTouchpoint(one.fragment, Raw(told.body_of(one.position))),),)
    limit = max(MAX_BYTES, overhead + ROOM_BYTES)
    portions: list[tuple[AppliedTouchpoint, ...]] = []
    current: list[AppliedTouchpoint] = []
    size = overhead
    for applied in group.applied:
        body = told.body_of(applied.position)
        if current and (len(current) == MAX_TOUCHPOINTS or size + len(body) > limit):
            portions.append(tuple(current))
            current, size = [], overhead
        current.append(AppliedTouchpoint(applied.fragment, Raw(body)))
        size += len(body) + 64
    portions.append(tuple(current))
    return portions
