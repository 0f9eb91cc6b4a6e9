"""Check digits apply to numbers, however they are grouped, and to nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.identity import has_wrong_check_digit


@pytest.mark.parametrize(
    ("value", "luhn", "ean"),
    [
        ("79927398713", False, True),
        ("7992 7398-713", False, True),
        ("79927398710", True, True),
        ("4006381333931", True, False),
        ("4006381333932", False, True),
        ("GOLD-7", False, False),
        ("٧٩٩٢٧٣٩٨٧١٣", False, False),
        ("", False, False),
    ],
)
def test_a_number_ends_with_its_check_digit(value: str, luhn: bool, ean: bool) -> None:
    assert (has_wrong_check_digit(value, "luhn"), has_wrong_check_digit(value, "ean")) == (luhn, ean)


@given(st.from_regex(r"[0-9]{4,30}", fullmatch=True))
def test_of_ten_last_digits_one_is_right(number: str) -> None:
    assert sum(not has_wrong_check_digit(f"{number}{last}", "luhn") for last in range(10)) == 1
