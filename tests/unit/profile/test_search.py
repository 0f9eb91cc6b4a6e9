"""What a profile is found by."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.domain.search import (
    compute_name_keys,
    compute_trait_key,
    compute_trait_keys,
    has_name,
    is_slip,
    split_name,
)


def render(**traits: object) -> bytes:
    return b'"traits":%b' % msgspec.json.encode(traits)


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.data())
def test_everybody_is_found_by_every_beginning_of_their_names(first: str, last: str, data: st.DataObject) -> None:
    core = render(first_name=first, last_name=last)
    words = [word for word in (*split_name(first), *split_name(last)) if len(word) > 1]
    asked = [word[: data.draw(st.integers(2, len(word)))] for word in words[:3]]
    known = set(compute_trait_keys(core).names)
    assert all(not known.isdisjoint(keys) for keys in compute_name_keys(asked))
    assert has_name(b"{%b}" % core, asked)


@pytest.mark.parametrize("text", ["Lovelance", "da", "Lo Ad x"])
def test_what_begins_no_name_is_not_found(text: str) -> None:
    assert not has_name(b"{%b}" % render(name="Ada Lovelace"), split_name(text))


def test_a_word_too_short_to_look_up_finds_nobody() -> None:
    assert compute_name_keys(["ada", "l"]) == []


def slip(word: str, data: st.DataObject) -> str:
    """The word with one letter added, left out or replaced, or two that changed places."""
    place = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("abcxyz"))
    return data.draw(
        st.sampled_from(
            [
                word[:place] + letter + word[place:],
                word[:place] + word[place + 1 :],
                word[:place] + letter + word[place + 1 :],
                word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
            ]
        )
    )


WORDS = st.text("abcdeforst", min_size=5, max_size=22)


@given(first=WORDS, last=WORDS, data=st.data())
def test_everybody_is_found_in_spite_of_a_slip_in_each_word(first: str, last: str, data: st.DataObject) -> None:
    core = render(name=f"{first} {last}")
    asked = [slip(last, data), slip(first, data)]
    known = set(compute_trait_keys(core).names)
    assert all(not known.isdisjoint(keys) for keys in compute_name_keys(asked, fuzzy=True))
    assert has_name(b"{%b}" % core, asked, fuzzy=True)


@given(a=st.text("abc", min_size=4, max_size=7), b=st.text("abc", min_size=4, max_size=7))
def test_a_slip_is_a_distance_of_one(a: str, b: str) -> None:
    letters = {*a, *b}
    reach = {a}
    for place in range(len(a) + 1):
        reach.add(a[:place] + a[place + 1 :])
        reach.add(a[:place] + a[place : place + 2][::-1] + a[place + 2 :])
        for letter in letters:
            reach |= {a[:place] + letter + a[place:], a[:place] + letter + a[place + 1 :]}
    assert is_slip(a, b) == (b in reach)


@pytest.mark.parametrize(("asked", "name"), [("jonh smiht", "John Smith"), ("lovelacee", "Ada Lovelace"), ("mueler", "Mueller")])
def test_what_people_mistype_is_found(asked: str, name: str) -> None:
    view = b"{%b}" % render(name=name)
    assert has_name(view, split_name(asked), fuzzy=True)
    assert not has_name(view, split_name(asked))


@pytest.mark.parametrize(("asked", "name"), [("bob", "Rob"), ("smythe", "Smith"), ("ada", "Ida")])
def test_short_words_and_two_slips_find_nobody(asked: str, name: str) -> None:
    assert not has_name(b"{%b}" % render(name=name), split_name(asked), fuzzy=True)


@pytest.mark.parametrize(
    ("traits", "name"),
    [
        ({"first_name": "Ada", "last_name": "Lovelace", "name": "The Countess"}, "lovelace ada"),
        ({"name": "Ada  LOVELACE"}, "ada lovelace"),
        ({"first_name": "Ada"}, "ada"),
        ({"name": 7, "last_name": ["x"]}, "7"),
        ({}, ""),
    ],
)
def test_people_are_sorted_by_last_name_then_first_else_by_name(traits: dict[str, object], name: str) -> None:
    assert compute_trait_keys(render(**traits)).name == name


def test_names_are_told_apart_from_traits_of_the_same_text() -> None:
    assert [compute_trait_key("name", "ada")] != compute_name_keys(["ada"])[0]
    assert compute_trait_keys(render(name=["Ada"], first_name={"a": 1}, last_name=None)) == ([], [], "")
