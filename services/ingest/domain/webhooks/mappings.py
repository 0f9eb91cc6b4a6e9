"""Webhooks that need no code: a mapping says with JMESPath expressions what becomes of a body.

An expression sees `{"event": one event, "body": the whole body, "headers": the headers the mapping names, in lower case}`. Beside
JMESPath's own functions there are `decimal(text)`, `minor(amount, currency)`, `lower(text)`, `upper(text)`, `trim(text)`,
`split(text, separator)`, `lookup(object, name)` and `parse_json(text)`. Numbers are exact decimals throughout.
"""

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from libs.kit.errors import FieldError
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.vocabulary import Channel, Kind
from services.ingest.domain.webhooks.deliveries import (
    Delivery,
    Provider,
    Reading,
    Scheme,
    Touchpoint,
    hash_body,
    hash_parts,
    name_message,
)
from services.ingest.domain.webhooks.expressions import EVALUATION_ERRORS, Expression, compile_expression
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.signatures import Algorithm, Encoding, SharedSecret, SignedBody, SignedForm
from services.ingest.domain.webhooks.values import as_text, compact, format_instant

MAX_RULES: Final = 50
_MAX_VALUES: Final = 10_000
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")


class HmacRule(Struct, frozen=True, forbid_unknown_fields=True, tag_field="scheme", tag="hmac"):
    """An HMAC of the body in a header; of (time, separator, body) where a header with the time is named."""

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    timestamp_header: str | None = None
    separator: str = "."


class FormRule(Struct, frozen=True, forbid_unknown_fields=True, tag_field="scheme", tag="signed_form"):
    """An HMAC of the address and the form's fields, as Twilio has it."""

    header: str
    algorithm: Algorithm = "sha1"


class SecretRule(Struct, frozen=True, forbid_unknown_fields=True, tag_field="scheme", tag="secret"):
    """The secret itself: Basic, Bearer, this header, or `?token=`."""

    header: str = "X-Webhook-Token"


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """A touchpoint of each event for which `when` is true (always, where it is missing).

    Texts are expressions, except `name`, `kind` and `channel`. `id` is what a second delivery of the same repeats; the event's
    hash where it is missing.
    """

    identifiers: dict[str, str]
    name: str | None = None
    when: str | None = None
    kind: Kind = "track"
    id: str | None = None
    occurred_at: str | None = None
    channel: Channel | None = None
    group_id: str | None = None
    properties: dict[str, str] = {}
    traits: dict[str, str] = {}
    context: dict[str, str] = {}


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """`events` finds the events in the body (a list, or one), `topic` what an event is called that no rule takes.

    `headers` are those the expressions look at. `handshake`: the provider asks by GET with a `hub.challenge` before it sends.
    """

    signature: HmacRule | FormRule | SecretRule
    touchpoints: list[Rule]
    description: str = ""
    events: str = "body"
    topic: str | None = None
    headers: list[str] = []
    handshake: bool = False


Expressions = MappingOf[str, Expression]


@dataclass(frozen=True, slots=True)
class _CompiledRule:
    rule: Rule
    fields: Expressions
    groups: MappingOf[str, Expressions]


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping ready to be applied."""

    mapping: Mapping
    events: Expression
    topic: Expression | None
    rules: tuple[_CompiledRule, ...]

    def read(self, delivery: Delivery) -> Reading | Refusal:
        payload = read_payload(delivery.body)
        if isinstance(payload, Refusal):
            return payload
        headers = {name.lower(): delivery.headers.get(name.lower()) for name in self.mapping.headers}
        scope: dict[str, object] = {"body": payload, "headers": headers}
        try:
            found = self.events.find(scope)
            events = found if isinstance(found, list) else [] if found is None else [found]
            return self._read_events(events, scope, delivery)
        except EVALUATION_ERRORS as error:
            return Refusal(Reason.INVALID, f"the mapping can't be applied: {type(error).__name__}")

    def _read_events(self, events: list[object], scope: dict[str, object], delivery: Delivery) -> Reading | Refusal:
        touchpoints: list[Touchpoint] = []
        ignored: list[str] = []
        for event in events:
            seen = {**scope, "event": event}
            matching = [(number, rule) for number, rule in enumerate(self.rules) if _is_meant(rule, seen)]
            if not matching:
                ignored.append(as_text(None if self.topic is None else self.topic.find(seen)) or "no rule")
            for number, rule in matching:
                touchpoint = _apply(rule, seen)
                if not is_plain(touchpoint):
                    return Refusal(Reason.INVALID, "what the mapping makes of an event is too much, or no JSON")
                name = as_text(touchpoint["id"]) or _hash_event(event, scope, delivery)
                # One event may become several touchpoints: the rule tells them apart.
                touchpoint["id"] = name_message(name, *([number] if len(matching) > 1 else []))
                touchpoints.append(touchpoint)
        return Reading(touchpoints, ignored)


def _hash_event(event: object, scope: dict[str, object], delivery: Delivery) -> str:
    return hash_body(delivery.body) if event is scope["body"] else hash_parts(repr(event))


def _is_meant(compiled: _CompiledRule, seen: object) -> bool:
    """As JMESPath has truth: null and empty things are false, a zero isn't."""
    if "when" not in compiled.fields:
        return True
    value = compiled.fields["when"].find(seen)
    return value is not None and value is not False and value != "" and value not in ([], {})


