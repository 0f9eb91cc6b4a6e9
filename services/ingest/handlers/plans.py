"""Tracking plans, for people who keep them: versions, the one in force, and what a version would do to what came lately."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from libs.events.codec import EventMalformed, decode
from libs.events.envelope import Incoming
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.errors import FieldError
from services.ingest.domain.plans import Message, Plan, PlanDocument, PlanInvalid
from services.ingest.errors import PlanChanged, PlanExists, PlanNotFound, PlanRefused, SourceNotFound
from services.ingest.ports import PlanEntry, PlanStore, PlanVersion, SourceStore

if TYPE_CHECKING:
    from libs.kit.db import Tx

MAX_BYTES: Final = 256 * 1024
MAX_EVENTS: Final = 500
_SAMPLES: Final = 3
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DOCUMENT: Final = msgspec.json.Decoder(PlanDocument)


def compile_document(plan_id: str, version: int, document: dict[str, Any]) -> tuple[Plan, bytes]:
    """The plan, ready to judge, and what is stored of it. Raises PlanRefused with all that is wrong."""
    encoded = _ENCODER.encode(document)
    if len(encoded) > MAX_BYTES or len(document["events"]) > MAX_EVENTS:
        detail = f"at most {MAX_BYTES} bytes and {MAX_EVENTS} events"
        raise PlanRefused("The tracking plan is too large.", errors=[FieldError("#", detail)])
    return _compile(plan_id, version, encoded), encoded


def compile_version(stored: PlanVersion) -> Plan:
    """Raises PlanRefused."""
    return _compile(stored.plan_id, stored.version, stored.document)


def _compile(plan_id: str, version: int, document: bytes) -> Plan:
    try:
        return Plan(plan_id, version, _DOCUMENT.decode(document))
    except PlanInvalid as invalid:
        errors = [FieldError(wrong.pointer, wrong.detail) for wrong in invalid.wrong]
        raise PlanRefused("The tracking plan has schemas that can't stand.", errors=errors) from None


def read_document(stored: PlanVersion) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(stored.document)
    return document


async def create_plan(tx: "Tx", store: PlanStore, version: PlanVersion) -> None:
    """Raises PlanExists."""
    if not await store.create(tx, version):
        raise PlanExists(f"There is a tracking plan `{version.plan_id}` already.")


async def change_plan(tx: "Tx", store: PlanStore, made: PlanVersion, *, expected: int | None) -> PlanVersion:
    """The next version; the latest where it says the same. Raises PlanNotFound, and PlanChanged where it isn't the expected."""
    entry = await _lock(tx, store, made.plan_id)
    if expected is not None and expected != entry.version:
        raise PlanChanged(f"The latest version is {entry.version}.")
    latest = await find_version(tx, store, entry.id, entry.version)
    if latest.document == made.document:
        return latest
    made = made._replace(version=entry.version + 1)
    await store.add_version(tx, made)
    return made


async def activate_version(tx: "Tx", store: PlanStore, plan_id: str, version: int) -> None:
    """From now on the plan's sources are judged by this version, an older one too. Raises PlanNotFound."""
    await _lock(tx, store, plan_id)
    await find_version(tx, store, plan_id, version)
    await store.activate(tx, plan_id, version)


async def assign_source(tx: "Tx", store: PlanStore, sources: SourceStore, plan_id: str, source_id: str) -> None:
    """Raises PlanNotFound or SourceNotFound."""
    await find_plan(tx, store, plan_id)
    if await sources.find(tx, source_id) is None:
        raise SourceNotFound("There is no source of that id.")
    await store.assign(tx, plan_id, source_id)


async def find_plan(tx: "Tx", store: PlanStore, plan_id: str) -> PlanEntry:
    """Raises PlanNotFound."""
    entry = await store.find(tx, plan_id)
    if entry is None:
        raise PlanNotFound("There is no tracking plan of that id.")
    return entry


async def find_version(tx: "Tx", store: PlanStore, plan_id: str, version: int) -> PlanVersion:
    """Raises PlanNotFound."""
    found = await store.find_version(tx, plan_id, version)
    if found is None:
        raise PlanNotFound("The tracking plan has no such version.")
    return found


async def _lock(tx: "Tx", store: PlanStore, plan_id: str) -> PlanEntry:
    entry = await store.lock(tx, plan_id)
    if entry is None:
        raise PlanNotFound("There is no tracking plan of that id.")
    return entry


@dataclass(slots=True)
class Finding:
    """A place of the plan, how many touchpoints broke it, and some of them."""

    event: str
    place: str
    count: int = 0
    samples: list[tuple[UUID, Message]] = field(default_factory=list)


@dataclass(slots=True)
class DryRun:
    """`judged` is how many touchpoints there were; each counts once, under the strongest of what would become of it."""

    judged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)


def dry_run(plan: Plan, records: Iterable[Incoming]) -> DryRun:
    """What the plan would have made of these touchpoints, had it been in force."""
    run = DryRun()
    for record in records:
        try:
            event = decode(record)
        except EventMalformed:
            continue
        if isinstance(event, TouchpointRecorded):
            run.judged += 1
            run.outcomes[_judge_one(run, plan, event)] += 1
    return run


def _judge_one(run: DryRun, plan: Plan, event: TouchpointRecorded) -> str:
    context = msgspec.json.decode(event.context)
    message = Message(event.kind, event.name, event.properties, event.traits, context)
    judged = plan.judge(message)
    if judged is None:
        return "passed"
    for violation in judged.violations:
        finding = run.findings.setdefault((violation.event, violation.place), Finding(violation.event, violation.place))
        finding.count += 1
        if len(finding.samples) < _SAMPLES:
            finding.samples.append((event.id, message))
    if judged.refusal is not None:
        return "blocked"
    return "flagged" if judged.violations else "omitted"


def sort_findings(findings: Iterable[Finding]) -> Sequence[Finding]:
    return sorted(findings, key=lambda one: (-one.count, one.event, one.place))
