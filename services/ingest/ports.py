"""What the handlers need of the outside: who holds a key, and where parked rejections, sources and imports lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from uuid import UUID

from services.ingest.domain.imports.layouts import Layout
from services.ingest.domain.imports.tally import Tally
from services.ingest.domain.rates import Rate
from services.ingest.domain.suppressions import RequestKind, Suppression
from services.ingest.domain.webhooks.deliveries import Provider

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from libs.events.envelope import Incoming, Outgoing
    from libs.kit.auth import Source
    from libs.kit.db import Tx
    from services.ingest.domain.tallies import Breaches, Broken, Count, Tallies


class Sources(Protocol):
    """Looks sources up in memory. None: no such one, or its key is revoked. Raises Unavailable before anything was loaded."""

    def find_source(self, write_key: str) -> "Source | None": ...

    def source_by_id(self, source_id: str) -> "Source | None": ...


@dataclass(frozen=True, slots=True)
class ParkedRejection:
    """A refused touchpoint as it lies in the database. `body` is a whole request's body: `POST path` would send it again."""

    id: UUID
    source_id: str
    received_at: datetime
    reason: str
    detail: str
    path: str
    body: bytes


class Place(NamedTuple):
    """Where a page ended, in the order newest first."""

    received_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class RejectionFilter:
    """All conditions given hold: `since` is inclusive, `until` exclusive."""

    source_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class RejectionBounds:
    """How long and how much is kept: the oldest of a source go first."""

    received_after: datetime
    max_per_source: int
    max_bytes_per_source: int


class RejectionGroup(NamedTuple):
    """Rejections of one source for one reason."""

    source_id: str
    reason: str
    total: int
    first_at: datetime
    last_at: datetime
    samples: list[ParkedRejection]


