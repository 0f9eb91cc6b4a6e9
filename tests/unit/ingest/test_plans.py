"""Tracking plans: which schemas they may hold, and what becomes of a touchpoint that isn't as planned."""

import itertools
import time
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from services.ingest.domain.plan_names import drop_unnamed, find_names
from services.ingest.domain.plans import Message, Plan, PlanDocument, PlanInvalid
from services.ingest.domain.reasons import Flag, Reason

DRAFT_07 = "http://json-schema.org/draft-07/schema#"
ORDER: dict[str, Any] = {
    "properties": {
        "properties": {
            "type": "object",
            "required": ["order_id"],
            "properties": {"order_id": {"type": "string"}, "products": {"items": {"properties": {"sku": {"type": "string"}}}}},
        }
    }
}


def make_plan(schema: dict[str, Any] | None = None, **document: Any) -> Plan:
    given = {"name": "Shop", "events": {"Order Completed": {"schema": ORDER if schema is None else schema}}, **document}
    return Plan("shop", 1, msgspec.convert(given, PlanDocument))


def make_message(properties: Any = None, *, name: str = "Order Completed", **more: Any) -> Message:
    said = {"kind": "track", "traits": {}, "context": {}, **more}
    return Message(said["kind"], name, encode(properties or {}), encode(said["traits"]), said["context"])


