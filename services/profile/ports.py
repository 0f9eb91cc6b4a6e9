"""What the handlers need of storage. Implementations: `store`. Every method runs in the caller's transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from msgspec import Raw, Struct

from libs.events.profiles import Cause
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.db import Tx
from services.profile.domain.accounts import Grouped
from services.profile.domain.graph import EpochOpened, Graph, Group
from services.profile.domain.nodes import Node
from services.profile.domain.regrouping import Together
from services.profile.domain.rules import KindRules
from services.profile.domain.search import SearchKeys
from services.profile.domain.views import NO_IDENTIFIERS, FacetRow

ProfileGroup = Group[TouchpointRecorded]
ProfileGraph = Graph[TouchpointRecorded]
FragmentIds = Callable[[str, str, int], UUID]


class Located(NamedTuple):
    """Where an address leads: the live fragment and the profile that has it."""

    fragment: UUID
    profile_id: UUID


class NewFragment(Struct, frozen=True):
    node: Node
    profile_id: UUID


class Sentiment(Protocol):
    """Scores a text: -1 to 1, a decimal of 4 places. Pure: under one `version` a text always has the same score."""

    @property
    def version(self) -> str: ...

    def __call__(self, text: str) -> str: ...

    async def warm(self, texts: Collection[str]) -> None:
        """Score these without holding up anything else; who asks for them next gets them at once."""
        ...


class ScoredText(Struct, frozen=True):
    """As it is stored with the touchpoint, once and for ever; another version scores only what comes from then on."""

    score: Raw
    version: str


class TimelineEntry(Struct, frozen=True):
    fragment: UUID
    applied: int
    touchpoint: TouchpointRecorded
    body: bytes
    sentiment: ScoredText | None = None


class ProfileRow(Struct, frozen=True):
    """A profile as it is to be written. `regrouped`: its members changed. `identifiers`: as shown."""

    group: ProfileGroup
    causes: tuple[Cause, ...]
    regrouped: bool = False
    identifiers: bytes = NO_IDENTIFIERS


class GraphStore(Protocol):
    """The identity graph, the views and the journal. Sequences to be locked are given sorted."""

    async def insert_touchpoints(self, tx: Tx, ids: Sequence[UUID]) -> set[UUID]:
        """Those that were new. Waits for another transaction that is inserting the same one."""
        ...

    async def locate(self, tx: Tx, addresses: Collection[UUID]) -> dict[UUID, Located]:
        """Of the addresses that have a fragment: where they lead now."""
        ...

    async def insert_fragments(self, tx: Tx, fragments: Sequence[NewFragment]) -> set[UUID]:
        """Those that were missing; the others are another transaction's, committed by now."""
        ...

    async def lock_profiles(self, tx: Tx, profile_ids: Sequence[UUID]) -> None:
        """Lock the rows in the order given."""
        ...

    async def load_groups(self, tx: Tx, profile_ids: Collection[UUID]) -> list[ProfileGroup]: ...

    async def load_states(self, tx: Tx, fragments: Collection[UUID]) -> dict[UUID, bytes]: ...

    async def next_application(self, tx: Tx) -> int:
        """A number that grows with every batch; batches that share a profile get theirs in the order of their locks."""
        ...

    async def save_profiles(self, tx: Tx, rows: Sequence[ProfileRow], now: datetime) -> None: ...

    async def save_fragments(self, tx: Tx, states: Mapping[UUID, bytes], moves: Mapping[UUID, UUID]) -> None:
        """New states, and new profiles, by fragment."""
        ...

    async def save_graph(self, tx: Tx, graph: ProfileGraph, now: datetime) -> None:
        """Links, merges, refusals, blocked identifiers and epochs of the batch."""
        ...

    async def save_ignored(self, tx: Tx, reasons: Mapping[UUID, str], now: datetime) -> None:
        """Touchpoints that change no profile, with the reason. That they are ignored is final, as their ids are inserted."""
        ...

    async def open_epochs(self, tx: Tx, epochs: Sequence[EpochOpened], now: datetime) -> None: ...

    async def append_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None: ...

    async def index_traits(self, tx: Tx, keys: Mapping[UUID, SearchKeys | tuple[()]]) -> None:
        """Replace what a profile is found by, where that changed; an empty tuple takes it out."""
        ...


