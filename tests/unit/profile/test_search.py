"""What a profile is found by."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.domain.search import compute_name_keys, compute_trait_key, compute_trait_keys, has_name, split_name


def render(**traits: object) -> bytes:
    return b'"traits":%b' % msgspec.json.encode(traits)


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.data())
def test_everybody_is_found_by_every_beginning_of_their_names(first: str, last: str, data: st.DataObject) -> None:
    core = render(first_name=first, last_name=last)
    words = [word for word in (*split_name(first), *split_name(last)) if len(word) > 1]
    asked = [word[: data.draw(st.integers(2, len(word)))] for word in words[:3]]
    assert set(compute_name_keys(asked)) <= set(compute_trait_keys(core))
    assert has_name(b"{%b}" % core, asked)


@pytest.mark.parametrize("text", ["Lovelance", "da", "Lo Ad x"])
def test_what_begins_no_name_is_not_found(text: str) -> None:
    assert not has_name(b"{%b}" % render(name="Ada Lovelace"), split_name(text))


def test_a_word_too_short_to_look_up_finds_nobody() -> None:
    assert compute_name_keys(["ada", "l"]) == []


def test_names_are_told_apart_from_traits_of_the_same_text() -> None:
    assert compute_trait_key("name", "ada") not in compute_name_keys(["ada"])
    assert compute_trait_keys(render(name=["Ada"], first_name={"a": 1}, last_name=None)) == []
