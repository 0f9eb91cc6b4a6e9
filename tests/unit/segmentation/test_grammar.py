"""The published grammar takes what the parser takes, and what it refuses the parser refuses, too."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given

from services.segmentation.domain.grammar import build_rule_schema
from services.segmentation.domain.parsing.rules import FORMS

from . import strategies
from .strategies import spell_times
from .test_parsing import MISTAKES, find_errors

SCHEMA = build_rule_schema()
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
READY_MADE = sorted(Path("services/segmentation/ready_made").glob("*.yaml"))
ONLY_THE_PARSER_SAYS = [
    {"trait": "x", "before": "tomorrow"},
    {"did": "A", "sum": {"property": "revenue", "gt": 1}},
    {"did": "A", "sum": {"property": "quantity", "currency": "EUR", "gt": 1}},
    {"did": "A", "sum": {"property": "products.*.quantity", "gt": 1}},
    {"did": "A", "within": "PT0S"},
    {"did": "A", "between": ["2026-01-02", "2026-01-01"]},
    {"did": "A", "between": ["x", "2026-01-01"]},
    {"did": "A", "where": {"property": "a..b", "eq": 1}},
    {"did": "A", "where": {"property": "a.*.b.*", "eq": 1}},
    {"did": "A", "where": {"all": [{"property": "a.*", "eq": 1}, {"property": "b.*", "eq": 1}]}},
    {"bucket": {"salt": "x", "from": 10, "to": 10}},
]


@given(strategies.rules)
def test_every_rule_is_valid_by_the_grammar(body: Any) -> None:
    VALIDATOR.validate(spell_times(body))


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: path.stem)
def test_ready_made_rules_are_valid_by_the_grammar(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text())["rule"])


@pytest.mark.parametrize(
    "body",
    [
        {"list": "l"},
        {"tier": ["gold"]},
        {"stage": ["lead"]},
        {"points": {"in": [1, 2.5]}},
        {"score": "churn", "gte": 0.5},
        {"computed": "rfm_segment", "in": ["Champions"]},
        {"bucket": {"salt": "", "from": 0, "to": 10}},
        {"consent": {"purpose": "marketing", "channel": "email"}},
        {"view": "aggregates.orders.last_at", "within_last": "P1W2DT3H4M5.5S"},
    ],
)
def test_every_form_is_valid_by_both(body: Any) -> None:
    VALIDATOR.validate(body)
    assert find_errors(body) == {}


def test_mistakes_are_mistakes_by_the_grammar_but_for_what_only_the_parser_can_say() -> None:
    assert [body for body, _, _ in MISTAKES if VALIDATOR.is_valid(body)] == ONLY_THE_PARSER_SAYS


def test_every_form_and_operator_is_described() -> None:
    assert set(FORMS) <= SCHEMA["$defs"].keys()
    undescribed = [name for name, schema in SCHEMA["$defs"].items() if not schema.get("description")]
    assert undescribed == []
