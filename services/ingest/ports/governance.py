"""Tracking plans, and who wants to be left alone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from services.ingest.domain.suppressions import RequestKind, Suppression

if TYPE_CHECKING:
    from libs.kit.db import Tx
    from services.ingest.domain.tallies import Breaches, Broken


class PrivacyRequest(NamedTuple):
    """What a privacy request says of each of its fragments."""

    id: UUID
    kind: RequestKind
    fragments: Sequence[UUID]
    at: datetime
    cutoff: datetime | None


class SuppressionStore(Protocol):
    async def apply(self, tx: "Tx", requests: Sequence[PrivacyRequest]) -> None:
        """Fold the requests into what is known of their fragments. In any order and again: the same."""
        ...

    async def read_changes(self, tx: "Tx", after: int) -> tuple[int, Mapping[UUID, Suppression]]:
        """What changed after that revision, and the newest revision. None is ever missed: revisions commit in their order."""
        ...


class PlanVersion(NamedTuple):
    """`document` is the JSON of a `PlanDocument`."""

    plan_id: str
    version: int
    document: bytes
    created_at: datetime
    created_by: str


class PlanEntry(NamedTuple):
    """A plan as a whole. `active_version` is judged by, None: nothing is yet."""

    id: str
    version: int
    active_version: int | None
    sources: Sequence[str]


class PlanStore(Protocol):
    """Tracking plans: versions are never changed."""

    async def list_plans(self, tx: "Tx", *, after: str | None, limit: int) -> list[PlanEntry]: ...

    async def find(self, tx: "Tx", plan_id: str) -> PlanEntry | None: ...

    async def lock(self, tx: "Tx", plan_id: str) -> PlanEntry | None:
        """As `find`; nobody else changes it until the end of the transaction."""
        ...

    async def create(self, tx: "Tx", version: PlanVersion) -> bool:
        """False where one of that id exists."""
        ...

    async def add_version(self, tx: "Tx", version: PlanVersion) -> None:
        """Of a plan that is locked."""
        ...

    async def find_version(self, tx: "Tx", plan_id: str, version: int) -> PlanVersion | None: ...

    async def list_versions(self, tx: "Tx", plan_id: str) -> list[PlanVersion]:
        """Newest first."""
        ...

    async def activate(self, tx: "Tx", plan_id: str, version: int) -> None: ...

    async def assign(self, tx: "Tx", plan_id: str, source_id: str) -> None:
        """A source has one plan: another one's place is taken."""
        ...

    async def withdraw(self, tx: "Tx", plan_id: str, source_id: str) -> bool: ...

    async def find_assigned(self, tx: "Tx", source_id: str) -> str | None:
        """The plan of a source."""
        ...

    async def read_active(self, tx: "Tx") -> Mapping[str, tuple[str, int]]:
        """Source -> the plan and version it is judged by."""
        ...

    async def list_violations(self, tx: "Tx", plan_id: str, *, source_id: str | None, limit: int) -> "Mapping[Broken, Breaches]":
        """Most frequent first."""
        ...
