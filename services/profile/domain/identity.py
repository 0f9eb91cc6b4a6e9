"""Identity resolution: what the identifiers of one touchpoint do to the profiles they point at.

Pure decisions. Applying them is `graph`'s, loading and locking what they look at is the handlers'.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar
from uuid import UUID

import msgspec

from libs.identity import strength_of
from libs.kit.times import format_utc, from_micros
from services.profile.domain.rules import Rules

USER_ID: Final = "user_id"
ANONYMOUS_ID: Final = "anonymous_id"
UNKNOWN_PERSON_KINDS: Final = frozenset({ANONYMOUS_ID, "device_id"})
"""Kinds that say which device, not who: a profile with nothing else is nobody known."""

UNVERIFIED_CLAIM: Final = "unverified_claim"
SHARED_DEVICE: Final = "shared_device"
BANNED: Final = "banned"
TOO_MANY: Final = "too_many_identifiers"
BLOCKED: Final = "blocked"
NO_IDENTIFIER: Final = "no_identifier"

MAX_IDENTIFIERS: Final = 1_000
"""Of one profile, whatever their kinds. A record lists all of them twice, in some 530 bytes and their value, and the broker takes
no record of more than 1 MiB: this leaves a third of it for the view and the touchpoint."""
MAX_VALUE_BYTES: Final = 128 * 1024
"""Of all values of a profile together, as JSON: without it a thousand of the longest would be 3 MB."""
_SURELY_FIT: Final = 40
"""Identifiers whose values can't come to that: ingest takes 512 characters, each at most 6 bytes of JSON."""


