from typing import Any

import jsonschema_rs
import msgspec
import pytest

from libs.events.documents.vocabulary import build_example, render_vocabulary
from libs.vocabulary import CATALOGUE, TYPES, StandardName, find_same
from libs.vocabulary.catalogue import read_catalogue

ENTRIES = sorted(CATALOGUE.names.values(), key=lambda entry: entry.name)
LINE: dict[str, Any] = {"type": "object", "required": ["product_id"]}
SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "id": {"type": ["string", "integer"], "minLength": 1},
    "number": {"type": ["number", "string"], "pattern": r"^-?\d+(\.\d+)?$"},
    "integer": {"type": "integer"},
    "money": {"type": "number", "minimum": 0},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d"},
    "url": {"type": "string", "pattern": r"^[a-z]+://\S+$"},
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "object": {"type": "object"},
    "list": {"type": "array", "items": {"type": "object"}},
}


def schema_of(properties: Any) -> dict[str, Any]:
    return {name: SCHEMAS[one.type] if one.type != "products" else products() for name, one in properties.items()}


def products() -> dict[str, Any]:
    line = LINE | {"properties": schema_of(CATALOGUE.products), "additionalProperties": False}
    return {"type": "array", "items": line, "minItems": 1}


def test_every_type_is_explained_and_used() -> None:
    used = {one.type for entry in ENTRIES for one in entry.properties.values()}
    assert used == TYPES.keys() == SCHEMAS.keys() | {"products"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_example_says_what_the_entry_lists_in_the_types_it_lists(entry: StandardName) -> None:
    if entry.kind in ("identify", "group"):
        schema: dict[str, Any] = {"type": "object", "minProperties": 1}
    else:
        schema = {"type": "object", "properties": schema_of(entry.properties), "additionalProperties": False}
    validator = jsonschema_rs.validator_for(schema)
    assert [str(error) for error in validator.iter_errors(dict(entry.example))] == []
    assert bool(entry.example) is bool(entry.properties), "an example of something that says nothing, or none of something"
    assert entry.counts_by is None or entry.counts_by in entry.example


def test_a_wrong_example_would_be_found() -> None:
    schema = {"type": "object", "properties": schema_of(CATALOGUE.names["Order Completed"].properties)}
    validator = jsonschema_rs.validator_for(schema)
    for wrong in ({"revenue": "5"}, {"currency": "eur"}, {"products": [{"sku": "s"}]}, {"products": []}, {"order_id": ""}):
        assert not validator.is_valid(wrong)


def test_old_names_are_nobodys_standard_name_and_lead_to_one() -> None:
    assert CATALOGUE.aliases.keys().isdisjoint(CATALOGUE.names)
    assert set(CATALOGUE.aliases.values()) <= CATALOGUE.names.keys()
    assert len(CATALOGUE.aliases) == sum(len(entry.aliases) for entry in ENTRIES)


def test_no_two_names_differ_in_case_and_separators_alone() -> None:
    spelled = [*CATALOGUE.names, *CATALOGUE.aliases]
    assert len({"".join(filter(str.isalnum, name.lower())) for name in spelled}) == len(spelled)


def test_other_spellings_of_a_property_are_no_standard_property_of_the_same_touchpoint() -> None:
    for entry in ENTRIES:
        spellings = {alias for one in entry.properties.values() for alias in one.aliases}
        assert spellings.isdisjoint(entry.properties), entry.name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("order_completed", "Order Completed"),
        ("order-completed", "Order Completed"),
        ("ORDER COMPLETED", "Order Completed"),
        ("orderCompleted", "Order Completed"),
        ("completed_order", "Order Completed"),
        ("E-Mail Sent", "Email Sent"),
        ("Order Completed", None),
        ("Completed Order", None),
        ("Order Complete", None),
        ("Espresso Tasted", None),
        ("", None),
        ("🙂", None),
    ],
)
def test_a_name_is_like_a_standard_one_where_only_case_and_separators_differ(name: str, meant: str | None) -> None:
    assert find_same(name) == meant


def test_the_page_shows_every_name_its_properties_and_its_example() -> None:
    page = render_vocabulary(CATALOGUE).decode()
    for entry in ENTRIES:
        section = page.partition(f"\n### {entry.name}\n")[2].partition("\n### ")[0]
        assert entry.about in section
        assert all(f"| `{name}` |" in section for name in entry.properties)
        example = section.partition("```json\n")[2].partition("\n```")[0]
        assert msgspec.json.decode(example) == build_example(entry)


FILE = """
[families.f]
title = "F"
source = "Us."
[properties]
a = { type = "id", about = "A." }
[groups]
product = ["a"]
[touchpoints."N"]
family = "f"
about = "It happened."
properties = ["@product"]
counts_by = "a"
example = { a = 1 }
"""


def test_a_catalogue_defines_what_it_names() -> None:
    spoilt = [
        ('family = "f"', 'family = "g"'),
        ('counts_by = "a"', 'counts_by = "b"'),
        ('properties = ["@product"]', 'properties = ["b"]'),
        ('properties = ["@product"]', 'properties = ["@b"]'),
    ]
    with_discount = FILE.replace("[groups]", 'discount = { type = "money", about = "D." }\n[groups]')
    assert list(read_catalogue(with_discount).names["N"].properties) == ["a"]
    for right, wrong in spoilt:
        with pytest.raises(KeyError):
            read_catalogue(with_discount.replace(right, wrong))


def test_a_catalogue_has_no_members_nobody_reads() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_catalogue(FILE.replace('kind = "track"', "").replace("about =", "abuot ="))
