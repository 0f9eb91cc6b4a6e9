"""What becomes of names and addresses on their way into the profile."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.domain.cleansing import CLEANSED, cleanse
from services.profile.domain.provenance import trace_traits
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook
from tests.unit.profile.folded import fold

ME = make_fragment("user_id", "u1")


def clean(name: str, value: Any) -> Any:
    found = cleanse(name, json.dumps(value).encode())
    return None if found is None else json.loads(found)


@pytest.mark.parametrize(
    ("name", "sent", "stands"),
    [
        ("first_name", "  ADA ", "Ada"),
        ("first_name", "anne-marie", "Anne-Marie"),
        ("first_name", "AJ", "AJ"),
        ("first_name", "Jose\u0301", "Jos\u00e9"),
        ("first_name", "JOS\u00c9", "Jos\u00e9"),
        ("first_name", "Ada\u200b", "Ada"),
        ("first_name", "LaToya", "LaToya"),
        ("last_name", "mcdonald", "McDonald"),
        ("last_name", "O'NEIL", "O'Neil"),
        ("last_name", "D\u2019ANGELO", "D\u2019Angelo"),
        ("last_name", "VAN DER BERG", "van der Berg"),
        ("last_name", "Van der Berg", "Van der Berg"),
        ("last_name", "MACHADO", "Machado"),
        ("last_name", "LI", "LI"),
        ("last_name", "li", "Li"),
        ("name", "VAN MORRISON", "Van Morrison"),
        ("name", "ludwig van beethoven", "Ludwig van Beethoven"),
        ("name", "JOHN SMITH III", "John Smith III"),
        ("name", "ada@example.com", "ada@example.com"),
        ("name", "\u5c71\u7530 \u592a\u90ce", "\u5c71\u7530 \u592a\u90ce"),
        ("name", "Null Island Tours", "Null Island Tours"),
        ("city", "  FRANKFURT  am main", "FRANKFURT am main"),
        ("city", "FRANKFURT AM MAIN", "Frankfurt am Main"),
        ("street", "UNTER DEN LINDEN 5A", "Unter den Linden 5A"),
        ("title", "  CEO ", "CEO"),
        ("username", "ada_l", "ada_l"),
        ("first_name", 7, "7"),
        ("age", "42", 42),
        ("age", 42, 42),
    ],
)
def test_a_name_stands_as_it_was_meant(name: str, sent: Any, stands: Any) -> None:
    assert clean(name, sent) == stands


@pytest.mark.parametrize(
    "sent", ["n/a", "N/A", "-", " ", "", "unknown", "Test", "test", "asdf", "null", "x", "---", "First Name"]
)
def test_a_placeholder_states_nothing(sent: str) -> None:
    expected = "Test" if sent == "Test" else None  # somebody may be called that
    assert clean("last_name", sent) == expected


@pytest.mark.parametrize(("name", "sent"), [("first_name", True), ("name", ["Ada"]), ("title", {}), ("age", "old"), ("age", [1])])
def test_a_reserved_trait_of_another_type_states_nothing(name: str, sent: Any) -> None:
    assert clean(name, sent) is None


def test_an_address_is_cleansed_part_by_part_and_codes_keep_their_case() -> None:
    sent = {
        "street": "MAIN STREET 1",
        "city": " berlin",
        "state": "n/a",
        "country": "DE ",
        "postalCode": " 10115",
        "floor": " 2 ",
    }
    stands = {"street": "Main Street 1", "city": "Berlin", "country": "DE", "postalCode": "10115", "floor": " 2 "}
    assert clean("address", sent) == stands
    assert clean("address", {"city": "-"}) is None


def test_null_deletes_and_what_is_clean_keeps_its_very_bytes() -> None:
    assert cleanse("name", b"null") == b"null"
    for value in (b'"Ada"', b'"\\u0041da"', b'{"city" : "Berlin"}'):
        assert cleanse("address" if value[:1] == b"{" else "name", value) is value


@given(name=st.sampled_from(sorted(CLEANSED)), value=st.text(max_size=20) | st.integers() | st.none() | st.booleans())
def test_cleansing_twice_is_cleansing_once(name: str, value: Any) -> None:
    once = cleanse(name, json.dumps(value).encode())
    assert once is None or cleanse(name, once) == once


async def test_the_original_is_kept_and_a_placeholder_leaves_what_was_known() -> None:
    told = [
        make_touchpoint(1, kind="identify", traits={"firstName": " ADA ", "lastName": "Lovelace"}),
        make_touchpoint(2, kind="identify", traits={"firstName": "n/a", "lastName": "LOVELACE"}, at=1),
        make_touchpoint(3, kind="identify", traits={"lastName": None, "plan": " GOLD "}, at=0.5),
    ]
    book = FoldingBook(FakeFactRows())
    await book.apply([(ME, one) for one in told])
    found = {one.name: (one.value, one.original) for one in trace_traits(book.states)}
    assert found == {
        "first_name": (b'"Ada"', b'" ADA "'),
        "last_name": (b'"Lovelace"', b'"LOVELACE"'),
        "plan": (b'" GOLD "', None),
    }


def test_the_last_writer_wins_whatever_was_cleansed() -> None:
    told = [make_touchpoint(n, kind="identify", traits={"name": name}, at=n) for n, name in enumerate(["ADA", "bob", "n/a"])]
    assert fold(*told)["traits"] == {"name": "Bob"}
