"""What a view's tag is compared with."""

from uuid import UUID

import pytest

from services.profile.api.preconditions import is_expected, is_unchanged, render_etag

TAG = '"42"'


@pytest.mark.parametrize("header", ['"42"', ' "42" ', '"41", "42"', '"42","43"', "*", '"a,b", "42"'])
def test_a_list_that_names_the_tag_fits(header: str) -> None:
    assert is_expected(header, TAG)
    assert is_unchanged(header, TAG)


@pytest.mark.parametrize("header", ["", "42", '"4"', '"420"', '"42', '"42" "42"', '"41", 42', '"42", *', '42"', '"4,42"'])
def test_what_names_another_tag_or_is_no_list_of_tags_fits_nothing(header: str) -> None:
    assert not is_expected(header, TAG)
    assert not is_unchanged(header, TAG)


def test_a_weak_tag_serves_to_read_and_never_to_write() -> None:
    assert is_unchanged('W/"42"', TAG)
    assert not is_expected('W/"42"', TAG)
    assert is_expected('W/"42", "42"', TAG)


def test_a_tag_tells_profiles_of_one_version_apart() -> None:
    one, other = render_etag(UUID(int=1), 3), render_etag(UUID(int=2), 3)
    assert is_expected(one, one)
    assert is_unchanged(one, one)
    assert not is_expected(one, other)
    assert not is_unchanged(one, other)
