"""What the handlers need of storage. Implementations: `store`. Every method runs in the caller's transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from libs.events.segments import EdgeCause
from libs.kit.db import Tx
from libs.subscriber import FactTouchpoint
from services.segmentation.domain.exporting import Form
from services.segmentation.domain.history import Behaviour
from services.segmentation.domain.judging import Edge, Membership
from services.segmentation.domain.nodes import Need
from services.segmentation.domain.segments import SetTimer

State = Literal["filling", "live", "deleted"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A segment's newest version. `rule` is its JSON as it was written, and came with `rule_version`. `filled_to`: profiles up
    to this id were judged by it.
    """

    id: str
    version: int
    rule_version: int
    name: str
    description: str
    rule: str
    state: State
    job_id: UUID
    created_at: datetime
    updated_at: datetime
    filled_to: UUID | None = None


class Export(NamedTuple):
    """Members of a segment written every so often: to a file, or posted to a webhook. `columns` as they were asked for."""

    id: UUID
    segment_id: str
    form: Form
    columns: Sequence[str]
    every: timedelta
    webhook_id: UUID | None
    next_at: datetime
    created_at: datetime


class SaveRun(Protocol):
    """Remembers that a job is a run of an export."""

    async def __call__(self, tx: Tx, export_id: UUID, job_id: UUID, due_at: datetime) -> None: ...


class HistoryRequest(NamedTuple):
    """Touchpoints of one profile's fragments, as each need names them; `judged_us`: the last judgement."""

    fragments: tuple[UUID, ...]
    needs: tuple[Need, ...]
    judged_us: int


class ToldEdge(NamedTuple):
    """An edge of a profile and why."""

    profile_id: UUID
    edge: Edge
    cause: EdgeCause


class KnownEdge(NamedTuple):
    """An edge as it was told."""

    segment_id: str
    seq: int
    at_us: int
    version: int
    cause: EdgeCause


class Timer(NamedTuple):
    """When a profile's answer to a segment's rule changes by itself."""

    profile_id: UUID
    segment_id: str
    due_us: int
    rule_version: int


class TraitNames(Protocol):
    """Traits that profiles have, as far as a look at some of them tells."""

    async def __call__(self, tx: Tx) -> set[str]: ...


class Definitions(Protocol):
    """Segments by id, all versions kept. A deleted one stays and is not among those loaded."""

    async def hold_revision(self, tx: Tx) -> int:
        """The present revision, which can't change before this transaction ends: nobody judges by what is out of date."""
        ...

    async def begin_change(self, tx: Tx) -> None:
        """Wait until nobody judges by the present revision any more, and raise it. For short transactions without other locks."""
        ...

    async def load_all(self, tx: Tx) -> list[Definition]: ...

    async def find(self, tx: Tx, segment_id: str, *, even_deleted: bool = False) -> Definition | None: ...

    async def save(self, tx: Tx, definition: Definition) -> None:
        """Insert or replace, and keep its version."""
        ...

    async def mark_filled(self, tx: Tx, segment_id: str, version: int, filled_to: UUID | None, *, is_done: bool) -> bool:
        """How far the back-fill of this version is; False where the segment has another version or is deleted by now."""
        ...


class Behaviours(Protocol):
    """Touchpoints by fragment, for ever."""

    async def save(self, tx: Tx, touchpoints: Sequence[FactTouchpoint]) -> None: ...

    async def load(
        self, tx: Tx, requests: Sequence[HistoryRequest], *, whole: bool = False, until_us: int | None = None
    ) -> list[dict[Need, list[Behaviour]]]:
        """For each request every need's touchpoints in order, none after `until_us`. `whole`: without the needs' limits."""
        ...

    async def load_names(self, tx: Tx) -> list[str]:
        """Every name that any touchpoint ever had."""
        ...

    async def load_properties(self, tx: Tx, names: Collection[str]) -> dict[str, set[str]]:
        """Paths of properties that some touchpoints of these names have: enough to notice a slip of the pen."""
        ...