class Regrouped(Struct, frozen=True):
    """A merge or split by command. `other_id` was absorbed by, or left, `profile_id`; `fragments` are those the command named.

    `banned`: the pairs that mustn't meet again until the ban, which has the command's id, is lifted.
    """

    id: UUID
    kind: Literal["merge", "split"]
    position: int
    reason: str
    actor: str
    profile_id: UUID
    other_id: UUID
    fragments: tuple[UUID, ...]
    links: tuple[Together, ...]
    banned: tuple[tuple[UUID, UUID], ...] = ()


class BanInForce(NamedTuple):
    """`fragment`, on whose node the ban stands, is kept apart from `others`."""

    fragment: UUID
    others: tuple[UUID, ...]


class Lifted(Struct, frozen=True):
    """A ban lifted: `fragment`, of `profile_id`, may be linked again with what is now the `others`'."""

    ban_id: UUID
    position: int
    actor: str
    profile_id: UUID
    fragment: UUID
    others: tuple[UUID, ...]


class CommandStore(Protocol):
    """What commands of identity look up and write beside the graph. All under the locks of the profiles concerned."""

    async def find_foundings(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, UUID]:
        """Profile -> the fragment that founded it, of those that exist."""
        ...

    async def find_owners(self, tx: Tx, fragments: Collection[UUID]) -> dict[UUID, UUID]:
        """Fragment -> its profile. As `GraphStore.locate`, by the fragment itself."""
        ...

    async def save_regrouped(self, tx: Tx, command: Regrouped, now: datetime) -> None: ...

    async def find_ban(self, tx: Tx, ban_id: UUID) -> BanInForce | None:
        """One in force."""
        ...

    async def lift_ban(self, tx: Tx, ban_id: UUID, now: datetime) -> set[UUID]:
        """Its links count again if received later; the fragments of its pairs."""
        ...

    async def save_lifted(self, tx: Tx, lifted: Lifted, now: datetime) -> None: ...

    async def save_nodes(self, tx: Tx, group: ProfileGroup) -> None:
        """Of a profile that reads as before: no version."""
        ...


class RulesVersion(Struct, frozen=True):
    """Rules of identity as somebody left them. Version 0 is nobody's: as installed."""

    version: int
    kinds: Mapping[str, KindRules]
    at: datetime | None = None
    actor: str | None = None


class RulesStore(Protocol):
    """Every version of the rules. A version never changes."""

    async def lock(self, tx: Tx) -> None:
        """Keep other writers out until the transaction ends; readers go on."""
        ...

    async def find_newest(self, tx: Tx) -> RulesVersion | None: ...

    async def insert(self, tx: Tx, made: RulesVersion) -> None: ...

    async def load_versions(self, tx: Tx, before: int, limit: int) -> list[RulesVersion]:
        """Those with a lower number, newest first."""
        ...


class StoredProfile(Struct, frozen=True):
    """A profile as it is shown and told. `causes` and `nodes` only where they were asked for."""

    id: UUID
    founding: UUID
    version: int
    updated_at: datetime
    absorbed_into: UUID | None
    identifiers: bytes
    core: bytes
    facets: bytes
    causes: tuple[Cause, ...] = ()
    nodes: tuple[Node, ...] = ()


class FacetStore(Protocol):
    """What other services said of profiles, under the id they named."""

    async def save_facets(self, tx: Tx, rows: Mapping[tuple[UUID, str, str], tuple[int, bytes]]) -> set[UUID]:
        """(profile, facet, key) -> (seq, body). Keeps what has a higher seq; the profiles whose facets read otherwise now."""
        ...

    async def save_judged(self, tx: Tx, versions: Mapping[tuple[UUID, str], int]) -> set[UUID]:
        """(profile, facet) -> the profile version it has judged; the highest stands. `LEFT`: what was judged before is hidden.

        The profiles of which a facet may be shown again.
        """
        ...

    async def mark_pending(self, tx: Tx, profile_ids: Collection[UUID]) -> None: ...

    async def take_pending(self, tx: Tx, profile_ids: Collection[UUID]) -> set[UUID]:
        """Those of the profiles that had changes waiting; they don't any more. Their rows are locked."""
        ...

    async def find_pending(self, tx: Tx, limit: int) -> list[UUID]: ...

    async def load_facets(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, list[FacetRow]]:
        """What may be shown: not what was judged before the profile left others with its id."""
        ...


class AccountStore(Protocol):
    """Accounts as all who belong to them speak of them. Locks the accounts' rows, sorted: nothing may be locked after them."""

    async def save_grouped(self, tx: Tx, grouped: Grouped) -> None:
        """Merge what a batch says into what is there. Saying it twice, or in another order, changes nothing."""
        ...