def encode(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


GOOD, BAD = make_message({"order_id": "o1"}), make_message({"order_id": 1})


class TestJudging:
    def test_what_is_as_planned_passes_without_a_word(self) -> None:
        for mode in ("block", "flag", "omit-unknown", "allow"):
            assert make_plan(violations=mode).judge(GOOD) is None

    def test_block_refuses_and_names_the_place_but_no_value(self) -> None:
        judged = make_plan(violations="block").judge(make_message({"order_id": 4711}))
        assert judged is not None
        assert judged.refusal is not None
        assert judged.refusal.reason is Reason.PLAN_VIOLATION
        place = "#/events/Order Completed/schema/properties/properties/properties/order_id/type"
        assert judged.refusal.detail == f"the tracking plan blocks it: {place}"
        assert [violation.place for violation in judged.violations] == [place]

    def test_a_missing_member_is_named(self) -> None:
        judged = make_plan().judge(make_message({}))
        assert judged is not None
        assert judged.violations[0].place.endswith("/properties/properties/required/order_id")

    def test_flag_takes_it_as_it_is(self) -> None:
        judged = make_plan(violations="flag").judge(BAD)
        assert judged is not None
        assert (judged.refusal, judged.flags) == (None, (Flag.PLAN_VIOLATION,))
        assert judged.properties is BAD.properties

    def test_omit_unknown_drops_what_no_schema_names_and_flags_what_is_still_wrong(self) -> None:
        plan = make_plan(violations="omit-unknown")
        sent = make_message({"order_id": "o1", "secret": 1, "products": [{"sku": "s", "cost": 2}]}, traits={"email": "a@b.c"})
        judged = plan.judge(sent)
        assert judged is not None
        assert (judged.refusal, judged.flags, judged.violations) == (None, (Flag.PLAN_OMITTED,), ())
        assert bytes(judged.properties) == b'{"order_id":"o1","products":[{"sku":"s"}]}'
        assert judged.traits is sent.traits, "the plan says nothing about traits"
        still = plan.judge(make_message({"order_id": 1, "secret": 1}))
        assert still is not None
        assert still.flags == (Flag.PLAN_OMITTED, Flag.PLAN_VIOLATION)

    def test_omission_mends_what_only_unknown_members_broke(self) -> None:
        schema = {"properties": {"properties": {"properties": {"a": {}}, "additionalProperties": False}}}
        judged = make_plan(schema, violations="omit-unknown").judge(make_message({"a": 1, "b": 2}))
        assert judged is not None
        assert (judged.flags, bytes(judged.properties)) == ((Flag.PLAN_OMITTED,), b'{"a":1}')

    def test_allow_does_not_judge(self) -> None:
        assert make_plan(violations="allow").judge(BAD) is None

    def test_an_events_own_answer_goes_before_the_plans(self) -> None:
        events = {"Order Completed": {"schema": ORDER, "violations": "block"}}
        judged = make_plan(events=events, violations="allow").judge(BAD)
        assert judged is not None
        assert judged.refusal is not None

    @pytest.mark.parametrize(
        ("mode", "refused", "flags"),
        [("block", True, ()), ("flag", False, (Flag.PLAN_UNPLANNED,)), ("omit-unknown", False, (Flag.PLAN_UNPLANNED,))],
    )
    def test_an_event_the_plan_does_not_name(self, mode: str, refused: bool, flags: tuple[Flag, ...]) -> None:
        judged = make_plan(unplanned=mode).judge(make_message({}, name="Surprise"))
        assert judged is not None
        assert (judged.refusal is not None, judged.flags) == (refused, flags)
        assert make_plan().judge(make_message({}, name="Surprise")) is None

    def test_common_rules_hold_for_every_planned_event(self) -> None:
        plan = make_plan(common={"required": ["context"], "properties": {"context": {"required": ["page"]}}}, violations="block")
        judged = plan.judge(GOOD)
        assert judged is not None
        assert judged.violations[0].place == "#/common/properties/context/required/page"
        assert plan.judge(make_message({"order_id": "o"}, context={"page": {}})) is None

    def test_both_drafts_are_spoken(self) -> None:
        for draft, keyword in (("https://json-schema.org/draft/2020-12/schema", "$defs"), (DRAFT_07, "definitions")):
            schema = {
                "$schema": draft,
                keyword: {"p": {"required": ["a"]}},
                "properties": {"properties": {"$ref": f"#/{keyword}/p"}},
            }
            assert make_plan(schema).judge(make_message({"a": 1})) is None
            assert make_plan(schema).judge(make_message({})) is not None

    def test_prefix_items_are_of_the_newer_draft_only(self) -> None:
        schema = {"properties": {"properties": {"properties": {"a": {"prefixItems": [{"type": "string"}]}}}}}
        assert make_plan(schema).judge(make_message({"a": [1]})) is not None
        assert make_plan({"$schema": DRAFT_07, **schema}).judge(make_message({"a": [1]})) is None


def refuse(schema: dict[str, Any]) -> str:
    with pytest.raises(PlanInvalid) as caught:
        make_plan(schema)
    return caught.value.wrong[0].pointer


class TestBounds:
    @pytest.mark.parametrize(
        "reference", ["http://x.example/s", "file:///etc/passwd", "other.json", "urn:x", "#anchor", "#/nowhere", 7]
    )
    def test_a_reference_stays_within_the_schema(self, reference: object) -> None:
        assert refuse({"properties": {"properties": {"$ref": reference}}}).endswith("$ref")

    @pytest.mark.parametrize("word", ["$id", "$anchor", "$dynamicAnchor"])
    def test_nothing_may_lead_references_elsewhere(self, word: str) -> None:
        refuse({"properties": {"a": {word: "http://x.example/"}}})

    def test_members_may_be_called_as_keywords_are(self) -> None:
        make_plan({"properties": {"properties": {"properties": {"$ref": {}, "id": {}, "$id": {}, "pattern": {}}}}})

    def test_a_recursive_schema_is_refused(self) -> None:
        refuse({"properties": {"traits": {"$ref": "#"}}})
        refuse({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"})

    def test_an_escaped_reference_cannot_lead_past_the_bounds(self) -> None:
        names = "abcdefghijklmnop"
        definitions: dict[str, Any] = {f"%{ord(name):02x}": {} for name in names}  # what is found without unescaping
        for name, below in itertools.pairwise(names):
            definitions[name] = {"allOf": [{"$ref": f"#/$defs/%{ord(below):02x}"}] * 8}
        assert refuse({"$defs": definitions | {"p": {}}, "$ref": "#/$defs/%61"}).endswith("$ref")

    def test_a_reference_may_count_into_a_list(self) -> None:
        make_plan({"allOf": [{"type": "object"}], "properties": {"traits": {"$ref": "#/allOf/0"}}})
        assert refuse({"allOf": [{"type": "object"}], "properties": {"traits": {"$ref": "#/allOf/1"}}}).endswith("$ref")

    @pytest.mark.parametrize(
        "schema",
        [
            {"$schema": "http://json-schema.org/draft-07/schema###"},
            {"properties": {"traits": {"$schema": "http://elsewhere.example/x"}}},
            {"$vocabulary": {"http://elsewhere.example/x": True}},
        ],
    )
    def test_one_known_draft_is_spoken_throughout(self, schema: dict[str, Any]) -> None:
        refuse(schema)

    def test_references_that_multiply_are_refused_at_once(self) -> None:
        definitions: dict[str, Any] = {"d0": {}}
        for level in range(1, 30):
            definitions[f"d{level}"] = {"anyOf": [{"$ref": f"#/$defs/d{level - 1}"}, {"$ref": f"#/$defs/d{level - 1}"}]}
        began = time.perf_counter()
        refuse({"$defs": definitions, "$ref": "#/$defs/d29"})
        assert time.perf_counter() - began < 1

    @pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "(a{1000}){1000}", "["])
    def test_patterns_that_could_be_slow_or_are_none_are_refused(self, pattern: str) -> None:
        refuse({"properties": {"properties": {"properties": {"a": {"pattern": pattern}}}}})

    def test_a_pattern_that_is_slow_elsewhere_is_quick_here(self) -> None:
        plan = make_plan({"properties": {"properties": {"properties": {"a": {"pattern": "^(a+)+$"}}}}})
        began = time.perf_counter()
        assert plan.judge(make_message({"a": "a" * 30_000 + "!"})) is not None
        assert time.perf_counter() - began < 1

    @pytest.mark.parametrize(
        "schema", [{"type": "banana"}, {"properties": 7}, {"$schema": "http://json-schema.org/draft-04/schema#"}]
    )
    def test_what_is_no_schema_is_refused(self, schema: dict[str, Any]) -> None:
        refuse(schema)

    def test_everything_wrong_is_told_at_once(self) -> None:
        events = {name: {"schema": {"type": name}} for name in ("a", "b")}
        with pytest.raises(PlanInvalid) as caught:
            make_plan(events=events, common={"$ref": "x"})
        assert [wrong.pointer for wrong in caught.value.wrong] == [
            "#/common/$ref",
            "#/events/a/schema/type",
            "#/events/b/schema/type",
        ]


class TestNames:
    @pytest.mark.parametrize(
        ("schema", "kept"),
        [
            ({}, {"a": {"x": 1}, "b": 2}),
            ({"properties": {"a": {}}}, {"a": {"x": 1}}),
            ({"properties": {"a": {"properties": {"y": {}}}}}, {"a": {}}),
            ({"required": ["b"]}, {"b": 2}),
            ({"properties": {"a": {}}, "additionalProperties": {"type": "number"}}, {"a": {"x": 1}, "b": 2}),
            ({"properties": {"a": {}}, "patternProperties": {"^b": {}}}, {"a": {"x": 1}, "b": 2}),
            ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": {"x": 1}, "b": 2}),
            ({"if": {"properties": {"a": {}}}, "then": {"properties": {"c": {}}}}, {"a": {"x": 1}}),
        ],
    )
    def test_what_any_part_of_a_schema_names_is_kept(self, schema: dict[str, Any], kept: dict[str, Any]) -> None:
        names = find_names({"properties": {"p": schema}}).get("p")
        assert msgspec.json.decode(drop_unnamed(encode({"a": {"x": 1}, "b": 2}), names)) == kept

    def test_where_nothing_is_left_out_the_bytes_stay(self) -> None:
        raw = Raw(b'{ "a" : 1.10 }')
        assert drop_unnamed(raw, {"a": None}) is raw
