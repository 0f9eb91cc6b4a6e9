"""What a version is compared with."""

import pytest

from services.profile.api.preconditions import is_expected, is_unchanged


@pytest.mark.parametrize("header", ['"42"', ' "42" ', '"41", "42"', '"42","43"', "*", '"a,b", "42"'])
def test_a_list_that_names_the_version_fits(header: str) -> None:
    assert is_expected(header, 42)
    assert is_unchanged(header, 42)


@pytest.mark.parametrize("header", ["", "42", '"4"', '"420"', '"42', '"42" "42"', '"41", 42', '"42", *', '42"', '"4,42"'])
def test_what_names_another_version_or_is_no_list_of_tags_fits_nothing(header: str) -> None:
    assert not is_expected(header, 42)
    assert not is_unchanged(header, 42)


def test_a_weak_tag_serves_to_read_and_never_to_write() -> None:
    assert is_unchanged('W/"42"', 42)
    assert not is_expected('W/"42"', 42)
    assert is_expected('W/"42", "42"', 42)
