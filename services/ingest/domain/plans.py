"""A tracking plan: what a business has agreed to send. Judges touchpoints by the JSON Schemas of their names.

A schema judges the call as the tracking protocol writes it, with the standard name: `{"type", "event", "properties", "traits",
"context"}`. Plans are compiled once a version; see `plan_schemas` for what a schema may be.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import jsonschema_rs
import msgspec
from msgspec import Raw, Struct

from services.ingest.domain.plan_names import Names, drop_unnamed, find_names
from services.ingest.domain.plan_schemas import SchemaInvalid, compile_schema
from services.ingest.domain.reasons import Flag, Reason, Refusal

Mode = Literal["block", "flag", "omit-unknown", "allow"]
UNPLANNED: Final = "#/unplanned"
"""Stands for a violation where the plan doesn't name the event at all."""
_MAX_VIOLATIONS: Final = 20
_BLOCKED: Final = "the tracking plan blocks it: {}"


class PlannedEvent(Struct, frozen=True, rename={"schema_": "schema"}):
    """`violations` is the event's own answer; None: the plan's."""

    schema_: dict[str, Any]
    violations: Mode | None = None


class PlanDocument(Struct, frozen=True):
    """A plan as it is written. `common` holds for every event, `unplanned` answers names that `events` doesn't have.

    `block`: refused, parked, replayable. `flag`: taken and flagged. `omit-unknown`: members of properties and traits that no
    schema names are dropped, and what is still wrong is flagged. `allow`: not judged.
    """

    name: str
    events: dict[str, PlannedEvent]
    common: dict[str, Any] | None = None
    violations: Mode = "flag"
    unplanned: Mode = "allow"


class Violation(NamedTuple):
    """Which word of which schema was broken: a place in the plan, never a value."""

    event: str
    place: str


class Judgement(NamedTuple):
    """`refusal` where it is blocked; else the properties and traits to record, and flags."""

    violations: tuple[Violation, ...]
    properties: Raw
    traits: Raw
    flags: tuple[Flag, ...] = ()
    refusal: Refusal | None = None


class _Rules(NamedTuple):
    mode: Mode
    validators: tuple[tuple[str, jsonschema_rs.Validator], ...]
    names: Names


class Message(NamedTuple):
    """What of a touchpoint a plan judges. `properties` and `traits` as they will be recorded."""

    kind: str
    name: str
    properties: Raw
    traits: Raw
    context: Mapping[str, object]


class Plan:
    """One version of a plan, compiled."""

    def __init__(self, plan_id: str, version: int, document: PlanDocument) -> None:
        """Raises PlanInvalid with everything that is wrong."""
        self.id, self.version = plan_id, version
        self.unplanned = document.unplanned
        wrong: list[SchemaInvalid] = []
        common = _compile("#/common", document.common, wrong) if document.common is not None else None
        shared = (("#/common", common),) if common is not None else ()
        self._rules: dict[str, _Rules] = {}
        for name, event in document.events.items():
            place = f"#/events/{name.replace('~', '~0').replace('/', '~1')}/schema"
            validator = _compile(place, event.schema_, wrong)
            if validator is not None and not wrong:
                names = find_names(event.schema_, document.common)
                mode = event.violations or document.violations
                self._rules[name] = _Rules(mode, (*shared, (place, validator)), names)
        if wrong:
            raise PlanInvalid(wrong)
        self._common = shared

    def judge(self, message: Message) -> Judgement | None:
        """None where there is nothing to say: it is as planned."""
        rules = self._rules.get(message.name)
        if rules is None:
            return self._judge_unplanned(message)
        if rules.mode == "allow":
            return None
        properties, traits = message.properties, message.traits
        flags: tuple[Flag, ...] = ()
        if rules.mode == "omit-unknown":
            properties = drop_unnamed(message.properties, rules.names.get("properties"))
            traits = drop_unnamed(message.traits, rules.names.get("traits"))
            if properties is not message.properties or traits is not message.traits:
                flags = (Flag.PLAN_OMITTED,)
        instance = _build_instance(message._replace(properties=properties, traits=traits))
        if all(validator.is_valid(instance) for _, validator in rules.validators):
            return Judgement((), properties, traits, flags) if flags else None
        found = tuple(_find_violations(message.name, rules, instance))
        if rules.mode == "block":
            return Judgement(found, properties, traits, refusal=_refuse(found[0].place))
        return Judgement(found, properties, traits, (*flags, Flag.PLAN_VIOLATION))

    def _judge_unplanned(self, message: Message) -> Judgement | None:
        if self.unplanned == "allow":
            return None
        found = (Violation(message.name, UNPLANNED),)
        refusal = _refuse("it doesn't name the event") if self.unplanned == "block" else None
        flags = () if refusal else (Flag.PLAN_UNPLANNED,)
        return Judgement(found, message.properties, message.traits, flags, refusal)


class PlanInvalid(ValueError):
    """What no plan can be. `wrong` names places and what is wrong there."""

    def __init__(self, wrong: list[SchemaInvalid]) -> None:
        super().__init__("; ".join(f"{one.pointer}: {one.detail}" for one in wrong))
        self.wrong = wrong


def _compile(pointer: str, schema: dict[str, Any], wrong: list[SchemaInvalid]) -> jsonschema_rs.Validator | None:
    try:
        return compile_schema(pointer, schema)
    except SchemaInvalid as invalid:
        wrong.append(invalid)
        return None


def _build_instance(message: Message) -> dict[str, object]:
    return {
        "type": message.kind,
        "event": message.name,
        "properties": msgspec.json.decode(message.properties),
        "traits": msgspec.json.decode(message.traits),
        "context": message.context,
    }


def _find_violations(name: str, rules: _Rules, instance: dict[str, object]) -> Iterator[Violation]:
    """Each place once. Only the schema's side is told: the instance's may hold a name that is somebody's."""
    seen: set[str] = set()
    for where, validator in rules.validators:
        for error in validator.iter_errors(instance):
            place = "/".join((where, *(str(step).replace("~", "~0").replace("/", "~1") for step in error.schema_path)))
            if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
                place = f"{place}/{error.kind.property}"
            if place not in seen:
                seen.add(place)
                yield Violation(name, place)
            if len(seen) == _MAX_VIOLATIONS:
                return


def _refuse(what: str) -> Refusal:
    return Refusal(Reason.PLAN_VIOLATION, _BLOCKED.format(what))
