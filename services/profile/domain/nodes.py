"""An identifier in the graph: its epoch, its standing in its profile, and what it was split from."""

from hashlib import blake2b
from typing import Protocol
from uuid import UUID

import msgspec

from libs.kit.ids import Id, make_uuid8
from services.profile.domain.messages import LastMessage
from services.profile.domain.touchpoint import NamedIdentifier
from services.profile.domain.values import render_time


class Identifier(NamedIdentifier, Protocol):
    """`fragment` is its address: the epoch-0 fragment id."""

    @property
    def fragment(self) -> UUID: ...


class Ban(msgspec.Struct, array_like=True, frozen=True):
    """Keeps an identifier from this other one. `until_us`: when it was lifted; None while it holds."""

    fragment: Id
    until_us: int | None = None


class Node(msgspec.Struct, array_like=True):
    """An identifier in one epoch, as a member of a profile.

    `address`: the epoch-0 id that resolves to it; None once its epoch has passed. `membership` grows with each change of
    profile, address or standing. `carried`: a touchpoint named it as its own (an alias alone doesn't make it live).
    `person`: who it counts as for a limit, where aliases joined it to another. `since`: first receipt; `first`, `last`:
    least and greatest t; RFC 3339 in milliseconds and UTC, so that texts compare as instants do; empty until carried.
    `message`: the last one sent, of those folded here. `bans`: what it was split from, kept on its own side only.
    `joined`: receipt of what first linked it with others of its profile; says nothing while it is alone, and is empty where
    that happened before it was noted.
    """

    fragment: Id
    kind: str
    value: str
    address: Id | None
    epoch: int = 0
    membership: int = 1
    verified: bool = False
    carried: bool = False
    nobodys: bool = False
    person: Id | None = None
    since: str = ""
    first: str = ""
    last: str = ""
    message: LastMessage | None = None
    bans: tuple[Ban, ...] = ()
    joined: str = ""

    @property
    def is_live(self) -> bool:
        """Shown in lists, and found by its value."""
        return self.carried and self.address is not None

    def see(self, *, verified: bool, received_at: str, occurred_at: str) -> bool:
        """Take over what a touchpoint that carries it says; whether it stands otherwise than before (times apart)."""
        changed = not self.carried or (verified and not self.verified)
        if not self.carried:
            self.carried = True
            self.since, self.first, self.last = received_at, occurred_at, occurred_at
        else:
            self.since = min(self.since, received_at)
            self.first = min(self.first, occurred_at)
            self.last = max(self.last, occurred_at)
        self.verified = self.verified or verified
        return changed


def compute_profile_id(founding: UUID) -> UUID:
    """The id of the profile that a fragment founds: its for ever, so a rebuild gives it again. UUIDv8 of a 128-bit BLAKE2b.

    Fragment ids are keyed hashes already; nobody outside can tell one from the other.
    """
    return make_uuid8(blake2b(founding.bytes, digest_size=16, person=b"profile").digest())


def format_instant(at_us: int) -> str:
    """As nodes keep times: RFC 3339 in milliseconds and UTC, no quotes."""
    return render_time(at_us)[1:-1].decode("ascii")
