from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.identity import STRENGTH, normalise, to_text

BLOCKED_BY_THE_LISTS = [
    "", " ", "\t\n", "0", "-", "000", "0000-0000", "00000000-0000-0000-0000-000000000000", "-1",
    "null", "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email", "undefined",
    "true", "false", "[object Object]", "NaN", "None", "none", "NULL", "Anonymous", "GUEST", "[OBJECT OBJECT]", "nAn", " Null ",
]  # fmt: skip


@pytest.mark.parametrize("kind", [*STRENGTH, "cdnow"])
@pytest.mark.parametrize(
    "value", [*BLOCKED_BY_THE_LISTS, None, True, False, 0, 0.0, -1, float("nan"), float("inf"), [], {}, ["a"]]
)
def test_blocked_and_empty_values_identify_nobody_whatever_the_kind(kind: str, value: object) -> None:
    assert normalise(kind, value) is None


@pytest.mark.parametrize("value", ["-10", "10", "-2", "nullable", "anonymous1", "ID1", "0a", "object Object"])
def test_values_that_only_look_like_blocked_ones_stay(value: str) -> None:
    assert normalise("user_id", value) == value


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-7, "-7"),
        (1.5, "1.5"),
        (1e21, "1000000000000000000000"),
        (2**63, "9223372036854775808"),
        (Decimal("1.50"), "1.50"),
        (Decimal("3.0"), "3"),
    ],
)
def test_numbers_become_text_and_whole_ones_read_alike(number: object, text: str) -> None:
    assert normalise("user_id", number) == text


@pytest.mark.parametrize("number", [1 << 20_000, Decimal("1e5000"), Decimal("NaN")], ids=["integer", "decimal", "nan"])
def test_numbers_beyond_reason_identify_nobody(number: object) -> None:
    assert to_text(number) is None


def test_an_email_is_trimmed_and_lowered_and_nothing_else() -> None:
    assert normalise("email", "  Ada.Lovelace+News@Example.COM \n") == "ada.lovelace+news@example.com"
    assert normalise("email", "not an address") == "not an address"


@pytest.mark.parametrize("kind", ["user_id", "loyalty_card", "cdnow", "anonymous_id", "device_id"])
def test_other_kinds_keep_their_letters_and_inner_spaces(kind: str) -> None:
    assert normalise(kind, "  Ab C\u00e9 ") == "Ab C\u00e9"


@pytest.mark.parametrize(
    ("sent", "phone"),
    [
        ("+49 170 1234567", "+491701234567"),
        ("0170 1234567", "+491701234567"),
        ("0049 (170) 123-4567", "+491701234567"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+39 06 698 12345", "+390669812345"),
        ("tel:+49-170-1234567", "+491701234567"),
        ("+1 555 555 0100", "+15555550100"),  # no such area: its digits, which happen to read like E.164
        ("12", "12"),
        ("\u0661\u0662", "12"),
        (1701234567, "+491701234567"),
        ("call me", None),
        ("(000) 000-0000", None),
        ("+0", None),
        ("+", None),
    ],
)
def test_a_phone_is_e164_where_valid_else_its_digits(sent: object, phone: str | None) -> None:
    assert normalise("phone", sent) == phone


def test_a_national_number_is_read_in_the_region() -> None:
    assert normalise("phone", "(415) 555-2671", region="US") == "+14155552671"
    assert normalise("phone", "020 7946 0958", region="GB") == "+442079460958"


def test_text_no_database_can_hold_is_repaired() -> None:
    assert normalise("user_id", "a\x00b\ud800") == "a\ufffdb\ufffd"


VALUES = st.one_of(
    st.text(),
    st.text(alphabet="+0123456789 -()/x.;=ext", max_size=24),
    st.from_regex(r"\+?[0-9]{5,15}", fullmatch=True),
    st.integers(),
    st.floats(),
)


@given(kind=st.sampled_from([*STRENGTH, "cdnow"]), value=VALUES, region=st.sampled_from(["DE", "US", "IT", "AR", "MX", "BR"]))
def test_a_normal_form_is_its_own_normal_form(kind: str, value: object, region: str) -> None:
    first = normalise(kind, value, region=region)
    if first is not None:
        assert normalise(kind, first, region=region) == first
        first.encode()
