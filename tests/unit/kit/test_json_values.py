"""What can't be stored or read again is found wherever it stands."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.json_values import DEPTH, find_fault

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_what_utf8_can_hold_is_fit_unless_it_has_a_nul(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert (find_fault(value) is None) == ("\\u0000" not in text)


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", float("inf"), float("nan"), 10**400])
@pytest.mark.parametrize("place", [lambda odd: odd, lambda odd: [[odd]], lambda odd: {"a": [1, {"b": odd}]}])
def test_one_odd_value_is_found_at_any_depth(odd: object, place: Any) -> None:
    assert find_fault(place(odd)) is not None


@pytest.mark.parametrize("name", ["a\0", "\udfff"])
def test_names_count_as_well(name: str) -> None:
    assert find_fault([{name: 1}]) is not None


def test_depth_is_bounded() -> None:
    value: object = 1
    for _ in range(DEPTH):
        value = [value]
    assert find_fault(value) is None
    assert find_fault([value]) == f"is nested deeper than {DEPTH} levels"