class RejectionStore(Protocol):
    """Parked rejections. Every method works in the transaction it is given and is safe to repeat.

    One that was sent through again is no longer found, but remembered, so that reading the topic anew doesn't park it anew.
    """

    async def add(self, tx: "Tx", rejections: Sequence[ParkedRejection]) -> set[UUID]:
        """Park them; the ids that weren't known yet. A known one stays as it is."""
        ...

    async def find(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        """Newest first by (received_at, id), beginning behind `after`."""
        ...

    async def lock(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        """As `find`, leaving out what another transaction has locked; locked until the end of this one."""
        ...

    async def count_reasons(self, tx: "Tx", where: RejectionFilter) -> Mapping[str, int]: ...

    async def summarise(self, tx: "Tx", where: RejectionFilter, *, samples: int) -> "list[RejectionGroup]":
        """By source and reason, the most first, each with its newest ones."""
        ...

    async def mark_replayed(self, tx: "Tx", ids: Sequence[UUID], now: datetime) -> None:
        """They are found no more; their bodies are forgotten."""
        ...

    async def update_reason(self, tx: "Tx", rejection_id: UUID, reason: str, detail: str) -> None: ...

    async def trim(self, tx: "Tx", bounds: RejectionBounds) -> int:
        """Remove what is beyond the bounds; how many."""
        ...


@dataclass(frozen=True, slots=True)
class Import:
    """A file to import and how far it is. Its job has the same id and the state; `tally` is committed with every batch."""

    id: UUID
    source_id: str
    file_name: str
    file_sha256: bytes
    size_bytes: int
    layout: Layout
    max_error_ratio: float
    pause_requested: bool
    tally: Tally
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ImportRowError:
    """A row that became nothing. `step` orders them; `data` is the row, cut where it is long."""

    step: int
    line: int
    outcome: Literal["rejected", "skipped"]
    reason: str
    detail: str
    data: bytes


class ImportStore(Protocol):
    """Imports, their files in chunks, and the rows that failed."""

    async def insert(self, tx: "Tx", made: Import) -> bool:
        """False where one of that id is there; it stays as it is."""
        ...

    async def add_chunk(self, tx: "Tx", import_id: UUID, number: int, data: bytes) -> None: ...

    async def read_chunk(self, tx: "Tx", import_id: UUID, number: int) -> bytes | None:
        """None behind the last."""
        ...

    async def find(self, tx: "Tx", import_id: UUID) -> Import | None: ...

    async def lock(self, tx: "Tx", import_id: UUID) -> Import | None:
        """As `find`; nobody else changes it until the end of the transaction."""
        ...

    async def list_page(self, tx: "Tx", *, after: Place | None, limit: int) -> list[Import]:
        """Newest first by (created_at, id), beginning behind `after`."""
        ...

    async def request_pause(self, tx: "Tx", import_id: UUID, *, wanted: bool) -> None: ...

    async def save_tally(self, tx: "Tx", import_id: UUID, tally: Tally) -> None: ...

    async def save_max_error_ratio(self, tx: "Tx", import_id: UUID, ratio: float) -> None: ...

    async def add_errors(self, tx: "Tx", import_id: UUID, errors: Sequence[ImportRowError]) -> None: ...

    async def list_errors(self, tx: "Tx", import_id: UUID, *, after_step: int, limit: int) -> list[ImportRowError]:
        """In file order."""
        ...

    async def forget_errors(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        """At most so many; how many."""
        ...

    async def forget_chunks(self, tx: "Tx", import_id: UUID, limit: int) -> int:
        """At most so many; how many."""
        ...

    async def delete(self, tx: "Tx", import_id: UUID) -> None: ...

    async def list_expired(self, tx: "Tx", rested_before: datetime) -> list[UUID]:
        """Imports whose job has been at rest since before then."""
        ...


@dataclass(frozen=True, slots=True)
class WriteKey:
    """A key as it may be shown: `id` is the beginning of its hash."""

    id: str
    created_at: datetime
    revoked_at: datetime | None


class SourceStore(Protocol):
    """Sources and their keys in schema `access`."""

    async def list_sources(self, tx: "Tx", *, after: str | None, limit: int) -> "list[Source]":
        """By id, beginning behind `after`."""
        ...

    async def find(self, tx: "Tx", source_id: str) -> "Source | None": ...

    async def lock(self, tx: "Tx", source_id: str) -> "Source | None":
        """As `find`; nobody else changes it until the end of the transaction."""
        ...

    async def create(self, tx: "Tx", source: "Source") -> bool:
        """False where one of that id exists; it is left as it is."""
        ...

    async def save(self, tx: "Tx", source: "Source") -> None:
        """Overwrite everything but the id."""
        ...

    async def list_keys(self, tx: "Tx", source_id: str) -> list[WriteKey]:
        """Oldest first."""
        ...

    async def create_key(self, tx: "Tx", source_id: str) -> str:
        """A new key, readable this once."""
        ...

    async def revoke_key(self, tx: "Tx", source_id: str, key_id: str) -> bool:
        """False where the source has no active key of that id."""
        ...


class Usage(NamedTuple):
    """What waits in a spool."""

    records: int
    size_bytes: int


class Spool(Protocol):
    """Records that are safe on this machine's disk until the log has them, in the order in which they came.

    One task reads, confirms and adopts; any number append.
    """

    @property
    def usage(self) -> Usage:
        """What isn't confirmed, appends that are under way included."""
        ...

    @property
    def is_taking(self) -> bool:
        """Whether the last append found room."""
        ...

    async def append(self, records: "Sequence[Outgoing]") -> None:
        """Return once they survive the end of the process and of the machine. Raises PublishFailed: full, or the disk refuses.

        What was refused may be read all the same.
        """
        ...

    async def read(self, *, max_records: int, max_bytes: int) -> "Sequence[Outgoing]":
        """The oldest that aren't confirmed, at least one where there is one; the same again until they are. Raises OSError."""
        ...

    async def confirm(self) -> None:
        """The log has what `read` gave last. Without it a later process reads it again. Raises OSError."""
        ...

    async def set_aside(self, record: "Outgoing") -> None:
        """Keep for a person what the log will never take. Raises OSError."""
        ...

    async def adopt(self) -> None:
        """Take over what ended processes left behind. Raises OSError."""
        ...

    async def rest(self) -> None:
        """Nothing is expected soon: give up what isn't needed. Raises OSError."""
        ...


class Webhooks(Protocol):
    """Looks endpoints of webhooks up in memory. None: the source has none of that provider.

    Raises Unavailable before anything was loaded.
    """

    def find_webhook(self, source_id: str, provider: str) -> "LiveWebhook | None": ...


class Sns(Protocol):
    """What Amazon's notification service wants fetched from it. The addresses given have been checked to be its own.

    Both raise Unavailable where it doesn't answer as it should.
    """

    async def fetch_certificate(self, url: str) -> bytes: ...

    async def confirm(self, url: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LiveWebhook:
    """An endpoint ready for deliveries."""

    provider: Provider
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A secret as it may be shown: not at all."""

    id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """`mapping_version`: the mapping in force, where the endpoint has one of its own."""

    source_id: str
    provider: str
    mapping_version: int | None
    created_at: datetime
    updated_at: datetime
    secrets: tuple[WebhookSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookMapping:
    version: int
    mapping: dict[str, Any]
    created_at: datetime


class WebhookStore(Protocol):
    """Endpoints of webhooks, their secrets, and every version of their mappings. Works in the transaction it is given."""

    async def list_endpoints(self, tx: "Tx", source_id: str) -> list[WebhookEndpoint]:
        """By provider."""
        ...

    async def find(self, tx: "Tx", source_id: str, provider: str) -> WebhookEndpoint | None: ...

    async def create(self, tx: "Tx", source_id: str, provider: str, now: datetime) -> bool:
        """False where there is one; it is left as it is. Nobody else changes it until the end of the transaction."""
        ...

    async def delete(self, tx: "Tx", source_id: str, provider: str) -> bool:
        """With all it has; False where there is none."""
        ...

    async def add_secret(self, tx: "Tx", source_id: str, provider: str, secret: str, now: datetime) -> WebhookSecret:
        """The one that is there, where it is there already."""
        ...

    async def delete_secret(self, tx: "Tx", source_id: str, provider: str, secret_id: UUID) -> bool: ...

    async def delete_secrets(self, tx: "Tx", source_id: str, provider: str) -> None: ...

    async def add_mapping(self, tx: "Tx", source_id: str, provider: str, mapping: Mapping[str, Any], now: datetime) -> int:
        """The next version, which is in force from now on."""
        ...

    async def list_mappings(self, tx: "Tx", source_id: str, provider: str) -> list[WebhookMapping]:
        """Newest first."""
        ...

    async def activate_mapping(self, tx: "Tx", source_id: str, provider: str, version: int, now: datetime) -> bool:
        """False where there is no such version."""
        ...

    async def load_all(self, tx: "Tx") -> "list[StoredWebhook]": ...


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """An endpoint with all that deliveries need."""

    source_id: str
    provider: str
    secrets: tuple[str, ...]
    mapping: dict[str, Any] | None


class RateLimiter(Protocol):
    """Keeps sources within their limits, over all processes or over this one."""

    async def admit(self, source_id: str, rate: Rate, events: int) -> int:
        """0: the request may go on, and counts. Else the whole seconds to wait; nothing counts. Never raises."""
        ...


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


class TallyStore(Protocol):
    """What processes have counted, added up."""

    async def add(self, tx: "Tx", tallies: "Tallies") -> None: ...

    async def find_seen(self, tx: "Tx", source_id: str) -> datetime | None: ...

    async def list_counts(self, tx: "Tx", source_id: str, *, since: date, until: date) -> "list[Count]":
        """By day, newest first; `until` is inclusive."""
        ...

    async def trim(self, tx: "Tx", *, days_after: date, violations_after: datetime) -> int: ...


class SourceView(Protocol):
    """Records of some sources in some topics. While the broker is away it gives nothing."""

    async def look_back(self, limit: int) -> "list[Incoming]":
        """The newest, oldest first, as far back as the log is looked through."""
        ...

    async def read_on(self) -> "list[Incoming]":
        """What came since the last look; waits a moment for something to come. What there is no time for is left out."""
        ...


class SourceLog(Protocol):
    def open_view(self, source_ids: "Sequence[str]", topics: "Sequence[str]") -> "AbstractAsyncContextManager[SourceView]": ...
