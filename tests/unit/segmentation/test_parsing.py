"""Rules as they are written: what is refused, where the mistake is pointed at, and what would be right."""

from typing import Any

import pytest

from services.segmentation.domain.findings import Findings
from services.segmentation.domain.nodes import All, Between, Comparison, Did, Touch, Trait
from services.segmentation.domain.parsing import parse_rule
from services.segmentation.domain.segments import Changed, Registry, find_cycle, find_inputs, sort_by_dependency
from services.segmentation.domain.values import make_exact
from services.segmentation.domain.vocabulary import list_paths, warn_of_unknown

from .conftest import make_rule, make_segment


def find_errors(body: Any) -> dict[str, str]:
    rule, findings = parse_rule(make_exact(body))
    assert (rule is None) == bool(findings.errors())
    return {finding.pointer: finding.detail for finding in findings.errors()}


def test_a_rule_becomes_nodes() -> None:
    body = {"all": [{"did": "A", "times": {"gte": 2}, "between": ["2026-01-01", "2026-02-01"]}, {"trait": "plan", "eq": "gold"}]}
    from_us, to_us = 1_767_225_600_000_000, 1_769_904_000_000_000
    assert make_rule(body) == All(
        (Did(Touch("A"), Comparison("gte", 2), None, Between(from_us, to_us)), Trait("plan", Comparison("eq", "gold")))
    )


MISTAKES: list[tuple[Any, str, str]] = [
    ([], "", "a rule is an object"),
    ({}, "", "one of all, any, not"),
    ({"dit": "A"}, "", 'did you mean "did"?'),
    ({"did": "A", "trait": "x", "eq": 1}, "", "not did and trait"),
    ({"all": []}, "/all", "at least one rule"),
    ({"all": [{"did": "A"}, {"any": [{"x": 1}]}]}, "/all/1/any/0", "one of"),
    ({"not": {"did": "A"}, "also": 1}, "/also", "doesn't belong here"),
    ({"trait": "x"}, "", "exactly one operator is expected, not 0"),
    ({"trait": "x", "gte": 1, "lt": 5}, "", "put several conditions into `all`"),
    ({"trait": "x", "equals": 1}, "/equals", "unknown operator"),
    ({"trait": "", "eq": 1}, "/trait", "a name is expected"),
    ({"trait": "x", "eq": None}, "/eq", '{"exists": false}'),
    ({"trait": "x", "in": "a"}, "/in", "a list"),
    ({"trait": "x", "in": []}, "/in", "at least one value"),
    ({"trait": "x", "in": list(range(1001))}, "/in", "at most 1000 values"),
    ({"trait": "x", "gt": True}, "/gt", "nothing else has an order"),
    ({"trait": "x", "starts_with": 1}, "/starts_with", "a text is expected"),
    ({"trait": "x", "exists": "yes"}, "/exists", "true or false"),
    ({"trait": "x", "before": "tomorrow"}, "/before", "like 2026-01-31"),
    ({"trait": "a/b~c", "zz/~": 1}, "/zz~1~0", "unknown operator"),
    ({"view": "version", "eq": 1}, "/view", "`view` reaches aggregates, attribution, lead, consent"),
    ({"view": "segments.0", "eq": 1}, "/view", "it has a form of its own: segment"),
    ({"view": "loyalty.balance", "gt": 1}, "/view", "points or tier"),
    ({"did": 5}, "", "a touchpoint is named like"),
    ({"did": "A", "times": 3}, "/times", '{"gte": 3}'),
    ({"did": "A", "times": {"gte": 1.5}}, "/times/gte", "whole number"),
    ({"did": "A", "times": {"contains": "1"}}, "/times/contains", "a number is compared with"),
    ({"did": "A", "sum": {"property": "x", "gt": 1}, "max": {"property": "x", "gt": 1}}, "", "put several into `all`"),
    ({"did": "A", "sum": {"gt": 1}}, "/sum", '{"property": "quantity"'),
    ({"did": "A", "sum": {"property": "revenue", "gt": 1}}, "/sum", '"currency": "EUR"'),
    ({"did": "A", "sum": {"property": "revenue", "currency": "euro", "gt": 1}}, "/sum/currency", "ISO 4217"),
    ({"did": "A", "sum": {"property": "quantity", "currency": "EUR", "gt": 1}}, "/sum/currency", "is no money"),
    ({"did": "A", "sum": {"property": "products.*.quantity", "gt": 1}}, "/sum/property", "`*` names many"),
    ({"did": "A", "sum": {"property": "x", "gt": "1"}}, "/sum/gt", "a number is expected"),
    ({"did": "A", "channel": "shop"}, "/channel", "one of web, mobile"),
    ({"did": "A", "within": "P1M"}, "/within", "like P30D"),
    ({"did": "A", "within": "P1Y"}, "/within", "like P30D"),
    ({"did": "A", "within": "PT0S"}, "/within", "like P30D"),
    ({"did": "A", "within": "P1D", "since": {"did": "B"}}, "", "one of within, between, since"),
    ({"did": "A", "between": ["2026-01-01"]}, "/between", "two times"),
    ({"did": "A", "between": ["2026-01-02", "2026-01-01"]}, "/between", "before"),
    ({"did": "A", "between": ["x", "2026-01-01"]}, "/between/0", "a date or time"),
    ({"did": "A", "since": {"did": "B", "times": {"gte": 1}}}, "/since/times", "doesn't belong here"),
    ({"did": "A", "when": "P1D"}, "/when", "doesn't belong here"),
    ({"did": "A", "where": {"propery": "x", "eq": 1}}, "/where", 'did you mean "property"?'),
    ({"did": "A", "where": {"property": "a..b", "eq": 1}}, "/where/property", "products.*.category"),
    ({"did": "A", "where": {"property": "a.*.b.*", "eq": 1}}, "/where/property", "`*` stands once"),
    ({"did": "A", "where": {"all": [{"property": "a.*", "eq": 1}, {"property": "b.*", "eq": 1}]}}, "/where", "one list"),
    ({"sequence": [{"did": "A"}]}, "/sequence", "two to"),
    ({"sequence": [{"did": "A", "within": "P1D"}, {"did": "B"}]}, "/sequence/0/within", "the first step has none"),
    ({"sequence": [{"did": "A"}, {"did": "B", "times": {"gte": 2}}]}, "/sequence/1/times", "doesn't belong here"),
    ({"sequence": [{"did": "A"}, {"did": "B"}], "without": {"did": "C", "within": "P1D"}}, "/without/within", "belong"),
    ({"consent": "marketing"}, "/consent", '{"purpose"'),
    ({"stage": "lead"}, "/stage", "a list of names"),
    ({"points": 5}, "/points", '{"gte": 3}'),
    ({"bucket": {"salt": "x", "from": 10, "to": 10}}, "/bucket", "from < to"),
    ({"bucket": {"salt": "x", "from": 0, "to": 101}}, "/bucket", "from < to"),
    ({"list": ["x"]}, "/list", "a name is expected"),
    ({"list": "x", "eq": 1}, "/eq", "doesn't belong here"),
    ({"computed": "", "eq": 1}, "/computed", "a name is expected"),
    ({"computed": "x"}, "", "exactly one operator"),
    ({"trait": "birthday", "anniversary_within": 7}, "/anniversary_within", "like P30D"),
    ({"view": "aggregates.orders.last_at", "within_last": "P1M"}, "/within_last", "like P30D"),
    ({"points": {"within_next": "P1D"}}, "/points/within_next", "a number is compared with"),
    ({"did": "A", "times": {"within_last": "P1D"}}, "/times/within_last", "a number is compared with"),
]