class Named(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def verified(self) -> bool: ...


def is_verified_person(named: Named) -> bool:
    """Whether it says who somebody is, as a server's word: a browser's claims aren't verified, its own ids always are."""
    return named.verified and named.kind not in UNKNOWN_PERSON_KINDS


class Claim(msgspec.Struct, frozen=True, gc=False):
    """An identifier as one touchpoint names it. `fragment` is the live one its address resolves to.

    `by_alias`: the touchpoint doesn't carry it but says that it is the same person's.
    """

    fragment: UUID
    kind: str
    verified: bool = True
    by_alias: bool = False


Held = Mapping[str, Mapping[UUID, str]]
"""Kind -> who counts as one of it -> when it joined its profile, RFC 3339 in UTC; empty: it joins with what is decided now."""


class Link(NamedTuple):
    """The two identifiers that a touchpoint or a command names together, and when that was received (microseconds)."""

    own: UUID
    other: UUID
    received_us: int


class Party(Protocol):
    """A profile as resolution sees it."""

    @property
    def id(self) -> UUID: ...

    @property
    def founded(self) -> int:
        """Place of its founding row in the order of application."""
        ...

    @property
    def is_born(self) -> bool:
        """Whether it was ever shown: a profile without a touchpoint gives way to one that has been."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether a verified identifier says who it is."""
        ...

    @property
    def is_nobodys(self) -> bool:
        """The anonymous rest of a shared device: no touchpoint links it."""
        ...

    @property
    def size(self) -> int:
        """All of its identifiers, those of passed epochs and those that only an alias named included."""
        ...

    def weigh(self) -> int:
        """Bytes of all their values as JSON."""
        ...

    def hold(self) -> dict[str, dict[UUID, str]]:
        """What counts for limits, the caller's to change. Those joined by alias count as one, since the later of them."""
        ...

    def person_of(self, fragment: UUID) -> UUID:
        """The one that stands for this identifier among those joined to it by alias; itself where none are."""
        ...

    def bars(self, other: Self, link: "Link") -> bool:
        """Whether a ban of its own keeps it and the other apart, or makes this very link between them void."""
        ...


P = TypeVar("P", bound=Party)


@dataclass(frozen=True, slots=True)
class Create:
    """Nothing the touchpoint names has a profile: one begins."""


@dataclass(frozen=True, slots=True)
class Attach(Generic[P]):
    """One profile has something of what the touchpoint names; it gets the rest."""

    profile: P


@dataclass(frozen=True, slots=True)
class Merge(Generic[P]):
    """Several profiles turn out to be one person's. The one founded first survives (ties by id)."""

    survivor: P
    absorbed: tuple[P, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """An identifier that gives way.

    `reason`: `<kind>_limit`, `too_many_identifiers`, `banned`, `unverified_claim` or `shared_device`.
    """

    claim: Claim
    reason: str


@dataclass(frozen=True, slots=True)
class Resolution(Generic[P]):
    """What one touchpoint does. Its first claim owns it, whatever becomes of the others.

    `accepted` are linked to the first; `refused` are not, and are journalled; a claim in neither names a shared device
    again. `shared`: devices that this touchpoint shows to be shared; their address moves to the next epoch.
    """

    outcome: Create | Attach[P] | Merge[P]
    accepted: tuple[Claim, ...]
    refused: tuple[Refuse, ...] = ()
    shared: tuple[Claim, ...] = ()


def resolve(claims: Sequence[Claim], party_of: Callable[[UUID], P], rules: Rules, received_us: int) -> Resolution[P]:
    """Decide for one touchpoint; `claims`: its own, those by alias, then the others, strongest first.

    An alias says that two users are one, so it is heard before a device of theirs could be taken for a shared one.
    All profiles named would be merged. Where a rule forbids that, the weakest identifiers give way first: each one is
    taken from the strongest down if it fits with those taken already, so that an innocent one isn't lost with a guilty one.
    """
    own = claims[0]
    union = _Union(own, party_of(own.fragment), rules, received_us)
    accepted: list[Claim] = []
    refused: list[Refuse] = []
    shared: list[Claim] = []
    for claim in claims[1:]:
        party = party_of(claim.fragment)
        if claim.fragment == own.fragment or party.is_nobodys or union.own_party.is_nobodys:
            continue
        held = party.hold()
        reason = union.find_objection(claim, party, held)
        if reason is None:
            union.take(claim, party, held)
            accepted.append(claim)
        elif _shows_shared_device(own, claim, reason):
            refused.append(Refuse(claim, SHARED_DEVICE))
            shared.append(claim)
        else:
            refused.append(Refuse(claim, reason))
    return Resolution(_compute_outcome(union.parties), tuple(accepted), tuple(refused), tuple(shared))


def _shows_shared_device(own: Claim, claim: Claim, reason: str) -> bool:
    """Only a touchpoint that itself names a user_id tells of two known people on one device."""
    return own.kind == USER_ID and claim.kind == ANONYMOUS_ID and not claim.by_alias and reason == limit_reason(USER_ID)


def limit_reason(kind: str) -> str:
    return f"{kind}_limit"


def find_objection(own: Claim, party: P, claim: Claim, other: P, rules: Rules, received_us: int) -> str | None:
    """Why a command may not make one of two profiles; None where it may."""
    if party.is_nobodys or other.is_nobodys:
        return SHARED_DEVICE
    return _Union(own, party, rules, received_us).find_objection(claim, other, other.hold())


def _compute_outcome(parties: Sequence[P]) -> Create | Attach[P] | Merge[P]:
    born = [party for party in parties if party.is_born]
    if not born:
        return Create()
    if len(born) == 1:
        return Attach(born[0])
    survivor = choose_survivor(born)
    return Merge(survivor, tuple(party for party in born if party is not survivor))


def choose_survivor(parties: Sequence[P]) -> P:
    """A born profile before one nobody has seen, then the earlier founding row, then the smaller id."""
    return min(parties, key=lambda party: (not party.is_born, party.founded, party.id))


class _Union(Generic[P]):
    """The profile that would come of what was taken so far."""

    __slots__ = ("_held", "_known", "_own", "_own_person", "_received_us", "_rules", "_size", "own_party", "parties")

    def __init__(self, own: Claim, party: P, rules: Rules, received_us: int) -> None:
        self._own = own
        self._received_us = received_us
        self._own_person = party.person_of(own.fragment)
        self._rules = rules
        self._held = party.hold()
        self._size = party.size
        self._known = party.is_known or is_verified_person(own)
        self.own_party = party
        self.parties = [party]

    def find_objection(self, claim: Claim, party: P, held: Held) -> str | None:
        """Why the claim's profile, which holds so much, may not become one with this one; None where it may, or already is."""
        if any(party is taken for taken in self.parties):
            return None
        over = [kind for kind, theirs in held.items() if kind in self._held and self._is_over(kind, theirs, claim, party)]
        if over:
            return limit_reason(min(over, key=lambda kind: (strength_of(kind), kind)))
        if self._is_too_large_with(party):
            return TOO_MANY
        link = Link(self._own.fragment, claim.fragment, self._received_us)
        if any(taken.bars(party, link) or party.bars(taken, link) for taken in self.parties):
            return BANNED
        if self._own.verified and claim.verified:
            return None
        is_enough = self._is_enough(self._own) and self._is_enough(claim)
        return None if is_enough and not (self._known and party.is_known) else UNVERIFIED_CLAIM

    def take(self, claim: Claim, party: P, held: Held) -> None:
        if all(party is not taken for taken in self.parties):
            self.parties.append(party)
            self._size += party.size
            for kind, theirs in held.items():
                self._held.setdefault(kind, {}).update(theirs)
        if self._is_same_by_alias(claim, party):
            mine = self._held[claim.kind]
            joined = mine.pop(party.person_of(claim.fragment), "")
            mine[self._own_person] = choose_later(mine.get(self._own_person, ""), joined)
        carried = claim.verified and not claim.by_alias
        self._known = self._known or party.is_known or (carried and claim.kind not in UNKNOWN_PERSON_KINDS)

    def _is_over(self, kind: str, theirs: Mapping[UUID, str], claim: Claim, party: P) -> bool:
        """Whether both bring identifiers of the kind, and together more than may be."""
        mine, rules = self._held[kind], self._rules.of(kind)
        if rules.limit is None or len(mine) + len(theirs) <= rules.limit:
            return False
        counted, other = mine.keys(), theirs.keys()
        if rules.window is not None:
            # What joined after the touchpoint was received counts, too: else one that comes late would get round the limit.
            begin = _format_begin(self._received_us, rules.window)
            counted, other = _find_since(mine, begin).keys(), _find_since(theirs, begin).keys()
        if not counted or not other:
            return False
        together = counted | other
        if kind == claim.kind and self._is_same_by_alias(claim, party):
            together -= {party.person_of(claim.fragment)} if self._own_person in together else set()
        return len(together) > rules.limit

    def _is_too_large_with(self, party: P) -> bool:
        size = self._size + party.size
        if size <= _SURELY_FIT:
            return False
        return size > MAX_IDENTIFIERS or sum(one.weigh() for one in (*self.parties, party)) > MAX_VALUE_BYTES

    def _is_enough(self, claim: Claim) -> bool:
        return claim.verified or self._rules.of(claim.kind).browser_claim

    def _is_same_by_alias(self, claim: Claim, party: P) -> bool:
        return claim.by_alias and claim.kind == self._own.kind and party.person_of(claim.fragment) != self._own_person


def choose_later(one: str, other: str) -> str:
    """Of two times at which somebody joined; that of who joins only now is empty."""
    return max(one, other) if one and other else ""


def _format_begin(received_us: int, window: timedelta) -> str:
    """When the window began; before all times where it reaches that far."""
    try:
        return format_utc(from_micros(received_us) - window)
    except OverflowError:
        return ""


def _find_since(held: Mapping[UUID, str], begin: str) -> dict[UUID, str]:
    return {person: joined for person, joined in held.items() if not joined or joined > begin}
