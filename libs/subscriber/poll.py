"""Read a poll of records before anything is locked: what is malformed is rejected here, so it leaves no effect behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from libs.events import codec
from libs.events.envelope import Incoming
from libs.events.profiles import ProfileChanged, TouchpointDismissed
from libs.events.touchpoints import TouchpointRecorded
from libs.messaging.outcomes import DUPLICATE, Ignored, Outcome, Reject

_TOUCHPOINT = codec.decoder_for(TouchpointRecorded)


@dataclass(slots=True)
class Entry:
    """One ProfileChanged of the poll: its place, and its touchpoints by the fragments they were folded in."""

    index: int
    record: ProfileChanged
    bodies: list[tuple[UUID, TouchpointRecorded]]


@dataclass(slots=True)
class Poll:
    """The poll, read. `outcomes` of profile changes stand as duplicates until they change something; the others are final."""

    outcomes: list[Outcome]
    entries: list[Entry] = field(default_factory=list)
    dismissed: list[tuple[int, TouchpointDismissed]] = field(default_factory=list)

    def named_fragments(self) -> list[UUID]:
        """Every fragment that a member list or a touchpoint names, sorted: the order in which they are locked."""
        named = {member.fragment for entry in self.entries for member in entry.record.members}
        named.update(fragment for entry in self.entries for fragment, _ in entry.bodies)
        return sort_ids(named)


def sort_ids(ids: set[UUID]) -> list[UUID]:
    """The order in which rows are locked everywhere. PostgreSQL sorts uuid the same way."""
    return sorted(ids, key=as_int)


def as_int(id_: UUID) -> int:
    return id_.int


def read_poll(messages: Sequence[Incoming]) -> Poll:
    """Decode every record; a bad one is a Reject, an unknown one or a tombstone is ignored."""
    poll = Poll(outcomes=[DUPLICATE] * len(messages))
    for index, message in enumerate(messages):
        try:
            event = codec.decode(message)
            if isinstance(event, ProfileChanged):
                bodies = [(applied.fragment, _TOUCHPOINT.decode(applied.body)) for applied in event.touchpoints]
                poll.entries.append(Entry(index, event, bodies))
            elif isinstance(event, TouchpointDismissed):
                poll.dismissed.append((index, event))
            else:
                poll.outcomes[index] = Ignored("unknown_type" if message.value is not None else "tombstone")
        except codec.EventMalformed:
            poll.outcomes[index] = Reject("malformed", "decode")
        except msgspec.MsgspecError:
            poll.outcomes[index] = Reject("malformed", "decode_touchpoint")
    return poll