def _apply(compiled: _CompiledRule, seen: object) -> Touchpoint:
    rule = compiled.rule
    said = {name: expression.find(seen) for name, expression in compiled.fields.items() if name != "when"}
    groups = {
        group: compact({name: expression.find(seen) for name, expression in expressions.items()})
        for group, expressions in compiled.groups.items()
    }
    return {
        "id": said.get("id"),
        "kind": rule.kind,
        "name": rule.name,
        "channel": rule.channel,
        "occurred_at": format_instant(said.get("occurred_at")),
        "group_id": as_text(said.get("group_id")),
        **groups,
    }


def is_plain(value: object) -> bool:
    """Whether it is JSON, and has few enough values in all: expressions can multiply what they see."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > _MAX_VALUES:
            return False
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif not isinstance(one, str | int | float | Decimal | None):
            return False
    return True


def compile_mapping(document: object) -> CompiledMapping | list[FieldError]:
    """Ready to be applied, or what is wrong with it and where. `document` is plain values, from JSON or YAML."""
    try:
        mapping = msgspec.convert(document, Mapping)
    except msgspec.ValidationError as error:
        return [FieldError("#/mapping", str(error))]
    errors: list[FieldError] = []
    events = compile_expression("#/mapping/events", mapping.events, errors)
    topic = None if mapping.topic is None else compile_expression("#/mapping/topic", mapping.topic, errors)
    if not 0 < len(mapping.touchpoints) <= MAX_RULES:
        errors.append(FieldError("#/mapping/touchpoints", f"1 to {MAX_RULES} rules are needed"))
    errors.extend(
        FieldError(f"#/mapping/headers/{number}", "the name of a header: letters, digits and hyphens")
        for number, name in enumerate(mapping.headers)
        if _HEADER.fullmatch(name.lower()) is None
    )
    rules = tuple(_compile_rule(number, rule, errors) for number, rule in enumerate(mapping.touchpoints[:MAX_RULES]))
    return errors if errors or events is None else CompiledMapping(mapping, events, topic, rules)


def _compile_rule(number: int, rule: Rule, errors: list[FieldError]) -> _CompiledRule:
    place = f"#/mapping/touchpoints/{number}"
    if rule.kind == "track" and not rule.name:
        errors.append(FieldError(f"{place}/name", "a touchpoint of the kind track needs a name"))
    if not rule.identifiers:
        errors.append(FieldError(f"{place}/identifiers", "at least one identifier is needed"))
    stated = {name: getattr(rule, name) for name in ("when", "id", "occurred_at", "group_id")}
    fields = _compile_all(place, {name: text for name, text in stated.items() if text is not None}, errors)
    groups = {
        group: _compile_all(f"{place}/{group}", getattr(rule, group), errors)
        for group in ("identifiers", "properties", "traits", "context")
    }
    return _CompiledRule(rule, fields, groups)


def _compile_all(place: str, texts: MappingOf[str, str], errors: list[FieldError]) -> Expressions:
    compiled = {name: compile_expression(f"{place}/{name}", text, errors) for name, text in texts.items()}
    return {name: expression for name, expression in compiled.items() if expression is not None}


def build_scheme(rule: HmacRule | FormRule | SecretRule) -> Scheme:
    match rule:
        case HmacRule():
            return SignedBody(
                rule.header,
                algorithm=rule.algorithm,
                encoding=rule.encoding,
                prefix=rule.prefix,
                timestamp_header=rule.timestamp_header,
                separator=rule.separator,
            )
        case FormRule():
            return SignedForm(rule.header, rule.algorithm)
        case SecretRule():
            return SharedSecret(rule.header)


def build_provider(name: str, compiled: CompiledMapping) -> Provider:
    mapping = compiled.mapping
    headers = tuple(header.lower() for header in mapping.headers)
    return Provider(name, build_scheme(mapping.signature), compiled.read, headers, has_handshake=mapping.handshake)
