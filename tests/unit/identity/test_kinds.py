import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.identity import STRENGTH, normalise_kind, strength_key, strength_of


def test_the_order_of_strength_is_the_documented_one() -> None:
    kinds = ["device_id", "anonymous_id", "phone", "email", "cdnow", "loyalty_card", "user_id"]
    assert sorted(kinds, key=strength_of) == ["user_id", "loyalty_card", "cdnow", "email", "phone", "anonymous_id", "device_id"]
    assert strength_of("cdnow") == strength_of("online_retail") == STRENGTH.index("*")


def test_a_kind_literally_called_star_is_an_external_one_too() -> None:
    assert strength_of("*") == strength_of("anything")


@given(st.permutations([("user_id", "u"), ("shop", "b"), ("shop", "a"), ("crm", "z"), ("email", "x@y")]))
def test_the_strongest_identifier_does_not_depend_on_the_senders_order(pairs: list[tuple[str, str]]) -> None:
    ordered = sorted(pairs, key=lambda pair: strength_key(*pair))
    assert ordered == [("user_id", "u"), ("crm", "z"), ("shop", "a"), ("shop", "b"), ("email", "x@y")]


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (" Loyalty_Card ", "loyalty_card"),
        ("ios.idfa", "ios.idfa"),
        ("cross-domain-id", "cross-domain-id"),
        ("", None),
        ("a:b", None),
        ("two words", None),
        ("x" * 65, None),
        ("\u00e9", None),
        (7, None),
        (None, None),
    ],
)
def test_a_kind_is_a_short_word_that_can_stand_before_a_colon(sent: object, kind: str | None) -> None:
    assert normalise_kind(sent) == kind
