"""Every sentence of docs/semantics.md, Rules, as an example."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from libs.kit.times import parse_utc
from services.segmentation.domain.evaluation import evaluate
from services.segmentation.domain.judging import Membership, judge, judge_gone

from .conftest import PROFILE, SECOND, make_facts, make_segment


def touch(name: str, t: int = 0, id_: int = 0, channel: str = "web", **properties: Any) -> dict[str, Any]:
    return {"name": name, "t": t, "id": id_ or t + 1, "channel": channel, "properties": properties}


def ask(rule: Any, *history: dict[str, Any], at: int = 100, view: Any = None, members: Any = None, judged: int = 0) -> bool:
    segment = make_segment(rule)
    return evaluate(segment.rule, make_facts([segment], history, judged=judged, view=view, members=members), at * SECOND)


def ask_trait(op: str, wanted: Any, value: Any) -> bool:
    return ask({"trait": "x", op: wanted}, view={"traits": {"x": value} if value is not None else {}})


@pytest.mark.parametrize("value", [None, 5, "b", True, ["a"]])
def test_ne_and_not_in_negate_eq_and_in_so_missing_and_wrong_types_pass(value: Any) -> None:
    assert ask_trait("ne", "a", value)
    assert ask_trait("not_in", ["a"], value)
    assert not ask_trait("eq", "a", value)


def test_exists_false_is_true_for_a_missing_value_and_null_is_missing() -> None:
    assert ask_trait("exists", False, None)
    assert not ask_trait("exists", True, None)
    assert ask_trait("exists", True, "")
    assert ask({"view": "aggregates.orders.first_at", "exists": False}, view={"aggregates": {"orders": {"first_at": None}}})


@pytest.mark.parametrize(
    ("op", "wanted"), [("gt", 1), ("lte", "z"), ("contains", "a"), ("starts_with", "a"), ("before", "2026-01-01"), ("in", ["a"])]
)
def test_all_else_is_false_for_a_missing_value(op: str, wanted: Any) -> None:
    assert not ask_trait(op, wanted, None)


def test_a_number_never_equals_a_text_nor_true() -> None:
    assert ask_trait("eq", 1, 1.0)
    assert not ask_trait("eq", 1, "1")
    assert not ask_trait("eq", 1, True)
    assert not ask_trait("eq", True, 1)
    assert not ask_trait("gt", 1, "2")
    assert not ask_trait("lt", "2", 1)


def test_decimals_are_what_was_written() -> None:
    assert ask_trait("eq", 0.3, 0.3)
    assert ask({"did": "A", "sum": {"property": "size", "eq": 0.3}}, touch("A", 1, size=0.1), touch("A", 2, size=0.2))


def test_texts_compare_by_code_point_and_case_sensitively() -> None:
    assert ask_trait("lt", "a", "Z")
    assert not ask_trait("contains", "AD", "ada")
    assert ask_trait("starts_with", "ad", "ada")
    assert ask_trait("ends_with", "da", "ada")
    assert not ask_trait("ends_with", "DA", "ada")


def test_contains_on_a_list_is_membership() -> None:
    assert ask_trait("contains", "vip", ["vip", "new"])
    assert not ask_trait("contains", "vi", ["vip"])
    assert not ask_trait("contains", "1", [1])


def test_dates_as_text_compare_only_with_before_and_after() -> None:
    assert ask_trait("before", "2026-02-01", "2026-01-31T23:30:00-00:00")
    assert not ask_trait("before", "2026-02-01", "2026-01-31T23:30:00-02:00")
    assert ask_trait("after", "2026-01-01T00:00:00Z", "2026-01-02")
    assert not ask_trait("after", "2026-01-01", "soon")
    assert not ask_trait("before", "2026-01-01", 5)


def test_a_view_of_a_currency_that_never_moved_is_0() -> None:
    view = {"aggregates": {"orders": {"net_minor": {"EUR": 5}, "average_minor": {"EUR": None}}}}
    assert ask({"view": "aggregates.orders.net_minor.USD", "eq": 0}, view=view)
    assert ask({"view": "aggregates.orders.net_minor.USD", "lt": 1})
    assert not ask({"view": "aggregates.orders.average_minor.EUR", "eq": 0}, view=view)


def test_no_hits_count_0_sum_0_and_the_rest_is_false() -> None:
    assert ask({"did": "A", "times": {"lte": 2}})
    assert ask({"did": "A", "times": {"eq": 0}})
    assert ask({"did": "A", "sum": {"property": "size", "lte": 0}})
    for figure in ("average", "min", "max"):
        assert not ask({"did": "A", figure: {"property": "size", "lte": 0}})
        assert not ask({"did": "A", figure: {"property": "size", "ne": 0}})


def test_did_without_times_means_at_least_once() -> None:
    assert ask({"did": "A"}, touch("A"))
    assert not ask({"did": "A"}, touch("B"))
    assert not ask({"did": "A"})


def test_within_is_the_window_up_to_and_including_the_instant() -> None:
    rule = {"did": "A", "within": "PT10S"}
    assert [ask(rule, touch("A", 5), at=at, judged=4) for at in (4, 5, 14, 15)] == [False, True, True, False]


def test_between_includes_from_and_excludes_to() -> None:
    rule = {"did": "A", "between": ["1970-01-01T00:00:05Z", "1970-01-01T00:00:10Z"]}
    assert [ask(rule, touch("A", t)) for t in (4, 5, 9, 10)] == [False, True, True, False]


def test_since_counts_what_comes_after_the_latest_such_touchpoint() -> None:
    rule = {"did": "A", "times": {"gte": 1}, "since": {"did": "B"}}
    assert not ask(rule, touch("A", 5))
    assert ask(rule, touch("B", 4), touch("A", 5))
    assert not ask(rule, touch("B", 4), touch("A", 5), touch("B", 6))
    assert ask(rule, touch("B", 5, id_=1), touch("A", 5, id_=2))
    assert not ask(rule, touch("B", 5, id_=2), touch("A", 5, id_=1))
    assert ask({"did": "A", "times": {"eq": 0}, "since": {"did": "B"}}, touch("A", 5))


A_THEN_B = {"sequence": [{"did": "A"}, {"did": "B", "within": "PT10S"}]}


def test_sequences_are_strictly_increasing_by_time_and_id() -> None:
    assert ask(A_THEN_B, touch("A", 1), touch("B", 2))
    assert not ask(A_THEN_B, touch("B", 1), touch("A", 2))
    assert ask(A_THEN_B, touch("A", 1, id_=1), touch("B", 1, id_=2))
    assert not ask(A_THEN_B, touch("A", 1, id_=2), touch("B", 1, id_=1))
    twice = {"sequence": [{"did": "A"}, {"did": "A"}]}
    assert not ask(twice, touch("A", 1))
    assert ask(twice, touch("A", 1), touch("A", 2))


def test_within_of_a_step_is_inclusive_and_any_choice_that_fits_will_do() -> None:
    assert ask(A_THEN_B, touch("A", 1), touch("B", 11))
    assert not ask(A_THEN_B, touch("A", 1), touch("B", 12))
    assert ask(A_THEN_B, touch("A", 1), touch("A", 5), touch("B", 12))


def test_without_looks_strictly_between_first_and_last_steps_excepted() -> None:
    rule = {"sequence": [{"did": "A"}, {"did": "B"}, {"did": "A"}], "without": {"did": "C"}}
    assert ask(rule, touch("A", 2), touch("B", 3), touch("A", 4), touch("C", 1), touch("C", 5))
    assert not ask(rule, touch("A", 1), touch("B", 3), touch("A", 4), touch("C", 2))
    assert ask({**rule, "without": {"did": "B"}}, touch("A", 1), touch("B", 3), touch("A", 4))
    assert not ask({**rule, "without": {"did": "B"}}, touch("A", 1), touch("B", 2), touch("B", 3), touch("A", 4))
    assert ask({**rule, "without": {"did": "A"}}, touch("A", 1), touch("A", 2), touch("B", 3), touch("A", 4))


SHOES_UNDER_50 = {"all": [{"property": "products.*.category", "eq": "shoes"}, {"property": "products.*.price", "lt": 50}]}


def ask_products(where: Any, *lines: Any) -> bool:
    return ask({"did": "Order Completed", "where": where}, touch("Order Completed", products=list(lines)))


def test_one_line_is_chosen_for_an_all_and_everything_nested_in_it() -> None:
    shoes, hat = {"category": "shoes", "price": 80}, {"category": "hat", "price": 10}
    assert not ask_products(SHOES_UNDER_50, shoes, hat)
    assert ask_products(SHOES_UNDER_50, hat, {"category": "shoes", "price": 49})
    nested = {"all": [SHOES_UNDER_50["all"][0], {"not": {"any": [{"property": "products.*.price", "gte": 50}]}}]}
    assert not ask_products(nested, shoes, hat)
    assert ask_products(nested, {"category": "shoes", "price": 1})
    assert ask_products({"any": SHOES_UNDER_50["all"]}, {"category": "hat", "price": 10})


def test_no_line_is_false() -> None:
    assert not ask_products({"property": "products.*.category", "ne": "shoes"})
    assert not ask({"did": "A", "where": {"property": "products.*.category", "ne": "shoes"}}, touch("A"))
    assert ask_products({"property": "products.*.category", "ne": "shoes"}, {"category": "hat"})
    assert ask_products({"property": "products.*.category", "ne": "shoes"}, {})
    assert not ask_products({"property": "products.*.category", "ne": "shoes"}, {"category": "shoes"})


def test_conditions_reach_into_objects_and_lists_of_texts() -> None:
    assert ask({"did": "A", "where": {"property": "shipping.city", "eq": "Ulm"}}, touch("A", shipping={"city": "Ulm"}))
    assert ask({"did": "A", "where": {"property": "tags.*", "starts_with": "su"}}, touch("A", tags=["winter", "summer"]))


def test_money_counts_in_its_currency_as_sent() -> None:
    rule = {"did": "A", "sum": {"property": "revenue", "currency": "EUR", "eq": 30.3}}
    history = (touch("A", 1, revenue=10.1), touch("A", 2, revenue="20.2"), touch("A", 3, revenue=5, currency="USD"))
    assert ask(rule, *history)
    assert ask({"did": "A", "average": {"property": "revenue", "currency": "EUR", "eq": 15.15}}, *history)
    assert ask({"did": "A", "max": {"property": "revenue", "currency": "USD", "eq": 5}}, *history)
    assert ask({"did": "A", "sum": {"property": "size", "eq": 0}}, touch("A", size="5"))


def test_absurd_numbers_and_unreadable_properties_say_nothing() -> None:
    rule = {"did": "A", "sum": {"property": "size", "eq": 1}}
    segment = make_segment(rule)
    facts = make_facts([segment], [touch("A", number) for number in range(4)])
    hits = next(iter(facts.history.values()))
    for hit, raw in zip(hits, (b'{"size":1}', b'{"size":1e999999}', b'{"size":1e-999999999}', b"[" * 20_000), strict=True):
        hit.raw_properties = raw
    assert evaluate(segment.rule, facts, 100 * SECOND)
    assert ask({"did": "A", "sum": {"property": "price", "currency": "EUR", "eq": 0}}, touch("A", price="1e999999"))


def test_an_average_is_compared_without_rounding() -> None:
    thirds = (touch("A", 1, size=1), touch("A", 2, size=0), touch("A", 3, size=0))
    assert not ask({"did": "A", "average": {"property": "size", "eq": 0.3333333333333333}}, *thirds)
    assert ask({"did": "A", "average": {"property": "size", "gt": 0.3333333333333333}}, *thirds)


def test_points_are_0_without_any() -> None:
    assert ask({"points": {"eq": 0}})
    assert ask({"points": {"gte": 10}}, view={"loyalty": {"balance": 10}})
    assert not ask({"points": {"gte": 0}}, view={"loyalty": {"balance": -1}})


CONSENT = {"consent": {"purpose": "marketing", "channel": "email"}}


def entry(channel: str, status: str, at: str = "2026-01-01T00:00:00.000Z", purpose: str = "marketing") -> dict[str, str]:
    return {"purpose": purpose, "channel": channel, "status": status, "at": at}


@pytest.mark.parametrize(
    ("entries", "granted"),
    [
        ([], False),
        ([entry("email", "granted")], True),
        ([entry("*", "granted")], True),
        ([entry("sms", "granted")], False),
        ([entry("email", "granted", purpose="analytics")], False),
        ([entry("email", "granted"), entry("*", "denied", "2026-01-02T00:00:00.000Z")], False),
        ([entry("email", "granted", "2026-01-03T00:00:00.000Z"), entry("*", "denied", "2026-01-02T00:00:00.000Z")], True),
        ([entry("email", "granted"), entry("*", "denied")], False),
    ],
)
def test_consent_is_the_latest_word_of_the_channel_and_of_all(entries: list[Any], granted: bool) -> None:
    assert ask(CONSENT, view={"consent": entries}) is granted


def test_lead_stage_tier_and_score() -> None:
    view = {"lead": {"stage": "lead"}, "loyalty": {"tier": "gold"}, "scores": {"churn": 0.7}}
    assert ask({"stage": ["lead", "mql"]}, view=view)
    assert ask({"tier": ["gold"]}, view=view)
    assert ask({"score": "churn", "gte": 0.7}, view=view)
    assert ask({"computed": "rfm_segment", "in": ["Champions"]}, view={"computed": {"rfm_segment": "Champions"}})
    assert not ask({"any": [{"stage": ["lead"]}, {"tier": ["gold"]}, {"score": "churn", "gte": 0}]})


def test_a_bucket_is_the_hash_of_salt_and_profile() -> None:
    number = int.from_bytes(sha256(f"x:{PROFILE}".encode()).digest()[:8], "big") % 100
    assert ask({"bucket": {"salt": "x", "from": number, "to": number + 1}})
    assert not ask({"bucket": {"salt": "x", "from": 0, "to": number}})


def test_another_segment_by_its_level() -> None:
    assert ask({"segment": "vip"}, members={"vip": True})
    assert not ask({"segment": "vip"})


def test_a_touchpoint_with_a_later_t_is_not_there_yet() -> None:
    assert not ask({"did": "A"}, touch("A", 11), at=10)
    assert ask({"did": "A"}, touch("A", 10), at=10)


def second_of(text: str) -> int:
    return int(parse_utc(text).timestamp())


def ask_date(op: str, window: str, value: Any, at: str) -> bool:
    return ask({"trait": "x", op: window}, at=second_of(at), view={"traits": {"x": value}})


def test_within_last_begins_with_the_date_and_within_next_ends_before_it() -> None:
    last = [
        ask_date("within_last", "P1D", "2026-03-01", at) for at in ("2026-02-28T23:59:59Z", "2026-03-01", "2026-03-01T23:59:59Z")
    ]
    assert (last, ask_date("within_last", "P1D", "2026-03-01", "2026-03-02")) == ([False, True, True], False)
    ahead = [
        ask_date("within_next", "P1D", "2026-03-01", at) for at in ("2026-02-27T23:59:59Z", "2026-02-28", "2026-02-28T23:59:59Z")
    ]
    assert (ahead, ask_date("within_next", "P1D", "2026-03-01", "2026-03-01")) == ([False, True, True], False)


def test_an_anniversary_is_near_from_the_window_before_it_to_the_end_of_its_day() -> None:
    days = ("2026-05-09T23:59:59Z", "2026-05-10", "2026-05-17", "2026-05-17T23:59:59Z", "2026-05-18")
    assert [ask_date("anniversary_within", "P7D", "1990-05-17", at) for at in days] == [False, True, True, True, False]
    assert ask_date("anniversary_within", "P7D", "1990-01-03", "2025-12-30")
    assert not ask_date("anniversary_within", "P7D", "2026-05-17", "2026-05-17")
    assert ask_date("anniversary_within", "P7D", "2026-05-17", "2027-05-17")


def test_29_february_is_kept_on_the_28th_in_other_years_and_days_are_of_utc() -> None:
    days = ("2027-02-27T23:59:59Z", "2027-02-28", "2027-03-01", "2028-02-28", "2028-02-29", "2028-03-01")
    assert [ask_date("anniversary_within", "PT1S", "2004-02-29", at) for at in days] == [True, True, False, False, True, False]
    assert ask_date("anniversary_within", "PT1S", "1990-05-17T23:30:00-01:00", "2026-05-18T12:00:00Z")


@pytest.mark.parametrize("op", ["within_last", "within_next", "anniversary_within"])
@pytest.mark.parametrize("value", [None, "soon", 20260301, True, ["2026-03-01"], "05-17"])
def test_what_is_no_date_is_near_nothing(op: str, value: Any) -> None:
    assert not ask_date(op, "P36500D", value, "2026-03-01")


def test_a_touchpoint_counts_while_its_own_date_is_near() -> None:
    rule = {"did": "A", "where": {"property": "products.*.best_before", "within_next": "P2D"}}
    bought = touch("A", 0, products=[{"best_before": "1970-01-01"}, {"best_before": "1970-01-04"}])
    assert [ask(rule, bought, at=day * 86_400) for day in (0, 1, 2, 3)] == [False, True, True, False]


def test_a_trait_with_dots_reaches_into_an_object() -> None:
    assert ask({"trait": "address.city", "eq": "Ulm"}, view={"traits": {"address": {"city": "Ulm"}}})
    assert ask({"trait": "a.b", "eq": 1}, view={"traits": {"a.b": 1, "a": {"b": 2}}})


def told_edges(
    rule: Any, history: Sequence[Any], *, told: Membership | None, from_: int, now: int
) -> list[tuple[bool, int, int]]:
    segment = make_segment(rule)
    levels = {"s": told} if told else {}
    facts = make_facts([segment], history, judged=from_, members={"s": told.is_member} if told else {})
    found = judge([segment], facts, levels, from_us=from_ * SECOND, now_us=now * SECOND)
    return [(edge.entered, edge.seq, edge.at_us // SECOND) for edge in found.edges]


def test_what_is_older_than_the_last_judgement_corrects_only_the_level() -> None:
    assert told_edges({"did": "A"}, [touch("A", 5)], told=None, from_=10, now=20) == [(True, 1, 20)]


def test_what_happened_since_is_told_at_its_instant() -> None:
    told = Membership(is_member=True, seq=1, since_us=0)
    history = [touch("A", 0), touch("A", 15)]
    assert told_edges({"did": "A", "within": "PT10S"}, history, told=told, from_=5, now=30) == [
        (False, 2, 10),
        (True, 3, 15),
        (False, 4, 25),
    ]


def test_a_level_that_was_wrong_and_comes_right_again_tells_nothing() -> None:
    assert told_edges({"did": "A", "within": "PT10S"}, [touch("A", 5)], told=None, from_=10, now=20) == []


def test_nobody_is_in_no_segment() -> None:
    segment = make_segment({"not": {"did": "A"}})
    gone = judge_gone([segment], {"s": Membership(is_member=True, seq=3, since_us=5)}, 20)
    assert [(edge.entered, edge.seq, edge.previous_us) for edge in gone.edges] == [(False, 4, 15)]
    assert judge_gone([segment], {}, 20).edges == ()
