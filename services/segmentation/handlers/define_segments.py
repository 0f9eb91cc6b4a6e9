"""Make, change and delete definitions. Each change is a version and a job that brings the members to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import msgspec

from libs.durable.jobs import Jobs
from libs.kit.db import Tx
from libs.kit.errors import FieldError
from services.segmentation.domain.findings import Finding, Findings, point, suggest
from services.segmentation.domain.history import walk_places
from services.segmentation.domain.nodes import InSegment, OnList, Rule
from services.segmentation.domain.parsing import parse_rule
from services.segmentation.domain.segments import find_cycle, find_inputs
from services.segmentation.domain.values import make_exact
from services.segmentation.domain.vocabulary import warn_of_unknown
from services.segmentation.errors import (
    RuleCyclic,
    RuleInvalid,
    SegmentExists,
    SegmentIdReserved,
    SegmentInUse,
    SegmentNotFound,
    VersionConflict,
)
from services.segmentation.handlers.context import Segmentation, parse_stored
from services.segmentation.handlers.fill_segments import EMPTY, FILL, make_input
from services.segmentation.ports import Definition, TraitNames

_ID_LENGTH: Final = 64
RESERVED_IDS: Final = frozenset(("analysis", "overlap", "preview", "verify"))
"""Words that stand where an id does in the API's addresses."""
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an author asks for."""

    name: str
    description: str
    rule: Any
    id: str | None = None


def read_rule(body: Any) -> Rule:
    """The rule, or RuleInvalid with every mistake pointed at."""
    rule, findings = parse_rule(make_exact(body))
    if rule is None:
        refuse(findings.errors())
    return rule


def refuse(errors: list[Finding]) -> NoReturn:
    """Raise what is wrong. Pointers lead into the request's `rule`."""
    fields = [FieldError(f"#/rule{finding.pointer}", finding.detail) for finding in errors]
    raise RuleInvalid(f"The rule has {len(errors)} mistake{'s' if len(errors) > 1 else ''}.", errors=fields)


async def find_warnings(tx: Tx, rule: Rule, seg: Segmentation, traits: TraitNames) -> tuple[Finding, ...]:
    findings = Findings()
    warn_of_unknown(
        rule,
        findings,
        names=await seg.behaviours.load_names(tx),
        traits=await traits(tx),
        properties=await seg.behaviours.load_properties(tx, find_inputs(rule).names),
    )
    return tuple(findings.found)


async def check_references(tx: Tx, segment_id: str, rule: Rule, definitions: Mapping[str, Definition], seg: Segmentation) -> None:
    """Segments and lists a rule names must exist, and no segment may build on itself. Raises RuleInvalid or RuleCyclic."""
    inputs = find_inputs(rule)
    named = inputs.segments
    lists = [one.id for one in await seg.lists.load_all(tx)] if inputs.lists else []
    findings = Findings()
    for pointer, node in walk_places(rule):
        if isinstance(node, InSegment) and node.segment_id not in definitions and node.segment_id != segment_id:
            detail = f'no segment "{node.segment_id}" exists{suggest(node.segment_id, definitions)}'
            findings.add(point(pointer, "segment"), detail)
        elif isinstance(node, OnList) and node.list_id not in lists:
            findings.add(point(pointer, "list"), f'no list "{node.list_id}" exists{suggest(node.list_id, lists)}')
    if findings.found:
        refuse(findings.found)
    edges = {id_: find_inputs(parse_stored(definition)).segments for id_, definition in definitions.items()}
    path = find_cycle({**edges, segment_id: named}, segment_id)
    if path is not None:
        detail = " -> ".join(path)
        [pointer, *_] = [place for place, node in walk_places(rule) if isinstance(node, InSegment) and node.segment_id == path[1]]
        fields = [FieldError(f"#/rule{point(pointer, 'segment')}", detail)]
        raise RuleCyclic(f"The segment would build on itself: {detail}.", errors=fields)