@pytest.mark.parametrize(("body", "pointer", "says"), MISTAKES)
def test_a_mistake_is_pointed_at_with_what_would_be_right(body: Any, pointer: str, says: str) -> None:
    errors = find_errors(body)
    assert pointer in errors
    assert says in errors[pointer]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(find_errors({"any": [{"trait": "x"}, {"did": 1}, {"not": {"view": "id", "eq": 1}}]})) == 3


def test_a_rule_has_bounds() -> None:
    deep: Any = {"did": "A"}
    for _ in range(30):
        deep = {"not": deep}
    assert any("nested at most" in detail for detail in find_errors(deep).values())
    assert find_errors({"any": [{"did": "A"}] * 501})


def test_numbers_that_are_none_are_refused() -> None:
    assert "/gt" in find_errors({"trait": "x", "gt": float("inf")})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_that_no_touchpoint_can_carry_are_refused(text: str) -> None:
    assert find_errors({"did": text}).keys() == {"/did"}
    assert find_errors({"did": "A", "where": {"property": "x", "in": ["y", text]}}).keys() == {"/where/in/1"}
    assert find_errors({text: 1}).keys() == {""}


def test_what_would_overflow_is_bounded_or_refused() -> None:
    assert make_segment({"did": "A", "times": {"gte": 10**17}}).needs[0].limit == 10**9 + 1
    assert "18 digits" in find_errors({"trait": "x", "eq": -(10**18)})["/eq"]
    assert "at most a hundred years" in find_errors({"did": "A", "within": "P999999999D"})["/within"]
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert find_errors({"trait": "x", "eq": deep})


def test_what_a_rule_looks_at() -> None:
    rule = make_rule(
        {
            "any": [
                {"trait": "plan", "eq": 1},
                {"view": "aggregates.orders.count", "gt": 1},
                {"view": "attribution.first.source", "eq": "x"},
                {"did": "A", "since": {"did": "B"}},
                {"sequence": [{"did": "C"}, {"did": "D"}], "without": {"did": "E"}},
                {"not": {"segment": "vip"}},
                {"consent": {"purpose": "p", "channel": "email"}},
                {"points": {"gt": 1}},
            ]
        }
    )
    inputs = find_inputs(rule)
    assert inputs.names == set("ABCDE")
    assert inputs.parts == {"traits", "identifiers", "orders", "attribution", "consent", "loyalty"}
    assert inputs.segments == {"vip"}


