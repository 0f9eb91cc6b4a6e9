"""What a key may be made for, told before anything is asked of a database."""

import pytest

from cli.commands.keys import read_kind, read_name, read_scopes, read_source_id
from cli.errors import CliError


@pytest.mark.parametrize("given", ["", " , ", "bogus", "profiles:read,profiles:fly", "profiles"])
def test_a_key_that_would_open_nothing_or_less_than_meant_is_not_made(given: str) -> None:
    with pytest.raises(CliError) as refused:
        read_scopes(given)
    assert "profiles:read" in refused.value.hint


def test_known_scopes_and_the_star_are_taken() -> None:
    assert read_scopes(" profiles:read, segments:write ") == ["profiles:read", "segments:write"]
    assert read_scopes("*") == ["*"]


@pytest.mark.parametrize("given", ["Bad Id!", "", "-a", "a" * 65, "shop\n", "ünal"])
def test_a_source_id_that_the_api_refuses_is_refused_here_as_well(given: str) -> None:
    with pytest.raises(CliError) as refused:
        read_source_id(given)
    assert len(refused.value.detail) < 120


def test_a_source_id_as_the_api_takes_it() -> None:
    assert read_source_id("till-7_b") == "till-7_b"
    assert read_source_id("a" * 64) == "a" * 64


@pytest.mark.parametrize("given", ["", "  ", "x" * 201, "a\nb"])
def test_a_holder_has_a_name_that_fits_a_line(given: str) -> None:
    with pytest.raises(CliError):
        read_name(given)
    assert read_name(" The CRM team ") == "The CRM team"


def test_an_unknown_kind_is_told_with_the_known_ones() -> None:
    with pytest.raises(CliError) as refused:
        read_kind("fax")
    assert "pos" in refused.value.hint