async def create_segment(tx: Tx, wanted: Wanted, seg: Segmentation, jobs: Jobs) -> Definition:
    """Save the first version and queue its back-fill. Raises RuleInvalid, RuleCyclic, SegmentExists."""
    rule = read_rule(wanted.rule)
    await seg.definitions.begin_change(tx)
    definitions = {definition.id: definition for definition in await seg.definitions.load_all(tx)}
    if wanted.id in RESERVED_IDS:
        raise SegmentIdReserved(f"No segment can be called {wanted.id}: the API's addresses use the word.")
    if wanted.id is not None and wanted.id in definitions:
        raise SegmentExists(f"A segment {wanted.id} exists; change it with PUT.")
    segment_id = wanted.id or make_slug(wanted.name, definitions)
    await check_references(tx, segment_id, rule, definitions, seg)
    # An id that comes back goes on counting: what was told of its members before stays true.
    before = await seg.definitions.find(tx, segment_id, even_deleted=True)
    now = seg.clock.now()
    version = before.version + 1 if before else 1
    definition = Definition(
        id=segment_id,
        version=version,
        rule_version=version,
        name=wanted.name,
        description=wanted.description,
        rule=encode_rule(wanted.rule),
        state="filling",
        job_id=seg.new_id(),
        created_at=now,
        updated_at=now,
    )
    await _save_and_queue(tx, definition, FILL, seg, jobs)
    return definition


async def change_segment(
    tx: Tx, segment_id: str, wanted: Wanted, seg: Segmentation, jobs: Jobs, *, version: int | None
) -> Definition:
    """Save the next version; its members are judged anew only where the rule is another. The same again changes nothing.

    `version`: the one the author has seen. Raises SegmentNotFound, VersionConflict, RuleInvalid, RuleCyclic.
    """
    rule = read_rule(wanted.rule)
    await seg.definitions.begin_change(tx)
    definitions = {definition.id: definition for definition in await seg.definitions.load_all(tx)}
    before = definitions.get(segment_id)
    if before is None:
        raise SegmentNotFound(f"There is no segment {segment_id}.")
    if version is not None and version != before.version:
        raise VersionConflict(f"Version {before.version} is the present one, not {version}.")
    text = encode_rule(wanted.rule)
    if (wanted.name, wanted.description, text) == (before.name, before.description, before.rule):
        return before
    await check_references(tx, segment_id, rule, definitions, seg)
    is_other_rule = text != before.rule or before.state != "live"
    definition = replace(
        before,
        version=before.version + 1,
        rule_version=before.version + 1 if is_other_rule else before.rule_version,
        name=wanted.name,
        description=wanted.description,
        rule=text,
        state="filling" if is_other_rule else "live",
        job_id=seg.new_id() if is_other_rule else before.job_id,
        updated_at=seg.clock.now(),
        filled_to=None,
    )
    await _save_and_queue(tx, definition, FILL if is_other_rule else None, seg, jobs)
    return definition


async def delete_segment(tx: Tx, segment_id: str, seg: Segmentation, jobs: Jobs) -> None:
    """Nobody is judged by it any more; a job tells its members that they exited. Raises SegmentNotFound, SegmentInUse."""
    await seg.definitions.begin_change(tx)
    definitions = {definition.id: definition for definition in await seg.definitions.load_all(tx)}
    before = definitions.get(segment_id)
    if before is None:
        raise SegmentNotFound(f"There is no segment {segment_id}.")
    users = [id_ for id_, one in definitions.items() if segment_id in find_inputs(parse_stored(one)).segments]
    if users:
        raise SegmentInUse(f"These segments name it in their rules: {', '.join(users)}.")
    definition = replace(before, state="deleted", job_id=seg.new_id(), updated_at=seg.clock.now())
    await _save_and_queue(tx, definition, EMPTY, seg, jobs)


def make_slug(name: str, taken: Mapping[str, object]) -> str:
    """An id from a name: `High spenders (DE)` -> `high-spenders-de`, numbered where that is taken."""
    slug = _NOT_SLUG.sub("-", name.lower()).strip("-")[:_ID_LENGTH].strip("-") or "segment"
    candidate, number = slug, 1
    while candidate in taken or candidate in RESERVED_IDS:
        number += 1
        candidate = f"{slug[: _ID_LENGTH - len(str(number)) - 1]}-{number}"
    return candidate


def encode_rule(body: Any) -> str:
    """As it is stored: numbers as they were written."""
    return msgspec.json.encode(body).decode()


async def _save_and_queue(tx: Tx, definition: Definition, kind: str | None, seg: Segmentation, jobs: Jobs) -> None:
    await seg.definitions.save(tx, definition)
    if kind is not None:
        job_input = make_input(definition.id, definition.version)
        await jobs.create(tx, job_id=definition.job_id, kind=kind, input=job_input, now=definition.updated_at)