class Memberships(Protocol):
    """Levels, edges and timers. Callers hold the locks of the profiles they name."""

    async def load(
        self, tx: Tx, profile_ids: Collection[UUID], segment_ids: Collection[str]
    ) -> dict[UUID, dict[str, Membership]]: ...

    async def save(self, tx: Tx, edges: Sequence[ToldEdge]) -> None:
        """Edges of one segment and profile stand in order; the last one is the level."""
        ...

    async def load_told(self, tx: Tx, profile_id: UUID, segment_ids: Collection[str], at_us: int) -> dict[str, int]:
        """Segments of which it had been told last, up to an instant, that the profile entered, and when."""
        ...

    async def load_edges_after(
        self, tx: Tx, profile_id: UUID, segment_ids: Collection[str], at_us: int, *, limit: int
    ) -> list[KnownEdge]:
        """The first edges told after an instant, in the order of time."""
        ...

    async def load_timers(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[UUID, dict[str, SetTimer]]: ...

    async def save_timers(self, tx: Tx, timers: Sequence[Timer], dropped: Iterable[tuple[UUID, str]]) -> None: ...

    async def find_first_due(self, tx: Tx) -> int | None:
        """The earliest timer of all, in microseconds."""
        ...

    async def find_due(self, tx: Tx, due_us: Mapping[int, int], partitions: int, *, limit: int) -> list[UUID]:
        """Profiles with a timer that is due, the longest due first. `due_us`: by partition, up to when timers may fire."""
        ...

    async def find_torn(self, tx: Tx, profile_ids: Collection[UUID], segment_ids: Collection[str]) -> list[tuple[str, UUID]]:
        """(segment, profile) whose edges don't count up from 1 to the level, or end at another instant than it."""
        ...

    async def load_members(
        self, tx: Tx, segment_id: str, after: UUID | None, limit: int, *, since_us: int | None = None
    ) -> list[tuple[UUID, int]]:
        """(profile, since in microseconds) by profile id; with `since_us` those who entered later than that. Never a profile
        that was absorbed.
        """
        ...


class KeptValue(NamedTuple):
    """The JSON of a part of a profile's view since an instant."""

    profile_id: UUID
    part: str
    at_us: int
    value: bytes


class ViewHistory(Protocol):
    """How parts of views were, by profile. Callers that save hold the profiles' locks."""

    async def load_last(self, tx: Tx, keys: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], KeptValue]:
        """The last one of each (profile, part) of which anything is kept."""
        ...

    async def save(self, tx: Tx, values: Sequence[KeptValue]) -> None:
        """At most one of a profile and part; at the instant of one that is there it takes that one's place."""
        ...

    async def load(self, tx: Tx, profile_id: UUID, parts: Collection[str], at_us: int) -> dict[str, bytes | None]:
        """Each part as it was at the instant, None where it wasn't yet. A part of which nothing is kept is missing."""
        ...


@dataclass(frozen=True, slots=True)
class ManualList:
    """`entries`: how many references are on it, whether or not somebody is known by them."""

    id: str
    name: str
    description: str
    entries: int
    created_at: datetime
    updated_at: datetime


class ListChange(NamedTuple):
    """References that a file brought onto a list and took off; those by which nobody is known yet, and some of their lines."""

    added: int
    removed: int
    unknown: int
    unknown_lines: tuple[int, ...]


class Lists(Protocol):
    """Manual lists of references (an identifier's address or a profile id). What changes is unjudged until it is marked."""

    async def insert(self, tx: Tx, made: ManualList) -> None: ...

    async def find(self, tx: Tx, list_id: str) -> ManualList | None: ...

    async def load_all(self, tx: Tx) -> list[ManualList]:
        """By id."""
        ...

    async def lock(self, tx: Tx, list_id: str) -> bool:
        """Let no file for it be applied before this transaction ends; False where there is no such list."""
        ...

    async def delete(self, tx: Tx, list_id: str) -> None:
        """With its entries. The list is locked."""
        ...

    async def apply(
        self, tx: Tx, list_id: str, rows: Iterable[tuple[UUID, int]], now: datetime, *, is_replacing: bool
    ) -> ListChange | None:
        """Take in (reference, line) of a file; None where there is no such list. Files for one list wait for each other."""
        ...

    async def load(self, tx: Tx, profile_ids: Collection[UUID], list_ids: Collection[str]) -> dict[UUID, frozenset[str]]:
        """On which of these lists each profile is, by the fragments it has now."""
        ...

    async def load_unjudged(self, tx: Tx) -> list[str]:
        """Lists with references that came or went and weren't judged since."""
        ...

    async def count_unjudged(self, tx: Tx, list_id: str) -> int:
        """References that came or went and weren't judged since."""
        ...

    async def take_unjudged(self, tx: Tx, list_id: str, after: UUID | None, *, limit: int) -> list[UUID]:
        """Lock some references that came or went and weren't judged since, in order.

        Waits for nobody: what a file or another job has in hand is left to them. A file that changes anything makes a job.
        """
        ...

    async def load_owners(self, tx: Tx, refs: Sequence[UUID]) -> list[UUID]:
        """The profiles that these references lead to now."""
        ...

    async def mark_judged(self, tx: Tx, list_id: str, refs: Sequence[UUID]) -> None: ...


class ProfilePages(Protocol):
    """Profiles to walk over, by id. Locks nothing."""

    async def count_known(self, tx: Tx) -> int: ...

    async def load_known_ids(self, tx: Tx, after: UUID | None, limit: int) -> list[UUID]: ...

    async def load_concerned_ids(self, tx: Tx, segment_id: str, after: UUID | None, limit: int) -> list[UUID]:
        """Profiles that are in the segment or have a timer of it."""
        ...


class KnownProfile(NamedTuple):
    """A live profile: its view and fragments by this service's own map."""

    profile_id: UUID
    view: bytes
    fragments: tuple[UUID, ...]


class PreviewSource(Protocol):
    """Everybody known, without locks, for questions that save nothing."""

    async def count_profiles(self, tx: Tx) -> int: ...

    async def load_profiles_after(self, tx: Tx, after: UUID | None, *, limit: int, one_in: int) -> list[KnownProfile]:
        """Live profiles by id; with `one_in` a stable part of them."""
        ...

    async def load_overlaps(self, tx: Tx, profile_ids: Collection[UUID]) -> dict[str, int]:
        """How many of these profiles each segment has."""
        ...
