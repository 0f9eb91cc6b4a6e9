"""What there is: the rules of the protocol, the rows, the log, and what is to be told and done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from uuid import UUID

from services.profile.domain.graph import Group
from services.profile.domain.rules import INSTALLED, KindRules
from services.profile.domain.rules import Rules as IdentityRules
from services.profile.store.graph import encode_nodes
from tests.model.engine import Database
from tests.unit.profile.plain_identity import Touch

PARTITIONS = 4
COMMANDS = PARTITIONS
"""The place of those who carry out commands: like a partition, its owner may be killed in the middle and come again."""
KINDS = {"u": "user_id", "e": "email", "d": "anonymous_id"}


@dataclass(frozen=True)
class Rules:
    """The rules of the protocol. Each False is a variant somebody might think good enough."""

    dedupe_first: bool = True
    """Touchpoint ids are inserted before anything is read: a copy elsewhere waits, and then sees that it is one."""
    lock_roots: bool = True
    """The profile rows of all fragments named are locked, not just the fragments."""
    reread_roots: bool = True
    """After the locks, fragment -> profile is read again, and all begins anew if it changed."""
    load_after_locks: bool = True
    """Nothing read before the locks is folded on."""
    outbox: bool = True
    """What is to be published commits with the effects."""
    compare_after_publish: bool = True
    """The row is deleted only when no profile in it has a higher version than was published."""
    hold_while_publishing: bool = True
    """The publisher keeps the row locked; others skip it."""
    number_fits_content: bool = True
    """A record rebuilt after a crash carries the current version with the current content."""
    claim_key: bool = True
    """A command inserts its key in its own transaction: asked for again, it isn't done again."""
    lock_commands: bool = True
    """A command locks the profiles it names, as a batch does."""
    reread_commands: bool = True
    """After its locks a command reads again whom it named, and begins anew if that changed."""
    tell_both_parts: bool = True
    """A split tells the part that left as well as the one that stayed."""
    tell_absorbed: bool = True
    """A profile that became another's tells that nobody belongs to it any more."""


@dataclass(frozen=True)
class Command:
    """`merge` of two identifiers' profiles, `split` of one off its own, or `lift` of the ban of the command `of`.

    `at`: minutes after the start; a link received until a lifting stays void.
    """

    id: int
    kind: str
    one: str = ""
    other: str = ""
    of: int = -1
    at: int = 0


@dataclass(frozen=True)
class Fragment:
    profile: UUID
    folded: frozenset[UUID] = frozenset()
    times_folded: int = 0


@dataclass(frozen=True)
class Profile:
    founding: UUID
    founded: int
    version: int = 0
    nodes: bytes = encode_nodes([])
    members: frozenset[UUID] = frozenset()
    absorbed_into: UUID | None = None


@dataclass(frozen=True)
class Record:
    """A profile change as published: every member with its membership, what was applied, and the whole content."""

    profile: UUID
    version: int
    founding: UUID
    members: Mapping[UUID, int]
    applied: tuple[tuple[UUID, UUID], ...]
    snapshot: frozenset[UUID]
    absorbed_into: UUID | None = None


@dataclass
class Changes:
    """The changes topic, in the order of its offsets, and which profile ids exist."""

    records: list[Record] = field(default_factory=list)

    def compacted(self) -> list[Record]:
        """What a compacted topic keeps: the last offset of each key."""
        return list({record.profile: record for record in self.records}.values())


@dataclass
class World:
    """`commits`: batches and commands in the order in which they were committed, which nobody in the world can see."""

    rules: Rules
    rng: Random
    partitions: list[list[Touch]]
    at_most_one_user: bool
    commands: list[Command] = field(default_factory=list)
    database: Database = field(default_factory=Database)
    changes: Changes = field(default_factory=Changes)
    commits: list[tuple[Touch, ...] | Command] = field(default_factory=list)
    ids: Iterable[int] = field(default_factory=lambda: count(1))

    def next_id(self) -> int:
        return next(iter(self.ids))

    @property
    def identity_rules(self) -> IdentityRules:
        return (
            IdentityRules()
            if self.at_most_one_user
            else IdentityRules(INSTALLED | {"user_id": KindRules(description="", limit=None)})
        )


Groups = dict[UUID, Group[Touch]]
