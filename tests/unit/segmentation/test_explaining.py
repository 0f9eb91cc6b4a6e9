"""Why somebody is in a segment or isn't: the facts of every form."""

from typing import Any

import pytest

from services.segmentation.domain.evaluation import compute_bucket
from services.segmentation.domain.explaining import explain
from services.segmentation.domain.timeline import Effort

from .conftest import PROFILE, SECOND, make_facts, make_segment
from .test_rules import touch

CONSENT = {"purpose": "marketing", "channel": "email"}
HISTORY = (touch("A", 1, size=2), touch("B", 3), touch("A", 5, size=4), touch("C", 6))
VIEW = {
    "traits": {"born": "1970-01-01T00:00:30Z"},
    "aggregates": {"orders": {"count": 3}},
    "lead": {"stage": "lead"},
    "loyalty": {"tier": "gold", "balance": 7},
    "scores": {"churn": 0.5},
    "computed": {"rfm_segment": "Champions"},
    "consent": [{**CONSENT, "status": "denied", "at": "2026-01-01T00:00:00Z"}],
}


def at(second: int) -> str:
    return f"1970-01-01T00:00:{second:02d}.000Z"


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ({"did": "A"}, {"count": 2, "first_at": at(1), "last_at": at(5)}),
        ({"did": "A", "within": "PT6S"}, {"count": 1, "first_at": at(5), "last_at": at(5)}),
        ({"did": "A", "since": {"did": "B"}}, {"count": 1, "first_at": at(5), "last_at": at(5), "since": at(3)}),
        ({"did": "A", "since": {"did": "Z"}}, {"count": 0, "first_at": None, "last_at": None, "since": None}),
        ({"did": "A", "sum": {"property": "size", "gt": 1}}, {"count": 2, "first_at": at(1), "last_at": at(5), "sum": 6}),
        (
            {"sequence": [{"did": "B"}, {"did": "A"}], "without": {"did": "C"}},
            {
                "steps": [
                    {"did": "B", "count": 1, "first_at": at(3), "last_at": at(3)},
                    {"did": "A", "count": 2, "first_at": at(1), "last_at": at(5)},
                ],
                "without": {"did": "C", "count": 1, "first_at": at(6), "last_at": at(6)},
            },
        ),
        ({"trait": "born", "within_last": "PT20S"}, {"value": "1970-01-01T00:00:30Z"}),
        ({"view": "aggregates.orders.count", "gt": 1}, {"value": 3}),
        ({"view": "aggregates.orders.net_minor.EUR", "gt": 1}, {"value": 0}),
        ({"segment": "vip"}, {"member": True}),
        ({"list": "fair"}, {"listed": False}),
        ({"consent": CONSENT}, {"status": "denied"}),
        ({"stage": ["mql"]}, {"value": "lead"}),
        ({"tier": ["gold"]}, {"value": "gold"}),
        ({"points": {"gt": 1}}, {"value": 7}),
        ({"computed": "rfm_segment", "eq": "x"}, {"value": "Champions"}),
        ({"score": "churn", "gt": 1}, {"value": 0.5}),
        ({"bucket": {"salt": "x", "from": 0, "to": 1}}, {"bucket": compute_bucket("x", PROFILE)}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_every_form_tells_its_facts(rule: Any, facts: Any) -> None:
    segment = make_segment(rule)
    found = make_facts([segment], HISTORY, view=VIEW, members={"vip": True})
    assert explain(rule, segment.rule, found, 10 * SECOND, Effort(100))["facts"] == facts


def test_each_node_tells_when_its_own_answer_changes() -> None:
    rule = {
        "any": [
            {"did": "A", "within": "PT10S"},
            {"not": {"trait": "born", "within_next": "PT5S"}},
            {"trait": "born", "within_last": "PT20S"},
            {"did": "B"},
        ]
    }
    segment = make_segment(rule)
    told = explain(rule, segment.rule, make_facts([segment], HISTORY, view=VIEW), 10 * SECOND, Effort(1_000))
    assert (told["result"], told["changes_at"]) == (True, None)
    assert [(one["result"], one["changes_at"]) for one in told["any"]] == [
        (True, at(15)),
        (True, at(25)),
        (False, at(30)),
        (True, None),
    ]
    assert (told["any"][1]["not"]["result"], told["any"][1]["not"]["changes_at"]) == (False, at(25))


def test_beyond_its_effort_an_explanation_tells_no_more_changes() -> None:
    rule = {"all": [{"did": "A", "within": "PT10S"}] * 100}
    segment = make_segment(rule)
    facts = make_facts([segment], HISTORY)
    effort = Effort(450)
    told = explain(rule, segment.rule, facts, 10 * SECOND, effort)
    assert told["changes_at"] == at(15)
    seen = [one["changes_at"] for one in told["all"]]
    assert seen == sorted(seen, key=lambda instant: instant is None)
    assert {None, at(15)} == set(seen)
    assert all(one["result"] for one in told["all"])