def test_only_segments_whose_inputs_changed_are_selected_and_those_that_build_on_them() -> None:
    registry = Registry(
        [
            make_segment({"segment": "buyers"}, "a-fans"),
            make_segment({"did": "Order Completed"}, "buyers"),
            make_segment({"trait": "plan", "eq": "gold"}, "gold"),
            make_segment({"segment": "a-fans"}, "b-fans"),
        ]
    )
    ids = lambda changed: [segment.id for segment in registry.select(changed)]  # noqa: E731
    assert ids(Changed(frozenset({"Order Completed"}))) == ["buyers", "a-fans", "b-fans"]
    assert ids(Changed(frozenset(), frozenset({"traits"}))) == ["gold"]
    assert ids(Changed(frozenset({"Page Viewed"}), frozenset({"web"}))) == []
    assert ids(Changed(everything=True)) == ["buyers", "gold", "a-fans", "b-fans"]


def test_a_cycle_is_told_with_its_path() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}, "a") == ["a", "b", "c", "a"]
    assert find_cycle({"a": {"a"}}, "a") == ["a", "a"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}, "a") is None


def test_judgement_follows_dependency_then_id() -> None:
    segments = [make_segment({"segment": "z"}, "a"), make_segment({"did": "X"}, "z"), make_segment({"did": "X"}, "m")]
    assert [segment.id for segment in sort_by_dependency(segments)] == ["m", "z", "a"]


def test_unknown_names_are_warned_of_and_known_ones_are_not() -> None:
    findings = Findings()
    rule = make_rule(
        {
            "all": [
                {"did": "Order Compleded"},
                {"did": "Roasted"},
                {"trait": "frist_name", "eq": "A"},
                {"trait": "address.city", "eq": "Ulm"},
                {"view": "aggregates.order.count", "gt": 1},
                {"view": "aggregates.orders.net_minor.EUR", "gt": 1},
                {"view": "aggregates.messages.email.opened", "gt": 1},
                {"not": {"any": [{"sequence": [{"did": "Roasted"}, {"did": "Roested"}], "without": {"did": "Rosted"}}]}},
            ]
        }
    )
    warn_of_unknown(rule, findings, names=["Roasted"], traits=[], properties={})
    assert [(finding.pointer, finding.detail) for finding in findings.found] == [
        ("/all/0/did", 'no touchpoint "Order Compleded" is known yet; did you mean "Order Completed"?'),
        ("/all/2/trait", 'no trait "frist_name" is known yet; did you mean "first_name"?'),
        ("/all/4/view", 'no figure "aggregates.order.count" is known yet; did you mean "aggregates.orders.count"?'),
        ("/all/7/not/any/0/sequence/1/did", 'no touchpoint "Roested" is known yet; did you mean "Roasted"?'),
        ("/all/7/not/any/0/without/did", 'no touchpoint "Rosted" is known yet; did you mean "Roasted"?'),
    ]
    assert findings.errors() == []


def test_unknown_properties_are_warned_of_where_the_touchpoint_is_known() -> None:
    def named(*paths: str) -> Any:
        return {"all": [{"property": path, "exists": True} for path in paths]}

    findings = Findings()
    rule = make_rule(
        {
            "all": [
                {"did": "Order Completed", "where": named("products.*.categry", "products.*.category", "note", "adress.city")},
                {"did": "Order Completed", "max": {"property": "reveneu", "gt": 1}},
                {"did": "Roasted", "since": {"did": "Roasted", "where": {"not": named("ben")}}},
                {"did": "Ground", "where": named("anything")},
            ]
        }
    )
    seen = {"Order Completed": set(list_paths({"note": 1, "address": {"city": "Ulm"}})), "Roasted": {"bean"}}
    warn_of_unknown(rule, findings, names=["Roasted", "Ground"], traits=[], properties=seen)
    assert [(finding.pointer, finding.detail.partition("; ")[2]) for finding in findings.found] == [
        ("/all/0/where/all/0/property", 'did you mean "products.*.category"?'),
        ("/all/0/where/all/3/property", 'did you mean "address.city"?'),
        ("/all/1/max/property", 'did you mean "revenue"?'),
        ("/all/2/since/where/not/all/0/property", 'did you mean "bean"?'),
    ]


def test_properties_are_named_as_conditions_name_them() -> None:
    sent = {"a": 1, "b": {"c": None}, "d": [{"e": 1}, {"f": 1}], "g": ["x"]}
    assert set(list_paths(sent)) == {"a", "b", "b.c", "d", "d.*", "d.*.e", "d.*.f", "g", "g.*"}
