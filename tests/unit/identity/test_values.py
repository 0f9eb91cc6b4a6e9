from decimal import Decimal

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.identity import STRENGTH, normalise, to_text
from libs.identity.phones import is_valid_e164, normalise_fully

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


CALLING_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@st.composite
def e164_like(draw: st.DrawFn) -> str:
    """Numbers of all countries: their own examples with some digits changed, and mere digits."""
    code = draw(st.sampled_from(CALLING_CODES))
    region = phonenumbers.region_code_for_country_code(code)
    example = phonenumbers.example_number(region) or phonenumbers.example_number_for_non_geo_entity(code)
    digits = list(phonenumbers.national_significant_number(example) if example else "123456789")
    for place in draw(st.lists(st.integers(0, len(digits) - 1), max_size=4)):
        digits[place] = draw(st.sampled_from("0123456789"))
    return f"+{code}{draw(st.sampled_from(['', '', '0', '1', '8', '15']))}{''.join(digits)}"


@given(e164_like() | st.from_regex(r"\+[0-9]{5,17}", fullmatch=True), st.sampled_from(["DE", "US", "IT", "AR"]))
@settings(max_examples=500)
def test_the_short_way_for_phone_numbers_gives_what_parsing_gives(text: str, region: str) -> None:
    if is_valid_e164(text):
        assert normalise_fully(text, region) == text


@pytest.mark.parametrize("text", ["+4915112345678", "+14155552671", "+442079460958"])
def test_the_short_way_knows_valid_numbers(text: str) -> None:
    assert is_valid_e164(text)


@pytest.mark.parametrize("text", ["+390612345678", "+5491123456789"])
def test_numbers_that_begin_like_a_prefix_take_the_long_way(text: str) -> None:
    assert not is_valid_e164(text)
    assert normalise_fully(text, "DE") == text


@pytest.mark.parametrize(
    "text", ["", "+", "+49", "+490151123456789", "4915112345678", "+49 15112345678", "+4915112345678x", "+٤٩15112345678"]
)
def test_the_short_way_leaves_everything_else_to_the_long_one(text: str) -> None:
    assert not is_valid_e164(text)
