"""Identity resolution: what the identifiers of one touchpoint do to the profiles they point at.

Pure decisions. Applying them is `graph`'s, loading and locking what they look at is the handlers'.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar
from uuid import UUID

import msgspec

USER_ID: Final = "user_id"
ANONYMOUS_ID: Final = "anonymous_id"
UNKNOWN_PERSON_KINDS: Final = frozenset({ANONYMOUS_ID, "device_id"})
"""Kinds that say which device, not who: a profile with nothing else is nobody known."""

UNVERIFIED_CLAIM: Final = "unverified_claim"
SHARED_DEVICE: Final = "shared_device"
BANNED: Final = "banned"


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


@dataclass(frozen=True, slots=True)
class Rules:
    """`limits`: how many of a kind one profile may hold; kinds not named have none."""

    limits: Mapping[str, int] = field(default_factory=lambda: {USER_ID: 1})


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

    def persons(self, kind: str) -> AbstractSet[UUID]:
        """Its identifiers of a kind; those joined by alias count as one."""
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
    """An identifier that gives way. `reason`: `<kind>_limit`, `banned`, `unverified_claim` or `shared_device`."""

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
        reason = union.find_objection(claim, party)
        if reason is None:
            union.take(claim, party)
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
    return _Union(own, party, rules, received_us).find_objection(claim, other)


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

    __slots__ = ("_known", "_own", "_own_person", "_persons", "_received_us", "_rules", "own_party", "parties")

    def __init__(self, own: Claim, party: P, rules: Rules, received_us: int) -> None:
        self._own = own
        self._received_us = received_us
        self._own_person = party.person_of(own.fragment)
        self._rules = rules
        self._persons = {kind: set(party.persons(kind)) for kind in rules.limits}
        self._known = party.is_known or is_verified_person(own)
        self.own_party = party
        self.parties = [party]

    def find_objection(self, claim: Claim, party: P) -> str | None:
        """Why the claim's profile may not become one with this one; None where it may, or already is."""
        if any(party is taken for taken in self.parties):
            return None
        for kind, limit in self._rules.limits.items():
            mine, theirs = self._persons[kind], party.persons(kind)
            if mine and theirs and len(mine | theirs) - self._joined_by_alias(kind, claim, party) > limit:
                return limit_reason(kind)
        link = Link(self._own.fragment, claim.fragment, self._received_us)
        if any(taken.bars(party, link) or party.bars(taken, link) for taken in self.parties):
            return BANNED
        if self._known and party.is_known and not (self._own.verified and claim.verified):
            return UNVERIFIED_CLAIM
        return None

    def take(self, claim: Claim, party: P) -> None:
        person = party.person_of(claim.fragment)
        for kind, persons in self._persons.items():
            persons.update(party.persons(kind))
            if self._joined_by_alias(kind, claim, party):
                persons.discard(person)
        carried = claim.verified and not claim.by_alias
        self._known = self._known or party.is_known or (carried and claim.kind not in UNKNOWN_PERSON_KINDS)
        if all(party is not taken for taken in self.parties):
            self.parties.append(party)

    def _joined_by_alias(self, kind: str, claim: Claim, party: P) -> int:
        same_kind = claim.by_alias and claim.kind == kind == self._own.kind
        return int(same_kind and party.person_of(claim.fragment) != self._own_person)
