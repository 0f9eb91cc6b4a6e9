"""The grammar of rules as JSON Schema (2020-12), for editors and whoever writes rules by program.

What only the parser can say (that a `*` stands once, that `from` lies before `to`) isn't in it: it takes every rule that the
parser takes, and refuses most others. `VERSION` grows when a rule that was valid is refused, or means something else.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final, TypeAlias

from services.segmentation.domain.money import MONEY_PROPERTIES
from services.segmentation.domain.parsing.behaviour import CHANNELS, FIGURES, MAX_STEPS, SPANS
from services.segmentation.domain.parsing.rules import VIEW_ROOTS
from services.segmentation.domain.parsing.tests import MOST_VALUES, NUMBER_OPS
from services.segmentation.domain.values import OPS, ORDER_OPS, RELATIVE_OPS

Schema: TypeAlias = dict[str, Any]

VERSION: Final = 1
_DURATION: Final = r"^P(?=[0-9T])([0-9]+W)?([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{1,6})?S)?)?$"
_VALUE: Final[Schema] = {"type": ["string", "number", "boolean", "array", "object"]}
_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_OP_ABOUT: Final[Mapping[str, str]] = {
    "eq": 'Equal. Nothing is converted: 1 equals 1.0, never "1".',
    "ne": "Not equal; true for a missing value.",
    "in": "Equal to one of these.",
    "not_in": "Equal to none of these; true for a missing value.",
    "gt": "Greater. Numbers compare with numbers, texts with texts by code point.",
    "gte": "Greater or equal.",
    "lt": "Less.",
    "lte": "Less or equal.",
    "contains": "A list has this member, or a text has this text in it, letter case minded.",
    "starts_with": "A text begins with it, letter case minded.",
    "ends_with": "A text ends with it, letter case minded.",
    "exists": "Whether there is a value at all; null is none.",
    "before": "A date or time before this one; a date alone is its midnight in UTC.",
    "after": "A date or time after this one.",
    "within_last": "A date no longer ago than this, and not ahead.",
    "within_next": "A date ahead by at most this.",
    "anniversary_within": "A date whose yearly return is at most this ahead, or today (UTC; 29 February returns on the 28th).",
}


def build_rule_schema() -> Schema:
    """The whole document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:rapport:rule:v{VERSION}",
        "title": "Rule",
        "description": "Whether a customer is in a segment. What each form means at its edges: docs/semantics.md, section 6.",
        "$ref": "#/$defs/rule",
        "$defs": {
            "rule": _alternatives("One condition, or several joined by all, any, not.", _FORMS),
            **_FORMS,
            "touch": _touch("Touchpoints of one name.", {}),
            "where": _describe_where(),
            "times": _test("How often.", NUMBER_OPS, _COUNT),
            "number": _test("A number compared.", NUMBER_OPS, _NUMBER),
            **{of: _figure(of) for of in FIGURES},
            "duration": {
                "description": "Weeks, days, hours, minutes and seconds: P30D, PT2H. Years and months have no length.",
                "type": "string",
                "pattern": _DURATION,
                "examples": ["P30D", "PT2H"],
            },
            "instant": {
                "description": "A date (its midnight in UTC) or a time.",
                "type": "string",
                "examples": ["2026-01-31", "2026-01-31T12:00:00Z"],
            },
        },
    }


