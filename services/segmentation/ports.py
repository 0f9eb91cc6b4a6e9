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

    async def load(self, tx: Tx, requests: Sequence[HistoryRequest], *, whole: bool = False) -> list[dict[Need, list[Behaviour]]]:
        """For each request every need's touchpoints in order. `whole`: without the needs' limits."""
        ...

    async def load_names(self, tx: Tx) -> list[str]:
        """Every name that any touchpoint ever had."""
        ...


class Memberships(Protocol):
    """Levels, edges and timers. Callers hold the locks of the profiles they name."""

    async def load(
        self, tx: Tx, profile_ids: Collection[UUID], segment_ids: Collection[str]
    ) -> dict[UUID, dict[str, Membership]]: ...

    async def save(self, tx: Tx, edges: Sequence[ToldEdge]) -> None:
        """Edges of one segment and profile stand in order; the last one is the level."""
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