def _object(about: str, properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    return {
        "description": about,
        "type": "object",
        "properties": dict(properties),
        "required": list(required) or list(properties),
        "additionalProperties": False,
    }


def _alternatives(about: str, forms: Iterable[str]) -> Schema:
    return {"description": about, "type": "object", "oneOf": [{"$ref": f"#/$defs/{form}"} for form in forms]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _name(about: str) -> Schema:
    return {"description": about, "type": "string", "minLength": 1}


def _operators(ops: Iterable[str], value: Schema) -> dict[str, Schema]:
    many = {"type": "array", "items": value, "minItems": 1, "maxItems": MOST_VALUES}
    special: dict[str, Schema] = {
        "in": many,
        "not_in": many,
        "starts_with": {"type": "string", "minLength": 1},
        "ends_with": {"type": "string", "minLength": 1},
        "exists": {"type": "boolean"},
        "before": _ref("instant"),
        "after": _ref("instant"),
        **{op: _ref("duration") for op in RELATIVE_OPS},
    }
    if value is _VALUE:
        special |= {op: {"type": ["number", "string"]} for op in ORDER_OPS}
    return {op: {"description": _OP_ABOUT[op], **special.get(op, value)} for op in ops}


def _test(about: str, ops: Iterable[str], value: Schema, own: Mapping[str, Schema] | None = None) -> Schema:
    """One operator beside the keys of its own."""
    own = own or {}
    size = len(own) + 1
    return _object(about, {**own, **_operators(ops, value)}, own) | {
        "required": list(own),
        "minProperties": size,
        "maxProperties": size,
    }


def _figure(of: str) -> Schema:
    own = {
        "property": _name("The number that each touchpoint carries."),
        "currency": {
            "description": f"ISO 4217, needed for money: {', '.join(MONEY_PROPERTIES)}.",
            "type": "string",
            "pattern": "^[A-Z]{3}$",
        },
    }
    schema = _object(
        f"The {of} of a number that the touchpoints carry.", {**own, **_operators(NUMBER_OPS, _NUMBER)}, ["property"]
    )
    return schema | {"oneOf": [{"required": [op]} for op in NUMBER_OPS]}


def _touch(about: str, more: Mapping[str, Schema]) -> Schema:
    own = {
        "did": _name("The touchpoint's name, like Order Completed."),
        "where": _ref("where"),
        "channel": {"description": "Only on this channel.", "enum": [*CHANNELS, None]},
    }
    return _object(about, {**own, **more}, ["did"])


def _did() -> Schema:
    spans: dict[str, Schema] = {
        "within": _ref("duration") | {"description": "Only those of the last such time, up to the instant."},
        "between": {
            "description": "Only those from the first time (inclusive) to the second (exclusive).",
            "type": "array",
            "items": _ref("instant"),
            "minItems": 2,
            "maxItems": 2,
        },
        "since": _ref("touch") | {"description": "Only those after the latest such touchpoint; without one, none."},
    }
    schema = _touch(
        "Did something: at least once, so many `times`, or so much of a figure.",
        {"times": _ref("times"), **{of: _ref(of) for of in FIGURES}, **spans},
    )
    apart = [*combinations(FIGURES, 2), *combinations(SPANS, 2)]
    return schema | {"allOf": [{"not": {"required": list(pair)}} for pair in apart], "examples": [{"did": "Order Completed"}]}


def _sequence() -> Schema:
    step = _touch("A step.", {"within": _ref("duration") | {"description": "At most so long after the step before."}})
    steps = {"type": "array", "prefixItems": [_ref("touch")], "items": step, "minItems": 2, "maxItems": MAX_STEPS}
    return _object(
        "Did one thing after another.",
        {
            "sequence": {"description": "The steps, strictly one after the other.", **steps},
            "without": _ref("touch") | {"description": "None of these strictly between the first step and the last."},
        },
        ["sequence"],
    )


def _group(word: str, of: str, about: str) -> Schema:
    return _object(about, {word: {"type": "array", "items": _ref(of), "minItems": 1}})


def _describe_where() -> Schema:
    about = "A property like category, shipping.city, or of one line of a list: products.*.category."
    return {
        "description": "Conditions on a touchpoint's properties. One line of a list is chosen for an `all` and all nested in it.",
        "type": "object",
        "oneOf": [
            _test("One property compared.", OPS, _VALUE, {"property": _name(about)}),
            _group("all", "where", "All of these hold, of the same line."),
            _group("any", "where", "At least one of these holds."),
            _object("This doesn't hold.", {"not": _ref("where")}),
        ],
    }


def _list_of(about: str, word: str, item: str) -> Schema:
    return _object(about, {word: {"type": "array", "items": _name(item), "minItems": 1}})


_FORMS: Final[Mapping[str, Schema]] = {
    "all": _group("all", "rule", "All of these are true."),
    "any": _group("any", "rule", "At least one of these is true."),
    "not": _object("This isn't true.", {"not": _ref("rule")}),
    "trait": _test("A trait compared.", OPS, _VALUE, {"trait": _name("The trait; dots lead into an object: address.city.")})
    | {"examples": [{"trait": "country", "eq": "DE"}, {"trait": "birthday", "anniversary_within": "P7D"}]},
    "view": _test(
        "A figure of the view compared.",
        OPS,
        _VALUE,
        {
            "view": {
                "description": "The path of the figure in the view.",
                "type": "string",
                "pattern": f"^({'|'.join(VIEW_ROOTS)})(\\.|$)",
            }
        },
    )
    | {"examples": [{"view": "aggregates.orders.count", "gte": 3}]},
    "did": _did(),
    "sequence": _sequence(),
    "segment": _object("Is in another segment.", {"segment": _name("Its id.")}),
    "list": _object("Is on a manual list.", {"list": _name("Its id.")}),
    "consent": _object(
        "Has granted consent: the latest word of the channel and of all.",
        {"consent": _object("For what.", {"purpose": _name("Like marketing."), "channel": _name("Like email.")})},
    ),
    "stage": _list_of("Is at one of these stages as a lead.", "stage", "A stage, like lead."),
    "tier": _list_of("Is in one of these loyalty tiers.", "tier", "A tier, like gold."),
    "points": _object("The balance of points compared; 0 without any.", {"points": _ref("number")}),
    "computed": _test("A computed trait compared.", OPS, _VALUE, {"computed": _name("Its name.")}),
    "score": _test("A score compared.", NUMBER_OPS, _NUMBER, {"score": _name("Its name, like churn.")}),
    "bucket": _object(
        "A stable share of all customers, by the hash of salt and profile id.",
        {
            "bucket": _object(
                "From (inclusive) to (exclusive) of 100.",
                {
                    "salt": {"description": "Another salt draws others.", "type": "string"},
                    "from": {"type": "integer", "minimum": 0, "maximum": 99},
                    "to": {"type": "integer", "minimum": 1, "maximum": 100},
                },
            )
        },
    ),
}
